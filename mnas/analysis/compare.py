"""Searches side by side: the best reward so far at the same numbers of trials, with the spread over
seeds.

Runs of one configuration but for the seed, and for what does not change a result (`[runner]`,
`[log]`), are one group.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnas.analysis.ranking import best_so_far
from mnas.analysis.rerank import describe
from mnas.journal.log import Log
from search_space import InputError
from search_space.errors import printable

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


def groups(logs: Sequence[Log]) -> list[Group]:
    """Sort searches into groups, named after what tells them apart.

    Raises:
        InputError: when their rewards differ, or one is there twice: one seed is one search.
    """
    first = logs[0]
    for log in logs[1:]:
        if log.reward != first.reward:
            raise InputError(
                f"--compare {log.run}: {describe(log.reward)}; "
                f"{first.run}: {describe(first.reward)}; "
                f"takes runs of one reward, or --rerank for all of them"
            )
    found: dict[str, list[Log]] = {}
    for log in logs:
        alike = found.setdefault(json.dumps(_settings(log), sort_keys=True), [])
        for other in alike:
            if other.settings.seed == log.settings.seed:
                raise InputError(
                    f"--compare {log.run}: the search of {other.run}, "
                    f"of seed {log.settings.seed} too"
                )
        alike.append(log)
    said = [_flat(_settings(alike[0])) for alike in found.values()]
    telling = [
        key
        for key in dict.fromkeys(k for each in said for k in each)
        if len({str(e.get(key)) for e in said}) > 1
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
    return {
        f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()
    }


def _name(said: dict[str, Any], telling: Sequence[str]) -> str:
    """Name a group by its controller, and by what else is its own."""
    others = [f"{key}={said[key]}" for key in telling if key in said and key != "controller.name"]
    return printable(" ".join([str(said["controller.name"]), *others]))


def budgets(found: Sequence[Group]) -> list[int]:
    """Return 10, 30, 100, 300 … as far as any search went, and where the first and the last of them
    end.
    """
    lengths = [length for group in found for log in group.logs if (length := len(best_so_far(log)))]
    round_ones = (number * 10**power for power in range(1, 10) for number in (1, 3))
    ends = {min(lengths), max(lengths)} if lengths else set()
    return sorted({each for each in round_ones if each <= max(ends, default=0)} | ends)
