"""Everything a journal answers, as data and as text: no torch, no server, no second file.

Rows, ranking and Pareto front are functions of the log; `text` and `plot` only show them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from controllers.base import Array
from mnas.journal.log import Log
from mnas.journal.records import Outcome
from search_space.cost import Metric

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Row:
    """A trial that was trained to its end (or told again) and did not fail."""

    trial: int
    accuracy: float
    reward: float
    macs: int
    params: int
    seconds: float
    digest: str
    reused_from: int | None


def measured(log: Log) -> list[Outcome]:
    """Return the outcomes that were measured, in order of their trials: no failures, none ended
    early.
    """
    in_order = (log.outcomes[trial] for trial in sorted(log.outcomes))
    return [
        outcome for outcome in in_order if outcome.failure is None and not outcome.stopped_early
    ]


def row(log: Log, trial: int) -> Row:
    """Return a trial that has an outcome as a row."""
    ask, outcome = log.asks[trial], log.outcomes[trial]
    return Row(
        trial=trial,
        accuracy=outcome.accuracy,
        reward=outcome.reward,
        macs=ask.macs,
        params=ask.params,
        seconds=outcome.seconds,
        digest=ask.digest,
        reused_from=outcome.reused_from,
    )


def rows(log: Log) -> list[Row]:
    """Return the trials with an accuracy, in order of their numbers."""
    return [row(log, outcome.trial) for outcome in measured(log)]


def best(log: Log, count: int) -> list[Row]:
    """Return the networks of highest reward, each once, the best first; of equals the earlier."""
    done = measured(log)
    top: dict[str, int] = {}  # digest -> trial
    for place in np.argsort([-outcome.reward for outcome in done], kind="stable").tolist():
        if len(top) >= count:
            break
        trial = done[place].trial
        top.setdefault(log.asks[trial].digest, trial)
    return [row(log, trial) for trial in top.values()]


def _unbeaten(costs: Sequence[int], accuracies: Sequence[float]) -> list[int]:
    """Return the places of a Pareto front, the cheapest first; of equals the first."""
    accuracy = np.array(accuracies)
    order = np.lexsort((-accuracy, np.array(costs)))  # stable
    ranked = accuracy[order]
    before = np.maximum.accumulate(
        np.concatenate([[-1.0], ranked[:-1]])
    )  # an accuracy is 0 or more
    found: list[int] = order[ranked > before].tolist()
    return found


def pareto(trained: Sequence[Row], cost: Metric) -> list[Row]:
    """Return the trials that no other beats in accuracy at the same cost or less, the cheapest
    first.
    """
    if not trained:
        return []
    ordered = sorted(trained, key=attrgetter("trial"))
    return [
        ordered[i]
        for i in _unbeaten([getattr(r, cost) for r in ordered], [r.accuracy for r in ordered])
    ]


def front(log: Log) -> list[Row]:
    """Return the Pareto front of a log's trials; as `pareto` of its rows, without making those."""
    done, price = measured(log), attrgetter(log.reward.cost)
    if not done:
        return []
    unbeaten = _unbeaten([price(log.asks[o.trial]) for o in done], [o.accuracy for o in done])
    return [row(log, done[place].trial) for place in unbeaten]


def best_so_far(log: Log) -> Array:
    """Return the highest reward after 1, 2, … trials, as far as all before were told. `[N]`

    One that was expected of a child ended early is none: under another reward (`rerank.py`) it
    might be the highest.
    """
    rewards: list[float] = []
    while (outcome := log.outcomes.get(len(rewards))) is not None:
        rewards.append(-np.inf if outcome.stopped_early else outcome.reward)
    return np.maximum.accumulate(rewards or np.zeros(0))
