"""Pictures in tar files, as the library webdataset writes them: a few large files, where a
cluster's disks are slow to open millions of small ones.

A sample is the files of one name up to its first dot, in a row: a picture, `0001.jpg`, and its
class, `0001.cls`, a number from 0. The tars' headers are read once (58 µs a sample), and a picture
is then read at its place. So an epoch's order is a seed's as with other data, which streams of
shards, shuffled in a buffer, do not give.
"""

import glob
import io
import os
import re
import tarfile
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from runners.data.folder import ENDINGS, decode
from runners.data.images import Bytes, Images, Part
from runners.files import folder
from search_space.errors import InputError

_PART = re.compile(r"(?<![a-z])(train|test|val)(?:ing|id|idation)?(?![a-z])")


@lru_cache(maxsize=512)
def _opened(tar: Path) -> IO[bytes]:
    """Open a tar, and keep it so: fewer than the 1,024 files that a process may often have open."""
    try:
        return tar.open("rb")
    except FileNotFoundError:
        raise InputError(f"path: {tar} is not here") from None


class _Members:
    """Pictures by index, each some bytes of a tar."""

    def __init__(self, tars: list[Path], places: NDArray[np.int64], size: int) -> None:
        self._tars, self._places, self._size = (
            tars,
            places,
            size,
        )  # [N, 3]: which tar, offset, bytes

    def __getitem__(self, indices: NDArray[np.int64]) -> Bytes:
        return np.stack([self._decode(*self._places[index].tolist()) for index in indices])

    def _decode(self, tar: int, offset: int, length: int) -> Bytes:
        content = os.pread(
            _opened(self._tars[tar]).fileno(), length, offset
        )  # threads may, at once
        return decode(io.BytesIO(content), self._size, f"{self._tars[tar]}, at byte {offset},")


class Shards:
    """Tars anywhere below a folder, not compressed. The last of train, val and test in a tar's path
    says its part.

    A published validation part is the *test* part here, where there is no other: the search's
    validation images come from train.
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

    def read(self, part: Part) -> Images:
        """List one part; the pictures are decoded when they are asked for."""
        return (
            self._training
            if part == "train"
            else self._list(self._tars("test") or self._tars("val"))
        )

    @cached_property
    def _training(self) -> Images:
        return self._list(self._tars("train"))

    def _tars(self, part: str) -> list[Path]:
        found = glob.glob("**/*.tar", root_dir=self._root, recursive=True)  # noqa: PTH207  # Path's follows no links
        mine = (
            self._root / name
            for name in sorted(found)
            if _PART.findall(name.lower())[-1:] == [part]
        )
        return list(
            dict.fromkeys(tar.resolve() for tar in mine)
        )  # each once, whatever links lead to it

    def _list(self, tars: list[Path]) -> Images:
        found = [(tar, *sample) for tar, path in enumerate(tars) for sample in _samples(path)]
        if not found:
            raise InputError(
                f"path: {self._root} holds no such tar with "
                f"pictures of {', '.join(sorted(ENDINGS))}"
            )
        table = np.array(found, np.int64)
        # In one piece each: only such arrays are shared between workers instead of copied.
        places, labels = np.ascontiguousarray(table[:, :3]), np.ascontiguousarray(table[:, 3])
        return Images(_Members(tars, places, self._size), labels, np.arange(len(table)))


def _samples(path: Path) -> Iterator[tuple[int, int, int]]:
    """Yield each picture's offset, its length and its class."""
    if not path.is_file():
        raise InputError(f"path: {path} is no file")
    with path.open("rb") as file:
        for key, members in groupby(_members(file, path), _key):
            by_ending = {member.name[len(key) :].lower(): member for member in members}
            pictures = [member for ending, member in by_ending.items() if ending in ENDINGS]
            if not pictures and ".cls" not in by_ending:
                continue
            if len(pictures) != 1:
                raise InputError(
                    f"path: {path}: {key} has {len(pictures)} pictures; takes one beside {key}.cls"
                )
            yield (
                pictures[0].offset_data,
                pictures[0].size,
                _class(file, by_ending.get(".cls"), f"{path}: {key}.cls"),
            )


def _members(file: IO[bytes], path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield a tar's files in order."""
    last = -1
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while member := tar.next():
                if member.offset <= last or member.size < 0 or member.issparse():
                    raise tarfile.ReadError(f"no plain member at byte {member.offset}")
                last = member.offset
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if member.isreg() and not Path(member.name).name.startswith("."):
                    yield member
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(
                tarfile.BLOCKSIZE
            ):  # where tarfile takes damage for the end
                raise tarfile.ReadError(f"no end at byte {tar.offset}")
    except (
        tarfile.TarError,
        ValueError,
        OverflowError,
        MemoryError,
        RecursionError,
    ) as error:  # of hostile headers
        raise InputError(
            f"path: {path} is no tar, compressed, cut short or damaged ({error})"
        ) from None


def _key(member: tarfile.TarInfo) -> str:
    """Return a member's name up to its file's first dot."""
    folders, slash, name = member.name.rpartition("/")
    return folders + slash + name.partition(".")[0]


def _class(file: IO[bytes], member: tarfile.TarInfo | None, place: str) -> int:
    """Return the number in a `.cls` file."""
    text = (
        b"" if member is None else os.pread(file.fileno(), min(member.size, 40), member.offset_data)
    )
    if not re.fullmatch(rb"\s*\d{1,6}\s{0,9}", text):  # shorter than what was read: nothing follows
        raise InputError(
            f"path: {place}: {text.decode(errors='replace')!r}; "
            "takes a class, a number from 0 to 999,999"
        )
    return int(text)
