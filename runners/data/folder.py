"""Pictures in files of their own, decoded when asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from runners.data.images import Bytes, Images, Part
from runners.files import folder
from search_space.errors import InputError

_FORMATS = (
    "JPEG",
    "PNG",
    "BMP",
    "WEBP",
)  # and nothing else that Pillow knows: EPS would be run by Ghostscript
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def decode(file: Path | IO[bytes], size: int, place: str) -> Bytes:
    """Decode a picture and cut it to its central square: `[size, size, 3]`, RGB.

    Args:
        file: what Pillow opens.
        size: pixels a side.
        place: where the picture is, for who has to look at it.

    Raises:
        InputError: when it can't be decoded.
    """
    from PIL import Image

    try:
        with Image.open(file, formats=_FORMATS) as picture:
            picture.draft("RGB", (size, size))  # JPEGs decode at half, a quarter … when large
            width, height = picture.size
            side = min(width, height)
            left, top = (width - side) // 2, (height - side) // 2
            square = picture.convert("RGB").resize(
                (size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
            )
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # what Pillow raises
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's fault, not the picture's
        raise InputError(f"path: {place} is no picture that can be read ({error})") from None
    return np.asarray(square)


class _Files:
    """Pictures by index, as `size`×`size` RGB."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self._paths, self._size = paths, size

    def __getitem__(self, indices: NDArray[np.int64]) -> Bytes:
        chosen = [self._paths[index] for index in indices.tolist()]
        return np.stack([decode(path, self._size, str(path)) for path in chosen])


class ImageFolder:
    """`train/CLASS/*.jpg` and `test/CLASS/*` or `val/CLASS/*`: ImageNet's layout, and
    torchvision's.

    A published `val` folder is the *test* part here: the search's validation images come from
    train.
    """

    channels, in_memory = 3, False

    def __init__(self, path: str | None = None, size: int = 224) -> None:
        self._root, self._size = folder(path), size
        self._classes = sorted(
            entry.name for entry in (self._root / "train").glob("[!.]*") if entry.is_dir()
        )
        if not self._classes:
            raise InputError(
                f"path: {self._root} holds no image folder; looked for train/CLASS/*.jpg"
            )

    @property
    def classes(self) -> int:
        """How many folders `train` has."""
        return len(self._classes)

    def read(self, part: Part) -> Images:
        """List one part; the pictures are decoded when they are asked for."""
        root = self._root / part
        if part == "test" and not root.is_dir():
            root = self._root / "val"
        found = list(self._files(root))
        if not found:
            raise InputError(f"path: {root} holds no picture of {', '.join(sorted(ENDINGS))}")
        labels = np.array([label for _, label in found])
        return Images(
            _Files([path for path, _ in found], self._size), labels, np.arange(len(labels))
        )

    def _files(self, root: Path) -> Iterator[tuple[Path, int]]:
        for label, name in enumerate(self._classes):
            for path in sorted((root / name).rglob("*")):
                if path.suffix.lower() in ENDINGS:
                    yield path, label
