"""mnas: search for a baseline network by reinforcement learning, inspect the search, scale what it
found.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mnas.version import __version__

if TYPE_CHECKING:
    from mnas.notebook import Run

__all__ = ["__version__", "open_run"]


def open_run(path: "str | Path") -> "Run":
    """Open the log of a search: a table of its trials, its best, its Pareto front, its networks.

    Raises:
        InputError: when there is none, or a line of it can't be read.
    """
    from mnas import notebook  # so that `import mnas` stays light

    return notebook.Run.open(Path(path))
