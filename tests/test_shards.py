import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runners.data.datasets import open_data
from search_space import InputError


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def write(path: Path, files: dict[str, bytes], mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for shard in range(2):
        files = {}
        for number in range(3):
            files |= {
                f"./n/{shard}{number}.cls": b"%d" % number,
                f"./n/{shard}{number}.jpg": jpeg(100 * shard + 40 * number),
            }
        write(tmp_path / f"in-train-{shard:06}.tar", files)
    write(tmp_path / "in-val-000000.tar", {"9.json": b"{}", "9.png": jpeg(250), "9.cls": b"1"})
    return tmp_path


def test_pictures_and_classes_come_in_the_order_of_the_shards(shards: Path) -> None:
    images = open_data("webdataset", str(shards), 8).read("train")
    pixels, labels = images.batch(np.arange(6))
    assert pixels.shape == (6, 8, 8, 3)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert pixels[:, 4, 4, 0].tolist() == pytest.approx([0, 40, 80, 100, 140, 180], abs=3)


def test_pictures_are_read_by_index_in_any_order(shards: Path) -> None:
    images = open_data("webdataset", str(shards), 8).read("train")
    pixels, labels = images.take(np.array([5, 0, 3])).batch(np.array([2, 0]))
    assert labels.tolist() == [0, 2]
    assert pixels[:, 4, 4, 0].tolist() == pytest.approx([100, 180], abs=3)


def test_the_highest_class_says_how_many_there_are(shards: Path) -> None:
    assert open_data("webdataset", str(shards), 8).classes == 3


def test_published_validation_shards_are_the_test_part_where_there_is_no_other(
    shards: Path,
) -> None:
    data = open_data("webdataset", str(shards), 8)
    assert data.read("test").batch(np.arange(1))[1].tolist() == [1]
    write(shards / "test" / "0.tar", {"a.jpg": jpeg(0), "a.cls": b"2"})
    assert data.read("test").batch(np.arange(1))[1].tolist() == [2]


@pytest.mark.parametrize(
    ("train", "other"),
    [
        ("latest/train-0.tar", "latest/val-0.tar"),
        ("retrieval-train-0.tar", "retrieval-eval-0.tar"),
        ("train/0.tar", "train/val/0.tar"),
        ("imagenet1k-train-0000.tar", "imagenet1k-validation-00.tar"),
        ("a/train-0.tar", ".snapshot/train-0.tar"),
    ],
)
def test_a_tar_is_of_one_part_and_its_path_says_which(
    tmp_path: Path, train: str, other: str
) -> None:
    write(tmp_path / train, {"a.jpg": jpeg(0), "a.cls": b"0"})
    write(tmp_path / other, {"b.jpg": jpeg(0), "b.cls": b"5"})
    assert open_data("webdataset", str(tmp_path), 8).read("train").labels.tolist() == [0]


def test_links_are_followed_and_each_shard_is_read_once(shards: Path) -> None:
    (shards / "seen").mkdir()
    (shards / "seen" / "here").symlink_to(shards)
    assert len(open_data("webdataset", str(shards / "seen"), 8).read("train")) == 6


def test_a_data_set_that_travels_to_another_process_reads_the_same_there(shards: Path) -> None:
    data = open_data("webdataset", str(shards), 8)
    pixels, labels = data.read("train").batch(np.arange(6))
    theirs, as_well = pickle.loads(pickle.dumps(data)).read("train").batch(np.arange(6))
    assert (pixels == theirs).all()
    assert labels.tolist() == as_well.tolist()


def test_where_a_shard_is_missing_that_is_said(shards: Path) -> None:
    images = open_data("webdataset", str(shards), 8).read("train")
    (shards / "in-train-000001.tar").unlink()
    with pytest.raises(InputError, match=r"in-train-000001\.tar is not here"):
        images.batch(np.arange(6))


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"path: .* holds no \*train\*\.tar"):
        open_data("webdataset", str(tmp_path), 8)


def test_shards_without_pictures_are_named(tmp_path: Path) -> None:
    write(tmp_path / "train.tar", {"a.json": b"{}"})
    with pytest.raises(InputError, match="holds no such tar with pictures of"):
        open_data("webdataset", str(tmp_path), 8).read("train")


@pytest.mark.parametrize(
    "cls", [None, b"", b"cat", b"-1", b"\xff", b"10" * 20, b"1" + b" " * 31 + b"2"]
)
def test_a_picture_without_a_class_is_named(tmp_path: Path, cls: bytes | None) -> None:
    write(
        tmp_path / "train-0.tar", {"a/b.jpg": jpeg(0)} | ({} if cls is None else {"a/b.cls": cls})
    )
    with pytest.raises(
        InputError, match=r"train-0\.tar: a/b\.cls: .*; takes a class, a number from 0"
    ):
        open_data("webdataset", str(tmp_path), 8).read("train")


