import numpy as np
import pytest

from runners.images import Images, split
from search_space import InputError


def test_the_split_takes_the_same_share_of_every_class_and_is_always_the_same() -> None:
    labels = np.repeat(np.arange(5), 20)
    images = Images(np.zeros((100, 1, 2, 2), np.uint8), labels, np.arange(100))
    train, validation = split(images, 0.25)
    assert np.bincount(validation.labels).tolist() == [5] * 5
    assert sorted([*train.indices, *validation.indices]) == list(range(100))
    assert np.array_equal(split(images, 0.25)[1].indices, validation.indices)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_every_class_is_on_both_sides(fraction: float) -> None:
    images = Images(np.zeros((9, 1, 2, 2), np.uint8), np.array([0] * 7 + [1] * 2), np.arange(9))
    for side in split(images, fraction):
        assert set(side.labels) == {0, 1}


def test_a_class_of_one_image_is_refused() -> None:
    images = Images(np.zeros((4, 1, 2, 2), np.uint8), np.array([0, 0, 0, 1]), np.arange(4))
    with pytest.raises(InputError, match="path: 'class 1'; takes two images of each class or more"):
        split(images, 0.5)
