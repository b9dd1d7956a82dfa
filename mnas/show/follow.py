"""A live view of a search, on this machine or in a mounted directory: it only ever reads the
journal.

On a terminal the view is drawn again in place, elsewhere a plain line tells of each change. It ends
with the search; one that was stopped is waited for, until it is gone on with.
"""

import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TextIO

import numpy as np

from mnas.analysis.ranking import best
from mnas.analysis.vitals import RECENT, Vitals, vitals
from mnas.journal.log import Log
from mnas.journal.reader import Reader
from mnas.show.tables import trial_table
from search_space.errors import InputError, printable

BLOCKS = "▁▂▃▄▅▆▇█"
INTERVAL = 1.0  # seconds between looks
_ABOVE, _REST = "\x1b[{}A", "\x1b[J"  # ANSI: so many lines up; clear from here


def follow(run: Path, top: int = 5, interval: float = INTERVAL, out: TextIO | None = None) -> None:
    """Show a search until it is finished.

    Args:
        run: the run directory.
        top: how many of the best trials.
        interval: seconds between looks at the journal.
        out: where to; a terminal is drawn on in place.  [default: standard output]

    Raises:
        InputError: when the run can't be read.
    """
    out = out or sys.stdout
    draw = _Screen(out, top) if out.isatty() else _Lines(out)
    for log, found in snapshots(run, interval):
        draw(log, found)


def snapshots(run: Path, interval: float = INTERVAL) -> Iterator[tuple[Log, Vitals]]:
    """Yield the log and how the search is doing, again and again until it is finished; the log is
    the same object.
    """
    reader = Reader(run)
    while True:
        try:
            log = reader()
        except InputError:  # a network drive may show that a line is there before it shows the line
            time.sleep(interval)
            log = reader()
        found = vitals(log)
        yield log, found
        if found.state == "finished":
            return
        time.sleep(interval)


class _Lines:
    """A plain line for each change, for a file or a pipe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown: tuple[str, int, int] | None = None

    def __call__(self, log: Log, found: Vitals) -> None:
        changed = found.state, found.told, found.retries
        if changed == self._shown:
            return
        self._shown = changed
        words = [f"{found.state}, {found.told} of {found.planned} trials done", *_counts(found)]
        if winner := best(log, 1):
            words.append(f"best {winner[0].reward:.4f} (trial {winner[0].trial})")
        if found.state == "stopped":
            words.append(f"go on with: {log.resume_command}")
        print(
            f"{time.strftime('%H:%M:%S')} {printable(', '.join(words))}", file=self._out, flush=True
        )


class _Screen:
    """The whole view, drawn over the last one."""

    def __init__(self, out: TextIO, top: int) -> None:
        self._out, self._top = out, top
        self._drawn = 0  # lines

    def __call__(self, log: Log, found: Vitals) -> None:
        size = shutil.get_terminal_size()
        lines = [
            line[: size.columns - 1] for line in view(log, found, size.columns - 1, self._top)
        ][: size.lines - 1]
        back = _ABOVE.format(self._drawn) if self._drawn else ""
        print(f"{back}\r{_REST}" + "\n".join(lines), file=self._out, flush=True)
        self._drawn = len(lines)


def view(log: Log, found: Vitals, width: int, top: int = 5) -> list[str]:
    """Return the view's lines for a terminal of `width` columns, 60 or more; only a long path may
    be cut off.
    """
    done = f"{found.state}, {found.told} of {found.planned} trials done"
    lines = [printable(f"{done}: {log.run}"), _bar(found, width)]
    workers = (
        f"workers busy {found.busy} of {found.workers} seen lately"
        if found.workers
        else "no worker heard of yet"
    )
    lines.append(f"{workers}, lag {found.lag} of {log.settings.window}")
    if found.entropy is not None:
        lines.append(
            f"controller entropy {found.entropy:.2f} of uniform "
            f"(last {min(RECENT, found.asked)} asked)"
        )
    lines.append(", ".join(_counts(found)) or "no failure, no retry, nothing reused")
    lines += _curve(log, width)
    if winners := best(log, top):
        lines += ["", *trial_table(winners).split("\n")]
    if found.state == "stopped":
        lines += ["", "Stopped; go on with:", *textwrap.wrap(printable(log.resume_command), width)]
    if found.state == "silent":
        lines += [
            "",
            "Nothing written for a while, on another machine:",
            "stopped, or training a child for long",
        ]
    return lines


def _counts(found: Vitals) -> list[str]:
    """Return what did not go straight, in words."""
    failed = ", ".join(f"{kind} {count}" for kind, count in found.failures.items())
    words = [f"{found.stopped_early} stopped early"] if found.stopped_early else []
    words += [f"{found.reused} reused"] if found.reused else []
    words += [f"{found.retries} retries"] if found.retries else []
    return words + ([f"{sum(found.failures.values())} failed ({failed})"] if failed else [])


def _bar(found: Vitals, width: int) -> str:
    share = found.told / found.planned
    words = f" {share:.0%}"
    if found.per_hour:
        words += f", {found.per_hour:,.0f} trials/h"
    if found.seconds_left and found.state == "running":
        words += f", {_duration(found.seconds_left)} left"
    cells = max(10, min(40, width - len(words)))
    full = int(share * cells)
    return "█" * full + "░" * (cells - full) + words


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _curve(log: Log, width: int) -> list[str]:
    """Draw the rewards told, in the order of trials: the mean of each so many, and the
    best so far.
    """
    rewards = [
        log.outcomes[t].reward for t in sorted(log.outcomes) if log.outcomes[t].failure is None
    ]
    if len(rewards) < 2:
        return []
    cells = min(len(rewards), max(10, min(60, width - 24)))
    parts = np.array_split(np.array(rewards), cells)
    highest = list(accumulate((part.max() for part in parts), max))
    means = [part.mean() for part in parts]
    return [
        "",
        f"reward      {sparkline(means)} {means[-1]:.4f}",
        f"best so far {sparkline(highest)} {highest[-1]:.4f}",
    ]


def sparkline(values: Sequence[float]) -> str:
    """Draw numbers as blocks, the least lowest and the greatest highest."""
    low, high = min(values), max(values)
    steps = len(BLOCKS) - 1
    return "".join(
        BLOCKS[round(steps * (value - low) / (high - low))] if high > low else BLOCKS[0]
        for value in values
    )
