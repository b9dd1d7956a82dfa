"""What a person sees while a search runs: one live line on a terminal, plain lines in a log file."""

import itertools
import logging
import sys
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import click
from tqdm import tqdm

from mnas.journal import no_follow
from mnas.log import Log, Outcome
from mnas.report import millions
from search_space import InputError


class _LogFile(logging.FileHandler):
    def _open(self) -> TextIOWrapper:
        return TextIOWrapper(open(self.baseFilename, "ab", opener=no_follow), "utf-8", line_buffering=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's own name
        """Let a full disk pass: the journal says so, and a missing log line harms nobody."""


class Live:
    """Progress of one run, as a context. The log file is opened when the run directory is there."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._logger = logging.getLogger("mnas")
        self._handlers: list[logging.Handler] = []
        self._bar: tqdm[NoReturn] | None = None
        self._best: Outcome | None = None
        self._seen = 0

    def __enter__(self) -> Self:
        self._logger.setLevel(logging.INFO)
        self._handlers = [_LogFile(self._run / "search.log", delay=True)]
        if not sys.stderr.isatty():
            self._handlers.append(logging.StreamHandler())
        for handler in self._handlers:
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            self._logger.addHandler(handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if isinstance(error, InputError) and self._bar is not None:  # begun; the terminal says it anyway
            record = self._logger.makeRecord("mnas", logging.ERROR, "", 0, f"stopped: {error}", (), None)
            self._handlers[0].handle(record)
        for handler in self._handlers:
            self._logger.removeHandler(handler)
            handler.close()

    def __call__(self, log: Log) -> None:
        """Show the log as it stands."""
        for outcome in itertools.islice(reversed(log.outcomes.values()), len(log.outcomes) - self._seen):
            if outcome.failure is None and (self._best is None or outcome.reward > self._best.reward):
                self._best = outcome
        if self._bar is None:
            click.echo(f"{log.run}: {len(log.outcomes)} of {log.trials} trials done; mnas inspect shows them", err=True)
            self._bar = tqdm(
                total=log.trials,
                initial=len(log.outcomes),
                unit="trial",
                disable=not sys.stderr.isatty(),
                dynamic_ncols=True,
                bar_format="{n_fmt}/{total_fmt} trials |{bar}| {elapsed} elapsed, {remaining} left{postfix}",
            )
        self._seen = len(log.outcomes)
        words = [f"{len(log.asks) - self._seen} running or waiting"]
        if self._best:
            words.append(f"best {self._best.reward:.4f} at {millions(log.asks[self._best.trial].macs)} MACs")
        self._bar.set_postfix_str(", ".join(words), refresh=False)
        self._bar.n = self._seen
        self._bar.refresh()
