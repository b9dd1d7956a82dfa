"""A search under another reward, as text."""

from collections.abc import Mapping

import numpy as np
from tabulate import tabulate

from mnas.analysis.ranking import Row, best, row
from mnas.analysis.rerank import describe
from mnas.analysis.statistics import spearman
from mnas.formatting import millions
from mnas.journal.log import Log

NEAR = 0.1  # of the target, either way


def text(before: Log, after: Log, count: int = 5) -> str:
    """Say what is best under the new reward, how the order changed, and how much was tried near the
    new target.
    """
    lines = [
        f"{before.run} under another reward; nothing was trained",
        "",
        f"  was  {describe(before.reward)}",
    ]
    lines += [f"  now  {describe(after.reward)}", ""]
    order = best(before, len(before.outcomes))
    if not order:
        return "\n".join([*lines, "No trial is done yet"])
    old, new = _ranks(order), _ranks(best(after, len(after.outcomes)))
    lines += [
        "Best trials now, and where they were among the networks",
        _table(before, after, best(after, count), old),
    ]
    lines += [
        "",
        f"The best before, trial {order[0].trial}, is now {new[order[0].digest]} of {len(new):,}",
    ]
    lines += [_held(old, new), _near(after)]
    return "\n".join(lines)


def _ranks(ordered: list[Row]) -> dict[str, int]:
    """Return each network's rank, from 1, by its digest."""
    return {each.digest: rank for rank, each in enumerate(ordered, start=1)}


def _table(before: Log, after: Log, top: list[Row], old: Mapping[str, int]) -> str:
    price = after.reward.cost
    cells = [
        [
            rank,
            old[each.digest],
            each.trial,
            f"{each.accuracy:.4f}",
            f"{each.reward:.4f}",
            f"{row(before, each.trial).reward:.4f}",
            millions(getattr(each, price)),
            f"{getattr(each, price) / after.reward.target:.2f}",
        ]
        for rank, each in enumerate(top, start=1)
    ]
    name = "MACs" if price == "macs" else price
    headers = ["rank", "old rank", "trial", "accuracy", "reward", "old reward", name, "of target"]
    return tabulate(cells, headers, disable_numparse=True)


def _held(old: Mapping[str, int], new: Mapping[str, int]) -> str:
    if len(old) < 3:
        return "Of so few networks no order can be told"
    correlation = spearman([(old[digest], new[digest]) for digest in old])
    return f"The order of the {len(old):,} networks held with Spearman {correlation:.2f}"


def _near(log: Log) -> str:
    """Say how many networks the search tried near the target: whether the log can tell what is best
    there.
    """
    tried = {ask.digest: getattr(ask, log.reward.cost) for ask in log.asks.values()}
    ratios = np.array(list(tried.values())) / log.reward.target
    near, under_it = int((abs(ratios - 1) <= NEAR).sum()), int((ratios <= 1).sum())
    return (
        f"Within {NEAR:.0%} of the target are {near:,} of the {len(ratios):,} networks tried, "
        f"{under_it:,} are not over it"
    )