@pytest.mark.parametrize("more", [{"a.png": b""}, {"a.JPEG": b""}])
def test_two_pictures_of_one_name_are_refused(tmp_path: Path, more: dict[str, bytes]) -> None:
    write(tmp_path / "train-0.tar", {"a.jpg": jpeg(0), "a.cls": b"0"} | more)
    with pytest.raises(
        InputError, match=r"train-0\.tar: a has 2 pictures; takes one beside a\.cls"
    ):
        open_data("webdataset", str(tmp_path), 8).read("train")


def test_hidden_members_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "train-0.tar", {"a.jpg": jpeg(0), "._a.jpg": b"macOS", "a.cls": b"3"})
    assert open_data("webdataset", str(tmp_path), 8).read("train").labels.tolist() == [3]


def test_long_names_and_capital_endings_are_read(tmp_path: Path) -> None:
    name = "n" * 300
    write(tmp_path / "train-0.tar", {f"{name}.JPG": jpeg(0), f"{name}.CLS": b"3\n"})
    assert open_data("webdataset", str(tmp_path), 8).read("train").labels.tolist() == [3]


def hostile(size: bytes | None = None, pax: dict[str, str] | None = None) -> bytes:
    """A tar whose only member's header lies: in its size's twelve bytes, or in what precedes it."""
    member = tarfile.TarInfo("a.jpg")
    member.pax_headers = pax or {}
    header = bytearray(member.tobuf(tarfile.PAX_FORMAT))
    if size:
        header[124:136] = size
        header[148:156] = b"%06o\0 " % (8 * ord(" ") + sum(header[:148]) + sum(header[156:512]))
    return bytes(header) + jpeg(0).ljust(1024, b"\0") + bytes(1024)


@pytest.mark.parametrize(
    "content",
    [
        hostile(size=(-512).to_bytes(12, signed=True)),
        hostile(size=b"\x80" + (2**70).to_bytes(11)),
        hostile(pax={"size": "-1536"}),
        hostile(pax={"GNU.sparse.map": "a,b"}),
        hostile(pax={"GNU.sparse.map": "0,9", "GNU.sparse.size": "1099511627776"}),
    ],
)
def test_a_hostile_header_is_one_line_and_no_endless_loop(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train-0.tar").write_bytes(content)
    with pytest.raises(
        InputError, match=r"train-0\.tar is no tar, compressed, cut short or damaged"
    ):
        open_data("webdataset", str(tmp_path), 8).read("train")


def test_a_pipe_is_no_shard(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train-0.tar")
    with pytest.raises(InputError, match=r"train-0\.tar is no file"):
        open_data("webdataset", str(tmp_path), 8).read("train")


def test_a_shard_that_is_compressed_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train-0.tar", {"a.jpg": jpeg(0), "a.cls": b"0"}, "w:gz")
    with pytest.raises(
        InputError, match=r"train-0\.tar is no tar, compressed, cut short or damaged"
    ):
        open_data("webdataset", str(tmp_path), 8).read("train")


@pytest.mark.parametrize("kept", [0, 100, 512, 600, 1024, 1100, 1600])
def test_a_shard_that_is_cut_short_is_named_wherever_it_was_cut(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "train-0.tar"
    write(path, {"a.cls": b"0", "a.jpg": jpeg(0)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        InputError, match=r"train-0\.tar is no tar, compressed, cut short or damaged"
    ):
        open_data("webdataset", str(tmp_path), 8).read("train")


def test_a_shard_with_a_damaged_header_inside_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train-0.tar"
    write(path, {"a.cls": b"0", "a.jpg": jpeg(0), "b.cls": b"0", "b.jpg": jpeg(0)})
    content = bytearray(path.read_bytes())
    content[content.index(b"b.cls")] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"train-0\.tar is no tar, compressed, cut short or damaged"
    ):
        open_data("webdataset", str(tmp_path), 8).read("train")


def test_a_member_that_is_no_picture_is_named_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path / "train-0.tar", {"a.jpg": b"not really", "a.cls": b"0"})
    images = open_data("webdataset", str(tmp_path), 8).read("train")
    with pytest.raises(
        InputError, match=r"train-0\.tar, at byte 512, is no picture that can be read"
    ):
        images.batch(np.arange(1))
