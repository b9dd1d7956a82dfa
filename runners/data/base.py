"""What a data set is."""

from typing import Protocol

from runners.data.images import Images, Part


class DataSet(Protocol):
    """A data set on this machine. Making one checks that it is there and reads no image."""

    @property
    def classes(self) -> int:
        """How many."""
        ...

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        ...

    @property
    def in_memory(self) -> bool:
        """Whether what is read is there as one array, and not as files that are opened when asked
        for.
        """
        ...

    def read(self, part: Part) -> Images:
        """Read one part."""
        ...
