"""What a person sees while a search or a training runs: one live line on a terminal, plain lines in
a log file.
"""

import itertools
import logging
import sys
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import click
from tqdm import tqdm

from mnas.formatting import millions
from mnas.journal.directory import no_follow
from mnas.journal.log import Log
from mnas.journal.records import Outcome
from runners.checkpoint import Moment
from search_space import InputError


class _LogFile(logging.FileHandler):
    def _open(self) -> TextIOWrapper:
        return TextIOWrapper(
            open(self.baseFilename, "ab", opener=no_follow), "utf-8", line_buffering=True
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's own name
        """Let a full disk pass: the journal says so, and a missing log line harms nobody."""


class _Logging:
    """A run's log file, and plain lines where there is no terminal, while the context lasts.

    The file is opened when the run directory is there.
    """

    def __init__(self, run: Path, name: str) -> None:
        self._path = run / name
        self._logger = logging.getLogger("mnas")
        self._handlers: list[logging.Handler] = []
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Self:
        self._logger.setLevel(logging.INFO)
        self._handlers = [_LogFile(self._path, delay=True)]
        if not sys.stderr.isatty():
            self._handlers.append(logging.StreamHandler())
        for handler in self._handlers:
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            self._logger.addHandler(handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if (
            isinstance(error, InputError) and self._bar is not None
        ):  # begun; the terminal says it anyway
            record = self._logger.makeRecord(
                "mnas", logging.ERROR, "", 0, f"stopped: {error}", (), None
            )
            self._handlers[0].handle(record)
        for handler in self._handlers:
            self._logger.removeHandler(handler)
            handler.close()


class Live(_Logging):
    """Progress of a search, as a context."""

    def __init__(self, run: Path) -> None:
        super().__init__(run, "search.log")
        self._best: Outcome | None = None
        self._seen = 0

    def __call__(self, log: Log) -> None:
        """Show the log as it stands."""
        for outcome in itertools.islice(
            reversed(log.outcomes.values()), len(log.outcomes) - self._seen
        ):
            if outcome.failure is None and (
                self._best is None or outcome.reward > self._best.reward
            ):
                self._best = outcome
        if self._bar is None:
            click.echo(
                f"{log.run}: {len(log.outcomes)} of {log.trials} "
                "trials done; mnas inspect shows them",
                err=True,
            )
            self._bar = tqdm(
                total=log.trials,
                initial=len(log.outcomes),
                unit="trial",
                disable=not sys.stderr.isatty(),
                dynamic_ncols=True,
                bar_format="{n_fmt}/{total_fmt} trials |{bar}| {elapsed} "
                "elapsed, {remaining} left{postfix}",
            )
        self._seen = len(log.outcomes)
        words = [f"{len(log.asks) - self._seen} running or waiting"]
        if self._best:
            words.append(
                f"best {self._best.reward:.4f} at {millions(log.asks[self._best.trial].macs)} MACs"
            )
        self._bar.set_postfix_str(", ".join(words), refresh=False)
        self._bar.n = self._seen
        self._bar.refresh()


class LiveTraining(_Logging):
    """Progress of a full training, as a context."""

    def __init__(self, run: Path) -> None:
        super().__init__(run, "training.log")
        self._name = ""

    def __call__(self, name: str, moment: Moment) -> None:
        """Show where the training of the network `name` stands."""
        done = len(moment.record.epochs)
        if name != self._name or self._bar is None:
            if self._bar is not None:
                self._bar.close()
            self._name = name
            self._bar = tqdm(
                total=moment.of * moment.epochs,
                initial=moment.of * done,
                unit=" images",
                disable=not sys.stderr.isatty(),
                dynamic_ncols=True,
                smoothing=0.05,
                bar_format="{desc} |{bar}| {rate_fmt}, {elapsed} "
                "elapsed, {remaining} left{postfix}",
            )
        elif moment.seen == 0:
            self._log_epoch(moment)
        self._bar.set_description_str(
            f"{name}, epoch {min(done + 1, moment.epochs)} of {moment.epochs}", refresh=False
        )
        if done:
            self._bar.set_postfix_str(
                f"validation {moment.record.epochs[-1].accuracy:.4f}", refresh=False
            )
        self._bar.update(moment.of * done + moment.seen - self._bar.n)

    def _log_epoch(self, moment: Moment) -> None:
        """Write a line about the epoch, or the test, that has just ended."""
        if moment.record.test is not None:
            self._logger.info("%s: test accuracy %.4f", self._name, moment.record.test)
            return
        epoch, done = moment.record.epochs[-1], len(moment.record.epochs)
        left = (moment.epochs - done) * moment.of / epoch.images_per_second
        self._logger.info(
            "%s: epoch %d of %d, loss %.4f, validation accuracy "
            "%.4f, %.0f images/s, about %.0f s left",
            self._name,
            done,
            moment.epochs,
            epoch.loss,
            epoch.accuracy,
            epoch.images_per_second,
            left,
        )
