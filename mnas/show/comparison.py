"""Searches side by side, as a table and as a picture."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from controllers.base import Array
from mnas.analysis.compare import Group, budgets
from mnas.analysis.ranking import best_so_far
from mnas.analysis.rerank import describe
from mnas.show.plots import picture
from search_space.errors import printable, require


def text(found: Sequence[Group]) -> str:
    """Write the best reward so far of each group as a table.

    Raises:
        InputError: when nothing is told yet.
    """
    at = budgets(found)
    require(bool(at), "--compare", 0, "searches with a trial told")
    logs = [log for group in found for log in group.logs]
    lines = [f"Best reward so far; {describe(logs[0].reward)}", ""]
    rows = [
        [
            group.name,
            len(group.logs),
            *(_cell(group.best_so_far(budget), len(group.logs)) for budget in at),
        ]
        for group in found
    ]
    lines.append(
        tabulate(rows, ["search", "seeds", *(f"{b:,} trials" for b in at)], disable_numparse=True)
    )
    if any(len(group.logs) > 1 for group in found):
        lines += ["", "± standard deviation over seeds; (n) where only n of them came so far"]
    if len({json.dumps(log.header.space, sort_keys=True) for log in logs}) > 1:
        names = dict.fromkeys(str(log.header.config.get("space", {}).get("name")) for log in logs)
        lines += [
            "",
            f"Their spaces differ ({printable(', '.join(names))}): "
            "not the controllers alone are compared",
        ]
    return "\n".join(lines)


def _cell(rewards: Array, of: int) -> str:
    if not len(rewards):
        return ""
    spread = f" ± {rewards.std(ddof=1):.4f}" if len(rewards) > 1 else ""
    return f"{rewards.mean():.4f}{spread}" + (f" ({len(rewards)})" if len(rewards) < of else "")


def plot(found: Sequence[Group], path: Path) -> None:
    """Draw the best reward so far of each group over the trials: the mean, in a band of one
    standard deviation.

    Raises:
        InputError: when matplotlib is not there, or the file's ending is unknown.
    """
    figure = picture(path)
    axes = figure.subplots()
    for group in found:
        curves = [best_so_far(log) for log in group.logs]
        common = min(map(len, curves))
        shared = np.array([curve[:common] for curve in curves])
        trials, mean = np.arange(1, common + 1), shared.mean(0)
        seeds = "1 seed" if len(curves) == 1 else f"{len(curves)} seeds"
        (line,) = axes.plot(trials, mean, lw=1.5, label=f"{group.name} ({seeds})")
        if len(curves) > 1:
            spread = shared.std(0, ddof=1)
            axes.fill_between(
                trials, mean - spread, mean + spread, alpha=0.2, color=line.get_color(), lw=0
            )
    axes.set_xscale("log")
    axes.set_xlabel("trials")
    axes.set_ylabel("best reward so far")
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=120)
