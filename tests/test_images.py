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


def test_a_split_that_leaves_a_side_empty_is_refused() -> None:
    images = Images(np.zeros((4, 1, 2, 2), np.uint8), np.arange(4), np.arange(4))
    with pytest.raises(InputError, match=r"val_fraction: 0.1; takes a share that splits 4 images"):
        split(images, 0.1)
