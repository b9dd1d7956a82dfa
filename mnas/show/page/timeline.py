"""When the search ran, and which worker trained what: from the times and seconds that the journal
holds.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnas.journal.log import Log
from mnas.journal.records import Outcome, Retry

LANES = 40  # workers drawn
BARS = 8000  # in all, at most about
MARKS = 400

Times = NDArray[np.float64]
Span = tuple[float, float, int]  # start, end, trial


class Clock:
    """Turns times of the journal into seconds that the search ran: the time between its sessions is
    left out.
    """

    def __init__(self, log: Log) -> None:
        parts = (log.asks.values(), log.outcomes.values(), log.retries)
        events: Times = np.sort([record.time for part in parts for record in part])
        self._starts: Times = np.sort([session.time for session in log.sessions])
        # What a session found last: an event, or the start of a session in which nothing was
        # searched.
        moments = np.sort(np.concatenate([events, self._starts]))
        before = moments[np.maximum(np.searchsorted(moments, self._starts) - 1, 0)]
        gaps = np.maximum(self._starts - np.maximum(before, self._starts[0]), 0)
        counts = np.diff(np.searchsorted(events, self._starts), append=len(events))
        self._searched = self._starts[counts > 0]  # the others trained networks again, after it
        self._idle: Times = np.cumsum(gaps)
        self.end = float(self(events[-1:])[0])

    def __call__(self, times: Times) -> Times:
        """Return seconds since the search began. `[N]` to `[N]`"""
        sessions = np.maximum(np.searchsorted(self._starts, times, side="right") - 1, 0)
        elapsed: Times = np.maximum(times - self._starts[0] - self._idle[sessions], 0)
        return elapsed

    @property
    def resumed(self) -> list[float]:
        """Seconds at which the search went on in a new process."""
        return [
            round(float(second), 2)
            for second in self(self._searched[self._searched > self._starts[0]])
        ]


def timeline(log: Log) -> dict[str, Any] | None:
    """Return for each worker the spans in which it trained, and what failed; None when nothing took
    any time.
    """
    attempts: list[Outcome | Retry] = [*log.outcomes.values(), *log.retries]
    attempts = [each for each in attempts if each.seconds > 0]
    clock = Clock(log)
    if not attempts or not clock.end:
        return None
    ends = clock(np.array([each.time for each in attempts]))
    starts = np.maximum(ends - [each.seconds for each in attempts], 0)
    lanes: dict[str, list[Span]] = {}
    for place in np.argsort(starts, kind="stable").tolist():
        span = float(starts[place]), float(ends[place]), attempts[place].trial
        lanes.setdefault(attempts[place].worker, []).append(span)
    drawn, end = sorted(lanes, key=lambda worker: (len(worker), worker))[:LANES], clock.end
    least = end * max(len(drawn) / BARS, 1 / 1000)
    failed = [
        [
            drawn.index(each.worker),
            round(second, 2),
            each.trial,
            each.failure.kind,
            isinstance(each, Retry),
        ]
        for each, second in zip(attempts, ends.tolist(), strict=True)
        if each.failure and each.worker in drawn
    ]
    trained = sum(end - start for spans in lanes.values() for start, end, _ in spans)
    return {
        "end": round(end, 2),
        "workers": drawn,
        "left_out": len(lanes) - len(drawn),
        "bars": [merged(lanes[worker], least) for worker in drawn],
        "failed": failed[:: max(-(-len(failed) // MARKS), 1)],
        "failures": len(failed),
        "resumed": clock.resumed,
        "busy": min(round(100 * trained / end / len(lanes)), 100),
    }


def merged(spans: list[Span], least: float) -> list[list[float]]:
    """Return `[start, end, first trial, trials]`, with those as one that start too close to be seen
    apart.
    """
    bars: list[list[float]] = []
    for start, end, trial in spans:
        if bars and start - bars[-1][0] < least:
            bars[-1][1:] = [max(end, bars[-1][1]), bars[-1][2], bars[-1][3] + 1]
        else:
            bars.append([start, end, trial, 1])
    return [[round(start, 2), round(end, 2), trial, count] for start, end, trial, count in bars]
