"""How a search is doing, from its journal alone: pace, lag, workers, and how sure its controller
has become.

Nothing here locks or asks the search: a journal on a mounted directory tells as much as one on this
machine.
"""

import bisect
import itertools
import math
import os
import socket
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mnas.journal.log import Log
from mnas.journal.records import Outcome

RECENT = 100  # trials that pace and entropy are told by
PATIENCE = (
    60.0  # seconds: how long a search on another machine may be silent and still count as running
)


@dataclass(frozen=True, slots=True)
class Vitals:
    """A search at a moment."""

    state: Literal["finished", "running", "stopped", "silent"]
    asked: int
    told: int
    planned: int
    busy: int  # workers that have a job, as far as the journal tells
    workers: int  # seen lately
    per_hour: float | None  # trials told, in this session
    seconds_left: float | None  # at that pace
    entropy: float | None  # of the answers asked lately, as a share of what uniform ones have
    failures: dict[str, int]
    stopped_early: int
    reused: int
    retries: int

    @property
    def lag(self) -> int:
        """How many trials are asked and not told."""
        return self.asked - self.told


def vitals(log: Log, now: float | None = None) -> Vitals:
    """Say how a search is doing.

    Args:
        log: of the run.
        now: seconds since 1970.  [default: this machine's clock]
    """
    now = time.time() if now is None else now
    outcomes, told = log.outcomes.values(), len(log.outcomes)
    lately = [outcome for outcome in _last(log) if outcome.reused_from is None]
    workers = {o.worker for o in lately} | {
        r.worker for r in log.retries if lately and r.time >= lately[-1].time
    }
    state = _state(log, now)
    per_hour = _pace(log) if state in ("running", "silent") else None
    return Vitals(
        state=state,
        asked=len(log.asks),
        told=told,
        planned=log.trials,
        busy=min(_jobs(log), len(workers)) if state == "running" else 0,
        workers=len(workers),
        per_hour=per_hour,
        seconds_left=3600 * (log.trials - told) / per_hour if per_hour else None,
        entropy=entropy(log),
        failures=dict(Counter(o.failure.kind for o in outcomes if o.failure).most_common()),
        stopped_early=sum(o.stopped_early for o in outcomes),
        reused=sum(o.reused_from is not None for o in outcomes),
        retries=len(log.retries),
    )


def _last(log: Log) -> list[Outcome]:
    """Return the last outcomes of this session, the newest first."""
    begun = log.sessions[-1].time
    newest = itertools.islice(reversed(log.outcomes.values()), RECENT)
    return list(itertools.takewhile(lambda outcome: outcome.time >= begun, newest))


def _pace(log: Log) -> float | None:
    """Return how many trials were told an hour, over the last ones of this session."""
    lately = _last(log)
    if not lately:
        return None
    # From the session's start, or else from one outcome to the last.
    first, count = (
        (lately[-1].time, RECENT - 1)
        if len(lately) == RECENT
        else (log.sessions[-1].time, len(lately))
    )
    spent = lately[0].time - first
    return 3600 * count / spent if spent > 0 else None


def _jobs(log: Log) -> int:
    """Return how many jobs were given out and did not come back; who waits for another trial's
    result has none.
    """
    open_trials = _open(log)
    if not log.settings.reuse:
        return len(open_trials)
    return len({log.asks[trial].digest for trial in open_trials})


def _open(log: Log) -> list[int]:
    """Return the trials asked and not told; they are among the last ones asked."""
    missing = len(log.asks) - len(log.outcomes)
    found: list[int] = []
    for trial in reversed(log.asks):
        if len(found) == missing:
            break
        if trial not in log.outcomes:
            found.append(trial)
    return found


def _state(log: Log, now: float) -> Literal["finished", "running", "stopped", "silent"]:
    if len(log.outcomes) >= log.trials:
        return "finished"
    session = log.sessions[-1]
    if session.host == socket.gethostname():
        return "running" if _runs(session.pid, session.time) else "stopped"
    lately = _last(log)
    asked = log.asks[len(log.asks) - 1].time if log.asks else 0.0
    last = max([session.time, asked, *(outcome.time for outcome in lately[:1])])
    usual = max((outcome.seconds for outcome in lately), default=0.0)
    return "running" if now - last <= PATIENCE + 3 * usual else "silent"


def _runs(pid: int, since: float) -> bool:
    """Say whether the process runs that wrote `since`, and not another one that has its
    number now.
    """
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        )  # from the third on; see proc(5)
    except OSError:
        return False
    # Not the folder's own time: that is when it was first looked at.
    after_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + after_boot
    return fields[0] != "Z" and started <= since + 1


def entropy(log: Log, until: int | None = None) -> float | None:
    """Return the mean entropy of the decisions' answers in the last RECENT trials asked, 1 being
    uniform.

    It is counted from the answers, so any controller has one; Miller and Madow's correction (Miller
    1955) gives back what a count of few answers lacks.

    Args:
        log: of the run.
        until: the trial after the last one to count.  [default: the last one asked]
    """
    until = len(log.asks) if until is None else until
    genotypes = [log.asks[trial].genotype for trial in range(max(0, until - RECENT), until)]
    decided = [(place, size) for place, size in enumerate(log.space.sizes) if size > 1]
    if not genotypes or not decided:
        return None
    shares = []
    for place, size in decided:
        counted = np.array(list(Counter(genotype[place] for genotype in genotypes).values())) / len(
            genotypes
        )
        nats = (len(counted) - 1) / (2 * len(genotypes)) - float(counted @ np.log(counted))
        shares.append(min(1.0, nats / math.log(size)))
    return float(np.mean(shares))


def lag(log: Log, trial: int) -> int:
    """Return how many trials were asked and had not ended when a trial of the log ended."""
    moment, asks = log.outcomes[trial].time, log.asks
    asked = bisect.bisect_right(range(len(asks)), moment, key=lambda number: asks[number].time)
    # Trial i was asked after i - window had ended, so of those before the last window none was
    # open.
    maybe = range(max(0, asked - log.settings.window), asked)
    return sum(other not in log.outcomes or log.outcomes[other].time > moment for other in maybe)
