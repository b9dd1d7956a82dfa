import gzip
import lzma
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from runners.data.datasets import open_data
from search_space import InputError


def idx(path: Path, array: np.ndarray) -> None:
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    with gzip.open(path, "wb") as file:
        file.write(header + array.tobytes())


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    idx(tmp_path / "train-images-idx3-ubyte.gz", rng.integers(0, 256, (50, 28, 28), np.uint8))
    idx(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(50, dtype=np.uint8) % 10)
    return tmp_path


def cifar_batch(labels: list[int]) -> bytes:
    """A batch as the published ones are once read: bytes keys, a NumPy array under its old module
    name.
    """
    rng = np.random.default_rng(len(labels))
    pixels = rng.integers(0, 256, (len(labels), 3072), np.uint8)
    text = pickle.dumps({b"labels": labels, b"data": pixels}, protocol=3)
    return text.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for number in range(1, 5):
        (root / f"data_batch_{number}").write_bytes(cifar_batch([number, 0]))
    with lzma.open(root / "data_batch_5.xz", "wb") as file:
        file.write(cifar_batch([5, 0, 9]))
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 5), ("val", 2)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                colour = (200, 10, 10) if name == "cat" else (10, 10, 200)
                Image.new("RGB", (60 + number, 40), colour).save(
                    tmp_path / part / name / f"{number}.jpg"
                )
    return tmp_path


def test_the_embedded_digits_are_real_and_balanced() -> None:
    data = open_data("mnist-5k", None, 28)
    train, test = data.read("train"), data.read("test")
    assert (len(train), len(test)) == (4000, 1000)
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    pixels, _ = train.batch(np.arange(4000))
    assert pixels.shape == (4000, 28, 28, 1)
    # MNIST's own mean is 33.3 of 255.
    assert 30 < pixels.mean() < 36


def test_no_digit_is_in_both_parts() -> None:
    data = open_data("mnist-5k", None, 28)
    train, test = (data.read(part).batch(np.arange(1000))[0] for part in ("train", "test"))
    everything = data.read("train").batch(np.arange(4000))[0]
    known = {image.tobytes() for image in everything}
    assert train.shape == test.shape
    assert not any(image.tobytes() in known for image in test)


def test_idx_files_are_read_zipped_without_their_test_part(fashion: Path) -> None:
    images = open_data("fashion-mnist", str(fashion), 28).read("train")
    pixels, labels = images.batch(np.array([3, 11]))
    assert pixels.shape == (2, 28, 28, 1)
    assert labels.tolist() == [3, 1]


