"""Searches side by side: the best reward so far at the same numbers of trials, with the spread over seeds.

Runs of one configuration but for the seed, and for what does not change a result (`[runner]`, `[log]`), are one group.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from mnas.log import Log
from mnas.report import picture
from mnas.rerank import describe
from search_space import InputError
from search_space.errors import printable, require

Array = NDArray[np.float64]
_ALIKE = ("runner", "log", "train")  # tables that change no result of a trial


@dataclass(frozen=True, slots=True)
class Group:
    """Searches that differ in their seed alone."""

    name: str
    logs: list[Log]

    def best_so_far(self, budget: int) -> Array:
        """Return, of each search that told so many trials, the highest reward among them."""
        curves = [best_so_far(log) for log in self.logs]
        return np.array([curve[budget - 1] for curve in curves if len(curve) >= budget])


def best_so_far(log: Log) -> Array:
    """Return the highest reward after 1, 2, … trials, as far as all before were told. `[N]`

    One that was expected of a child ended early is none: under another reward (`rerank.py`) it might be the highest.
    """
    rewards: list[float] = []
    while (outcome := log.outcomes.get(len(rewards))) is not None:
        rewards.append(-np.inf if outcome.stopped_early else outcome.reward)
    return np.maximum.accumulate(rewards or np.zeros(0))


def groups(logs: Sequence[Log]) -> list[Group]:
    """Sort searches into groups, named after what tells them apart.

    Raises:
        InputError: when their rewards differ, or one is there twice: one seed is one search.
    """
    first = logs[0]
    for log in logs[1:]:
        if log.reward != first.reward:
            raise InputError(
                f"--compare {log.run}: {describe(log.reward)}; {first.run}: {describe(first.reward)}; "
                f"takes runs of one reward, or --rerank for all of them"
            )
    found: dict[str, list[Log]] = {}
    for log in logs:
        alike = found.setdefault(json.dumps(_settings(log), sort_keys=True), [])
        for other in alike:
            if other.settings.seed == log.settings.seed:
                raise InputError(f"--compare {log.run}: the search of {other.run}, of seed {log.settings.seed} too")
        alike.append(log)
    said = [_flat(_settings(alike[0])) for alike in found.values()]
    telling = [
        key for key in dict.fromkeys(k for each in said for k in each) if len({str(e.get(key)) for e in said}) > 1
    ]
    names = [_name(each, telling) for each in said]
    return [Group(name, alike) for name, alike in zip(names, found.values(), strict=True)]


def _settings(log: Log) -> dict[str, Any]:
    """Return what a search's results hang on, but for the seed."""
    tables = {name: dict(table) for name, table in log.header.config.items() if name not in _ALIKE}
    tables.get("search", {}).pop("seed", None)
    tables.get("search", {}).pop("trials", None)  # a longer search begins as a shorter one
    tables["controller"] = {"name": "ppo"} | tables.get("controller", {})
    tables.pop("reward", None)  # the same for all
    return tables


def _flat(tables: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()}


def _name(said: dict[str, Any], telling: Sequence[str]) -> str:
    """Name a group by its controller, and by what else is its own."""
    others = [f"{key}={said[key]}" for key in telling if key in said and key != "controller.name"]
    return printable(" ".join([str(said["controller.name"]), *others]))


def budgets(found: Sequence[Group]) -> list[int]:
    """Return 10, 30, 100, 300 … as far as any search went, and where the first and the last of them end."""
    lengths = [length for group in found for log in group.logs if (length := len(best_so_far(log)))]
    round_ones = (number * 10**power for power in range(1, 10) for number in (1, 3))
    ends = {min(lengths), max(lengths)} if lengths else set()
    return sorted({each for each in round_ones if each <= max(ends, default=0)} | ends)


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
        [group.name, len(group.logs), *(_cell(group.best_so_far(budget), len(group.logs)) for budget in at)]
        for group in found
    ]
    lines.append(tabulate(rows, ["search", "seeds", *(f"{b:,} trials" for b in at)], disable_numparse=True))
    if any(len(group.logs) > 1 for group in found):
        lines += ["", "± standard deviation over seeds; (n) where only n of them came so far"]
    if len({json.dumps(log.header.space, sort_keys=True) for log in logs}) > 1:
        names = dict.fromkeys(str(log.header.config.get("space", {}).get("name")) for log in logs)
        lines += ["", f"Their spaces differ ({printable(', '.join(names))}): not the controllers alone are compared"]
    return "\n".join(lines)


def _cell(rewards: Array, of: int) -> str:
    if not len(rewards):
        return ""
    spread = f" ± {rewards.std(ddof=1):.4f}" if len(rewards) > 1 else ""
    return f"{rewards.mean():.4f}{spread}" + (f" ({len(rewards)})" if len(rewards) < of else "")


def plot(found: Sequence[Group], path: Path) -> None:
    """Draw the best reward so far of each group over the trials: the mean, in a band of one standard deviation.

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
            axes.fill_between(trials, mean - spread, mean + spread, alpha=0.2, color=line.get_color(), lw=0)
    axes.set_xscale("log")
    axes.set_xlabel("trials")
    axes.set_ylabel("best reward so far")
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=120)
