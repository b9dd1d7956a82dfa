"""Pictures in tar files, as the library webdataset writes them: a few large files, where a cluster's disks are slow
to open millions of small ones.

A sample is the files of one name up to its first dot, in a row: `0001.jpg` and its class, `0001.cls`, a number from 0.
The tars' headers are read once (58 µs a sample), and a picture is then read at its place. So an epoch's order is a
seed's as with other data, which streams of shards, shuffled in a buffer, do not give.
"""

import io
import tarfile
from collections.abc import Iterator
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from runners.files import folder
from runners.images import Bytes, Images
from runners.pictures import ENDINGS, decode
from search_space.errors import InputError


class _Members:
    """Pictures by index, each some bytes of a tar."""

    def __init__(self, tars: list[Path], places: NDArray[np.int64], size: int) -> None:
        self._tars, self._places, self._size = tars, places, size  # [N, 3]: which tar, offset, bytes

    def __getitem__(self, indices: NDArray[np.int64]) -> Bytes:
        return np.stack([self._decode(*self._places[index].tolist()) for index in indices])

    def _decode(self, tar: int, offset: int, length: int) -> Bytes:
        with self._tars[tar].open("rb") as file:
            file.seek(offset)
            content = file.read(length)
        return decode(io.BytesIO(content), self._size, f"{self._tars[tar]}, at byte {offset},")


class Shards:
    """`*train*.tar` and `*test*.tar` or `*val*.tar` anywhere below a folder, not compressed.

    A published validation part is the *test* part here: the search's validation images come from train.
    """

    channels, in_memory = 3, False

    def __init__(self, path: str | None = None, size: int = 224) -> None:
        self._root, self._size = folder(path), size
        if not self._tars("train"):
            raise InputError(f"path: {self._root} holds no *train*.tar")

    @property
    def classes(self) -> int:
        """One more than the highest class in the training part."""
        return int(self._training.labels.max()) + 1

    def read(self, part: Literal["train", "test"]) -> Images:
        """List one part; the pictures are decoded when they are asked for."""
        return self._training if part == "train" else self._list(self._tars("test") or self._tars("val"))

    @cached_property
    def _training(self) -> Images:
        return self._list(self._tars("train"))

    def _tars(self, part: str) -> list[Path]:
        return [tar for tar in sorted(self._root.rglob("*.tar")) if part in str(tar.relative_to(self._root))]

    def _list(self, tars: list[Path]) -> Images:
        found = [(tar, *sample) for tar, path in enumerate(tars) for sample in _samples(path)]
        if not found:
            raise InputError(f"path: {self._root} holds no tar with a picture of {', '.join(sorted(ENDINGS))}")
        table = np.array(found, np.int64)
        return Images(_Members(tars, table[:, :3], self._size), table[:, 3], np.arange(len(table)))


def _key(member: tarfile.TarInfo) -> str:
    """Return a member's name up to its file's first dot."""
    folders, slash, name = member.name.rpartition("/")
    return folders + slash + name.partition(".")[0]


def _samples(path: Path) -> Iterator[tuple[int, int, int]]:
    """Yield each picture's offset, its length and its class."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for key, members in groupby(filter(tarfile.TarInfo.isreg, tar), _key):
                by_ending = {member.name[len(key) :].lower(): member for member in members}
                for picture in (member for ending, member in by_ending.items() if ending in ENDINGS):
                    label = _class(tar, by_ending.get(".cls"), f"{path}: {key}.cls")
                    yield picture.offset_data, picture.size, label
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # where tarfile takes damage for the end
                raise tarfile.ReadError(f"no end at byte {tar.offset}")
    except tarfile.TarError as error:
        raise InputError(f"path: {path} is no tar, compressed, cut short or damaged ({error})") from None


def _class(tar: tarfile.TarFile, member: tarfile.TarInfo | None, place: str) -> int:
    """Return the number in a `.cls` file."""
    text = b"" if member is None else cast(IO[bytes], tar.extractfile(member)).read(32)
    if not text.strip().isdigit():
        raise InputError(f"path: {place}: {text.decode(errors='replace')!r}; takes a class, a number from 0")
    return int(text)