def test_cifar_batches_are_read_plain_and_compressed_without_their_test_part(cifar: Path) -> None:
    images = open_data("cifar10", str(cifar), 32).read("train")
    assert images.labels.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 9]
    pixels, _ = images.batch(np.arange(11))
    planes = pickle.loads(cifar_batch([1, 0]))[b"data"][0].reshape(3, 32, 32)  # red, green, blue
    assert pixels.shape == (11, 32, 32, 3)
    assert (pixels[0] == planes.transpose(1, 2, 0)).all()


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(
    cifar: Path, tmp_path: Path
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path}/owned",)

    (cifar / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(
        InputError, match=r"data_batch_3 is not a CIFAR-10 batch .*asks for posix.system"
    ):
        open_data("cifar10", str(cifar), 32).read("train")
    assert not (tmp_path / "owned").exists()


def test_a_pickle_with_a_crafted_array_is_refused_before_numpy_sees_it(cifar: Path) -> None:
    """An object array of raw bytes would be followed as pointers."""
    crafted = pickle.dumps({b"labels": [1], b"data": np.zeros(3072, np.int64)}, protocol=3)
    text = crafted.replace(b"numpy._core.multiarray", b"numpy.core.multiarray").replace(
        b"i8", b"O8"
    )
    (cifar / "cifar-10-batches-py" / "data_batch_4").write_bytes(text)
    with pytest.raises(
        InputError, match=r"data_batch_4 is not a CIFAR-10 batch .*its data are not bytes"
    ):
        open_data("cifar10", str(cifar), 32).read("train")


def test_a_file_that_is_no_picture_is_named(folder: Path) -> None:
    (folder / "train" / "cat" / "0.jpg").write_bytes(b"\xff\xd8 not really")
    images = open_data("imagefolder", str(folder), 32).read("train")
    with pytest.raises(InputError, match=r"cat/0.jpg is no picture that can be read"):
        images.batch(np.arange(3))


def test_a_picture_that_would_start_another_program_is_none(folder: Path) -> None:
    """Pillow has Ghostscript draw PostScript, whatever the file is called."""
    (folder / "train" / "cat" / "0.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    )
    with pytest.raises(
        InputError, match=r"cat/0.jpg is no picture that can be read \(cannot identify"
    ):
        open_data("imagefolder", str(folder), 32).read("train").batch(np.arange(3))


def test_a_picture_whose_text_is_a_bomb_is_named(folder: Path) -> None:
    """Pillow says so with a ValueError, which would be taken for the network's fault."""
    notes = PngInfo()
    notes.add_text("a", "b" * 80_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(folder / "train" / "cat" / "0.png", pnginfo=notes)
    with pytest.raises(InputError, match=r"cat/0.png is no picture that can be read"):
        open_data("imagefolder", str(folder), 32).read("train").batch(np.arange(3))


def test_hidden_folders_are_no_classes(folder: Path) -> None:
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    assert open_data("imagefolder", str(folder), 32).classes == 2


@pytest.mark.parametrize("content", [b"", b"\x80\x02}", b"hello", cifar_batch([1, 2])[:3000]])
def test_a_broken_cifar_batch_is_named(cifar: Path, content: bytes) -> None:
    (cifar / "cifar-10-batches-py" / "data_batch_2").write_bytes(content)
    with pytest.raises(InputError, match="data_batch_2 is not a CIFAR-10 batch"):
        open_data("cifar10", str(cifar), 32).read("train")


def test_a_cut_idx_file_is_named(fashion: Path) -> None:
    path = fashion / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte.gz can't be decompressed"):
        open_data("fashion-mnist", str(fashion), 28).read("train")
    with gzip.open(path, "wb") as file:
        file.write(b"\0\0\x08\x03" + bytes(12))
        file.write(b"more")
    with pytest.raises(
        InputError, match="is not an IDX file of bytes in 3 dimensions, or is cut short"
    ):
        open_data("fashion-mnist", str(fashion), 28).read("train")


def test_a_folder_of_pictures_is_decoded_to_squares(folder: Path) -> None:
    data = open_data("imagefolder", str(folder), 32)
    assert data.classes == 2
    images = data.read("train")
    pixels, labels = images.batch(np.array([0, 9]))
    assert pixels.shape == (2, 32, 32, 3)
    assert labels.tolist() == [0, 1]
    assert pixels[0, ..., 0].mean() > 150 > pixels[1, ..., 0].mean()  # cats are red here


def test_a_published_val_folder_is_the_test_part(folder: Path) -> None:
    assert len(open_data("imagefolder", str(folder), 32).read("test")) == 4


@pytest.mark.parametrize(
    ("name", "path", "says"),
    [
        ("cifar11", None, "data: cifar11: unknown (did you mean cifar10?)"),
        ("cifar10", None, "path: missing"),
        ("cifar10", "/nowhere", "path: /nowhere is no folder"),
        (
            "cifar10",
            "/tmp",
            "path: /tmp holds no CIFAR-10 (python version); looked for data_batch_1",
        ),
        ("fashion-mnist", "/tmp", "holds no Fashion-MNIST; looked for train-images-idx3-ubyte"),
        ("imagefolder", "/tmp", "holds no image folder; looked for train/CLASS/*.jpg"),
        ("mnist-5k", "/tmp", "path: '/tmp'; takes nothing with mnist-5k"),
    ],
)
def test_missing_data_are_named_before_anything_is_read(
    name: str, path: str | None, says: str
) -> None:
    with pytest.raises(InputError) as caught:
        open_data(name, path, 32)
    assert says in str(caught.value)


def test_real_fashion_mnist_is_read(shared: Path) -> None:
    images = open_data("fashion-mnist", str(shared / "data/fashion-mnist"), 28).read("train")
    assert np.bincount(images.labels).tolist() == [6000] * 10


def test_real_cifar_10_is_read(shared: Path) -> None:
    images = open_data("cifar10", str(shared / "data/cifar10"), 32).read("test")
    assert np.bincount(images.labels).tolist() == [1000] * 10


def test_a_real_image_folder_is_read(shared: Path) -> None:
    data = open_data("imagefolder", str(shared / "data/trashnet150"), 64)
    images = data.read("train")
    assert (data.classes, len(images)) == (6, 2024)
    assert images.batch(np.arange(3))[0].shape == (3, 64, 64, 3)
