"""One copy of an object's arrays for all processes of a machine."""

import numpy as np
import pytest

from runners.sharing import Shared


@pytest.mark.parametrize(
    "arrays",
    [
        [np.arange(3, dtype=np.uint8), np.arange(4), np.zeros(0), np.arange(5, dtype=np.float32)],
        [np.zeros(0), np.zeros((2, 0), np.uint8)],
        [],
    ],
)
def test_arrays_arrive_as_they_were_aligned_and_read_only(
    arrays: list[np.ndarray[tuple[int, ...], np.dtype]],
) -> None:
    shared = Shared({"arrays": arrays})
    taken = shared.take()["arrays"]
    for array, made in zip(taken, arrays, strict=True):
        np.testing.assert_array_equal(array, made)
        assert array.dtype == made.dtype
        assert array.flags.aligned
        assert array.ctypes.data % array.itemsize == 0
    assert not any(array.flags.writeable for array in taken if array.size)
    shared.close()
