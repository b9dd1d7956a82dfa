import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from runners.data.images import Bytes, Images, batches, split
from search_space import InputError


def test_the_split_takes_the_same_share_of_every_class_and_is_always_the_same() -> None:
    labels = np.repeat(np.arange(5), 20)
    images = Images(np.zeros((100, 2, 2, 1), np.uint8), labels, np.arange(100))
    train, validation = split(images, 0.25)
    assert np.bincount(validation.labels).tolist() == [5] * 5
    assert sorted([*train.indices, *validation.indices]) == list(range(100))
    assert np.array_equal(split(images, 0.25)[1].indices, validation.indices)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_every_class_is_on_both_sides(fraction: float) -> None:
    images = Images(np.zeros((9, 2, 2, 1), np.uint8), np.array([0] * 7 + [1] * 2), np.arange(9))
    for side in split(images, fraction):
        assert set(side.labels) == {0, 1}


def test_a_class_of_one_image_is_refused() -> None:
    images = Images(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 0, 0, 1]), np.arange(4))
    with pytest.raises(InputError, match="path: 'class 1'; takes two images of each class or more"):
        split(images, 0.5)


def test_batches_come_in_order_however_many_read_ahead() -> None:
    images = Images(
        np.arange(400, dtype=np.uint8).reshape(100, 2, 2, 1),
        np.arange(100),
        np.arange(100)[::-1].copy(),
    )
    chosen = np.split(np.random.default_rng(0).permutation(100), 10)
    alone = list(batches(images, chosen, 0))
    assert len(alone) == 10
    for readers in (1, 3, 20):
        for (ours, labels), (pixels, theirs) in zip(
            alone, batches(images, chosen, readers), strict=True
        ):
            assert np.array_equal(ours, pixels)
            assert np.array_equal(labels, theirs)


class Waiting:
    """Gives no image before `others` more were asked for: readers that are at it together."""

    def __init__(self, others: int) -> None:
        self.barrier = threading.Barrier(others + 1, timeout=10)

    def __getitem__(self, indices: NDArray[np.int64]) -> Bytes:
        self.barrier.wait()
        return np.zeros((len(indices), 1, 1, 1), np.uint8)


def test_readers_read_at_the_same_time() -> None:
    images = Images(Waiting(others=2), np.arange(6), np.arange(6))
    assert len(list(batches(images, np.split(np.arange(6), 6), 3))) == 6


def test_a_picture_that_can_not_be_read_is_said_in_its_turn_and_nothing_goes_on() -> None:
    class Broken:
        def __getitem__(self, indices: NDArray[np.int64]) -> Bytes:
            if 3 in indices:
                raise InputError("path: cat.jpg is no picture")
            return np.zeros((len(indices), 1, 1, 1), np.uint8)

    images = Images(Broken(), np.arange(9), np.arange(9))
    read = batches(images, np.split(np.arange(9), 9), 2)
    assert [labels.item() for _, labels in (next(read) for _ in range(3))] == [0, 1, 2]
    with pytest.raises(InputError, match=r"cat\.jpg is no picture"):
        next(read)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")]
