"""One copy of an object's arrays for all the processes of a machine."""

import mmap
import os
import pickle
import sys
import tempfile
from multiprocessing.reduction import DupFd
from typing import IO, Any

_ALIGNED = 64  # bytes, where each array begins, as NumPy's and PyTorch's own do


class Shared:
    """A pickled object whose arrays lie in memory that spawned processes share; they can't write to
    it.

    The memory is a file without a name: it is gone with the last process that has it open, however
    that ends.
    """

    def __init__(self, value: object) -> None:
        buffers: list[pickle.PickleBuffer] = []
        self._pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        self._sizes = [buffer.raw().nbytes for buffer in buffers]
        self._file = _nameless()
        for buffer in buffers:
            self._file.write(buffer.raw())
            self._file.write(bytes(-buffer.raw().nbytes % _ALIGNED))
        self._file.flush()

    def __getstate__(self) -> dict[str, Any]:
        """Go to a process that is being spawned, and nowhere else."""
        return {"pickled": self._pickled, "sizes": self._sizes, "file": DupFd(self._file.fileno())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive there."""
        self._pickled, self._sizes = state["pickled"], state["sizes"]
        self._file = os.fdopen(state["file"].detach(), "rb")

    def take(self) -> Any:
        """Make the object."""
        buffers, start = [], 0
        content = (
            mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ) if any(self._sizes) else b""
        )
        for size in self._sizes:
            buffers.append(memoryview(content)[start : start + size])
            start += size + -size % _ALIGNED
        return pickle.loads(self._pickled, buffers=buffers)

    def close(self) -> None:
        """Let the memory go when the other processes end."""
        self._file.close()


def _nameless() -> IO[bytes]:
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("mnas"), "w+b")
    return tempfile.TemporaryFile()  # closed with its owner
