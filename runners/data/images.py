"""Labelled images by index, and the cut between those to train on and those to measure on."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from search_space.errors import require

Part = Literal["train", "test"]
Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]


class Pixels(Protocol):
    """Something that gives images by index: an array, or files decoded when asked for."""

    def __getitem__(self, indices: NDArray[np.int64]) -> Bytes:
        """Return the images `[B, H, W, C]`."""
        ...


@dataclass(frozen=True, slots=True)
class Images:
    """Labelled images."""

    pixels: Pixels
    labels: Labels  # [N]
    indices: NDArray[np.int64]  # [N], of the images in `pixels`

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, positions: NDArray[np.int64]) -> tuple[Bytes, Labels]:
        """Return images `[B, H, W, C]` and labels `[B]` at positions of 0 to len - 1."""
        return self.pixels[self.indices[positions]], self.labels[positions]

    def take(self, positions: NDArray[np.int64]) -> "Images":
        """Return the images at `positions` without copying any."""
        return Images(self.pixels, self.labels[positions], self.indices[positions])


def batches(
    images: Images, chosen: Iterable[NDArray[np.int64]], readers: int
) -> Iterator[tuple[Bytes, Labels]]:
    """Yield the images at each of the `chosen` positions, with their labels, in that order.

    With `readers`, as many threads read ahead, a batch each: Pillow and NumPy let others work while
    they decode.
    """
    if not readers:
        yield from map(images.batch, chosen)
        return
    pool, waiting = ThreadPoolExecutor(readers, "reader"), deque[Future[tuple[Bytes, Labels]]]()
    try:
        for positions in chosen:
            waiting.append(pool.submit(images.batch, positions))
            if len(waiting) > readers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def split(images: Images, fraction: float) -> tuple[Images, Images]:
    """Cut a validation set off: the same `fraction` of every class, but at least one image on
    either side.

    The cut is the same for everyone and does not hang on the search's seed, so that accuracies of
    different searches compare.

    Raises:
        InputError: when a class has one image only.
    """
    rng = np.random.default_rng(0)
    chosen = np.zeros(len(images), dtype=bool)
    for label in np.unique(images.labels):
        members = rng.permutation(np.flatnonzero(images.labels == label))
        require(
            len(members) >= 2,
            "path",
            f"class {label}",
            "two images of each class or more, to train and to measure",
        )
        chosen[members[: min(max(1, round(fraction * len(members))), len(members) - 1)]] = True
    return images.take(np.flatnonzero(~chosen)), images.take(np.flatnonzero(chosen))
