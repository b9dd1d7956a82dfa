"""What the charts are drawn from: columns by trial, and what is counted over them, as plain data
for JSON.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnas.analysis.ranking import measured
from mnas.journal.log import Log
from mnas.show.page.timeline import Clock, timeline
from search_space import Space

DETAILED = 1000  # trials, beside the best and the Pareto front, whose genotype the page holds
CURVES = 10  # of the best, whose learning is drawn
BINS = 40  # of the trials, in what the controller asked
POINTS = 80  # of a curve over the trials
Pairs = list[tuple[float, float]]


def charts(log: Log, compared: Log | None, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the script draws, beside what the page has said (`words.told`)."""
    winner = [said["winner"].trial] if said["winner"] else []
    front, top = ([row.trial for row in said[name]] for name in ("front", "top"))
    return {
        **trials(log),
        "run": str(log.run),
        "unit": said["unit"],
        "reward": asdict(log.reward),
        "winner": next(iter(winner), None),
        "advised": bool(said["advice"]),
        "front": front,
        "space": decisions(log.space),
        "details": details(
            log, [*winner, *front, *top, *(each["trial"] for each in said["failures"])]
        ),
        "progress": progress(log, compared),
        "asked": asked(log),
        "timeline": timeline(log),
        "curves": curves(log, top[:CURVES]),
    }


def trials(log: Log) -> dict[str, Any]:
    """Return columns by trial number: accuracy and reward (None where there is none) and the
    reward's cost.
    """
    done = [log.outcomes.get(trial) for trial in log.asks]
    good = [None if o is None or o.failure or o.stopped_early else o for o in done]
    return {
        "accuracy": [None if outcome is None else round(outcome.accuracy, 5) for outcome in good],
        "reward_of": [None if outcome is None else round(outcome.reward, 5) for outcome in good],
        "cost": [getattr(ask, log.reward.cost) for ask in log.asks.values()],
        "failed": {o.trial: o.failure.kind for o in log.outcomes.values() if o.failure},
        "stopped_early": {
            o.trial: [len(o.curve), o.accuracy] for o in log.outcomes.values() if o.stopped_early
        },
    }


def details(log: Log, noted: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return all that is known of some trials: those noted, and of the others as many, evenly, as
    the page may hold.
    """
    step = -(-len(log.asks) // DETAILED)
    retries: dict[int, list[str]] = {}
    for retry in log.retries:
        retries.setdefault(retry.trial, []).append(
            f"{retry.failure.kind}: {retry.failure.message[:200]}"
        )
    chosen = sorted({*noted, *range(0, len(log.asks), step)})
    return {trial: _detail(log, trial) | {"retries": retries.get(trial, [])} for trial in chosen}


def _detail(log: Log, trial: int) -> dict[str, Any]:
    ask, outcome = log.asks[trial], log.outcomes.get(trial)
    known = {"genotype": ask.genotype, "macs": ask.macs, "params": ask.params, "digest": ask.digest}
    if outcome is None:
        return known
    failure = outcome.failure
    return known | {
        "curve": [round(accuracy, 4) for accuracy in _thinned(outcome.curve, POINTS)],
        "seconds": round(outcome.seconds, 2),
        "worker": outcome.worker,
        "failure": f"{failure.kind}: {failure.message[:500]}" if failure else None,
        "reused_from": outcome.reused_from,
    }


def _thinned(values: Sequence[float], most: int) -> Sequence[float]:
    """Return at most `most` of some values, evenly, the first and the last among them."""
    if len(values) <= most:
        return values
    return [values[place] for place in np.linspace(0, len(values) - 1, most).astype(int)]


def decisions(space: Space) -> list[dict[str, Any]]:
    """Return what the space asks."""
    return [
        {"stage": d.stage, "field": d.field, "choices": list(map(str, d.choices))}
        for d in space.decisions
    ]


def asked(log: Log) -> dict[str, Any]:
    """Return how often each answer was asked, in percent, by decision, choice and bin of the
    trials.

    It needs nothing of the controller but what it asked, so it is there for every one.
    """
    answers = np.array([ask.genotype for ask in log.asks.values()], np.int64)  # [N, D]
    edges = np.linspace(0, len(answers), min(BINS, len(answers)) + 1).astype(int)
    widths = np.diff(edges)
    bins = np.repeat(np.arange(len(widths)), widths)  # [N]
    shares = []
    for number, size in enumerate(log.space.sizes):
        counts = np.bincount(answers[:, number] * len(widths) + bins, minlength=size * len(widths))
        shares.append(np.rint(100 * counts.reshape(size, -1) / widths).astype(int).tolist())
    return {"edges": edges.tolist(), "shares": shares}


def curves(log: Log, top: Sequence[int]) -> list[dict[str, Any]]:
    """Return the accuracy after each epoch of the trials `top`; of none where nothing has more than
    one epoch.
    """
    found = [(trial, log.outcomes[trial].curve) for trial in top]
    return [
        {"trial": trial, "curve": [round(a, 5) for a in curve]}
        for trial, curve in found
        if len(curve) > 1
    ]


def progress(log: Log, compared: Log | None) -> dict[str, Any]:
    """Return the best reward so far by trials and by seconds, and what it stands beside."""
    made: dict[str, Any] = {"own": _best_so_far(log), "random": None, "other": None}
    source = compared or log
    if source.header.config.get("controller", {}).get("name") == "random":
        made["random"] = _expected_best(source, len(log.outcomes))
    if compared:
        made["other"] = _best_so_far(compared) | {"run": str(compared.run)}
    return made


def _best_so_far(log: Log) -> dict[str, Any]:
    """Return the steps of the best reward, by trials done in order and by seconds since the search
    began.
    """
    good = measured(log)
    clock = Clock(log)
    by_time = sorted(good, key=lambda outcome: (outcome.time, outcome.trial))
    seconds = clock(np.array([outcome.time for outcome in by_time]))
    ended = clock(np.array([max(outcome.time for outcome in log.outcomes.values())]))
    return {
        "trials": _steps([o.trial + 1 for o in good], [o.reward for o in good], len(log.outcomes)),
        "seconds": _steps(
            seconds.round(2).tolist(), [o.reward for o in by_time], float(ended[0].round(2))
        ),
    }


def _steps(places: Sequence[float], rewards: Sequence[float], end: float) -> Pairs:
    steps: Pairs = []
    for place, highest in zip(places, accumulate(rewards, max), strict=True):
        if not steps or highest > steps[-1][1]:
            steps.append((place, highest))
    return [
        (place, round(highest, 5))
        for place, highest in [*steps, *((end, each[1]) for each in steps[-1:])]
    ]


def _expected_best(log: Log, most: int) -> dict[str, Any]:
    """Return what the best of n of a random search's trials is expected to be, and where 90 % of
    such bests lie.

    Of n drawn from the N rewards with replacement, the best is at most the k-th with (k/N)^n (Dodge
    et al. 2019, arXiv 1909.03004, Eq. 7). Failed trials are drawn too.
    """
    rewards: NDArray[np.float64] = np.sort([outcome.reward for outcome in log.outcomes.values()])
    count = min(len(rewards), most)
    below = np.arange(1, len(rewards) + 1) / len(rewards)
    points = []
    for draws in np.unique(np.geomspace(1, count, POINTS).astype(int)).tolist():
        at_most = below**draws
        low, high = (rewards[np.searchsorted(at_most, share)] for share in (0.05, 0.95))
        mean = np.diff(at_most, prepend=0) @ rewards
        points.append([draws, round(float(mean), 5), round(float(low), 5), round(float(high), 5)])
    return {"run": str(log.run), "of": len(rewards), "points": points}
