"""The recommended network, in a line."""

from mnas.analysis.ranking import best
from mnas.analysis.recommend import recommend
from mnas.journal.log import Log


def text(log: Log) -> str:
    """Say in one line which trial is recommended, and how sure that is; nothing where nothing can
    be said.
    """
    found = recommend(log)
    if not found:
        return ""
    (only,) = found
    told = best(log, 1)[0]
    words = (
        f"expected reward {only.expected:.4f} ± {only.spread:.4f}, "
        f"the best of all with {only.chance:.0%}"
    )
    luck = "" if told.trial == only.row.trial else f" (trial {told.trial} was told the highest)"
    words += f", trained {only.trained} times" if only.trained > 1 else ""
    return f"Recommended, and what mnas export takes: trial {only.row.trial}, {words}{luck}"
