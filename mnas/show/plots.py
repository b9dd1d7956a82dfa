"""A search as a picture, by matplotlib."""

from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from mnas.analysis.ranking import Row, best, pareto, rows
from mnas.journal.log import Log
from search_space.errors import InputError, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(path: Path) -> "Figure":
    """Return an empty figure that can be saved to `path`.

    Raises:
        InputError: when the file's ending is unknown, or matplotlib is not there.
    """
    require(
        path.suffix in (".png", ".svg", ".pdf"),
        "plot",
        str(path),
        "a file ending in .png, .svg or .pdf",
    )
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("plot: needs matplotlib; pip install 'mnas[quickstart]'") from None
    return Figure(figsize=(10, 4), layout="constrained")


def plot(log: Log, path: Path) -> None:
    """Draw accuracy against cost, with Pareto front and target, beside the reward over the trials.

    Raises:
        InputError: as `picture`, or when no trial is done.
    """
    figure = picture(path)
    shown, cost = rows(log), log.reward.cost
    if not shown:
        raise InputError(f"plot: {log.run} has no trained trial yet")
    unbeaten = pareto(shown, cost)
    winner = best(log, 1)[0]
    left, right = figure.subplots(1, 2)

    def price(row: Row) -> float:
        value: int = getattr(row, cost)
        return value / 1e6

    points = left.scatter(
        [price(r) for r in shown],
        [100 * r.accuracy for r in shown],
        c=[r.trial for r in shown],
        s=22,
    )
    figure.colorbar(points, ax=left, label="trial")
    left.step(
        [price(r) for r in unbeaten],
        [100 * r.accuracy for r in unbeaten],
        where="post",
        color="grey",
        lw=1,
        label="Pareto front",
    )
    left.scatter(
        [price(winner)],
        [100 * winner.accuracy],
        s=130,
        facecolors="none",
        edgecolors="red",
        label=f"best reward (trial {winner.trial})",
    )
    left.axvline(log.reward.target / 1e6, color="grey", ls=":", lw=1, label="target")
    left.set_xlabel("multiply-adds (millions)" if cost == "macs" else "parameters (millions)")
    left.set_ylabel("validation accuracy (%)")
    left.legend(fontsize=8, loc="lower right")
    so_far = list(accumulate((r.reward for r in shown), max))
    right.scatter(
        [r.trial for r in shown], [r.reward for r in shown], s=14, color="grey", label="trial"
    )
    right.step(
        [r.trial for r in shown], so_far, where="post", color="red", lw=1.5, label="best so far"
    )
    right.set_xlabel("trial")
    right.set_ylabel("reward")
    right.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=120)
