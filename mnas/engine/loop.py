"""The loop: ask, run, journal, tell.

Trials are told to the controller in the order of their numbers, and each one told lets exactly one
more be asked. So trial i is proposed by a controller that knows exactly the trials 0 … i − window,
whatever finishes first: the search is a function of its configuration and its results, on any
number of workers. Going on with a search is the same loop over a journal that is not empty. Early
stopping (`stopping.py`) learns in the same order, so a child is ended by what was told when it was
asked.
"""

import contextlib
import itertools
import logging
import operator
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from controllers import Controller
from mnas.config import Config, Settings, Views
from mnas.engine.init import genotypes, planted
from mnas.engine.stopping import Forecast, Stopping
from mnas.engine.tensorboard import Scalars
from mnas.journal.directory import refuse_begun
from mnas.journal.log import Log
from mnas.journal.records import Ask, Exhausted, Outcome, Retry
from mnas.journal.writer import Journal
from mnas.reward import Reward
from runners import Job, Result, Runner
from runners.base import MACHINE_FAULTS
from search_space import Genotype, InputError, Space
from search_space.cost import Cost, cost

logger = logging.getLogger("mnas")

Progress = Callable[[Log], None]


def job_seed(seed: int, trial: int) -> int:
    """Return the seed of a trial's child: its own, and not the controller's for that trial."""
    return int(np.random.SeedSequence((seed, trial), spawn_key=(1,)).generate_state(1)[0])


@dataclass(frozen=True, slots=True)
class Parts:
    """What a configuration describes, made and checked, before anything is written."""

    settings: Settings
    views: Views
    space: Space
    reward: Reward
    seeds: list[Genotype]
    controller: Controller
    runner: Runner

    @classmethod
    def of(cls, config: Config, run: Path) -> "Parts":
        """Make the parts, the quick ones first.

        Raises:
            InputError: naming the table and key that can't be.
        """
        settings, views, space = config.settings(), config.views(), config.space()
        reward = config.reward(space)
        runner = config.runner(config.evaluate(space), run / "workers")
        return cls(
            settings,
            views,
            space,
            reward,
            genotypes(config, space),
            config.controller(space),
            runner,
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A trial that is asked and not told."""

    job: Job
    price: Cost
    forecast: Forecast


class _Loop:
    """One process's part of a search."""

    def __init__(self, parts: Parts, journal: Journal, progress: Progress) -> None:
        self._settings, self._space, self._reward = parts.settings, parts.space, parts.reward
        self._controller, self._runner = parts.controller, parts.runner
        self._seeds = parts.seeds
        self._journal, self._log, self._progress = journal, journal.log, progress
        self._stopping = Stopping(parts.settings.stop_below, parts.reward)
        self._asked: dict[int, _Asked] = {}
        self._first: dict[str, int] = {}  # digest -> the first trial that asked for this network
        self._retried = Counter(retry.trial for retry in self._log.retries)
        self._pure = getattr(parts.controller, "pure", False)

    def run(self) -> None:
        window = self._settings.window
        for trial in range(window):
            self._ask(trial)
        self._progress(self._log)
        for trial in itertools.takewhile(
            lambda number: number < self._log.trials, itertools.count()
        ):
            outcome = self._outcome(trial)
            genotype = self._log.asks[trial].genotype
            self._controller.tell(trial, genotype, outcome.reward)
            self._stopping.tell(outcome)
            del self._asked[trial]
            self._ask(trial + window)

    def _ask(self, trial: int) -> None:
        if trial >= self._log.trials:
            return
        genotype = self._next(trial)
        if genotype is None:
            if trial == 0:
                raise InputError("controller.name: proposes nothing to begin with")
            self._journal.append(Exhausted(trials=trial))
            logger.info("after %d trials nothing is left to try", trial)
            return
        architecture = self._space.decode(genotype)
        price = cost(architecture)
        forecast = self._stopping.forecast(price)
        job = Job(trial, architecture, job_seed(self._settings.seed, trial), forecast.thresholds)
        self._asked[trial] = _Asked(job, price, forecast)
        ask = Ask(
            trial=trial,
            genotype=genotype,
            digest=architecture.digest,
            macs=price.macs,
            params=price.params,
        )
        if trial in self._log.asks:
            self._check_replay(ask)
        else:
            self._journal.append(ask)
        first = self._first.setdefault(architecture.digest, trial)
        if trial not in self._log.outcomes and (first == trial or not self._settings.reuse):
            self._submit(trial)

    def _next(self, trial: int) -> Genotype | None:
        """Return the genotype of a trial: a seed's, the journal's again, or what the controller
        proposes.
        """
        written = self._log.asks.get(trial)
        given: Genotype | None = None
        if trial < len(self._seeds):
            given = self._seeds[trial]
        elif (
            written
            and self._pure
            and trial % 100
            and trial + self._settings.window in self._log.asks
        ):
            given = written.genotype  # proposing it again would take long and change nothing
        if given is None:
            asked = self._controller.ask(trial)
            return None if asked is None else _integers(asked)
        self._controller.given(trial, given)
        return given

    def _check_replay(self, ask: Ask) -> None:
        """Refuse to go on when this code and machine would not have begun as the journal did."""
        written = self._log.asks[ask.trial]
        if replace(written, time=ask.time) != ask:
            versions = ", ".join(
                f"{name} {version}" for name, version in self._log.sessions[-1].versions.items()
            )
            what = (
                "asks another" if written.genotype != ask.genotype else "builds another network for"
            )
            raise InputError(
                f"{self._log.run}: replayed, the search {what} "
                f"trial {ask.trial} than the journal has; "
                f"this machine or its packages differ from those that wrote it ({versions})"
            )

    def _submit(self, trial: int) -> None:
        self._journal.sync()
        self._runner.submit(self._asked[trial].job)

    def _outcome(self, trial: int) -> Outcome:
        """Return the outcome of a trial, waiting for it if need be."""
        while trial not in self._log.outcomes:
            first = self._first[self._log.asks[trial].digest]
            if first != trial and self._settings.reuse:
                self._reuse(trial, self._log.outcomes[first])  # an earlier trial: told already
            else:
                self._journal.sync()
                self._receive(self._runner.next())
            self._progress(self._log)
        return self._log.outcomes[trial]

    def _reuse(self, trial: int, source: Outcome) -> None:
        logger.info(
            "trial %d builds the network of trial %d: its result is told again", trial, source.trial
        )
        self._journal.append(
            Outcome(
                trial=trial,
                accuracy=source.accuracy,
                reward=source.reward,
                curve=source.curve,
                failure=source.failure,
                stopped_early=source.stopped_early,
                reused_from=source.trial,
            )
        )

    def _receive(self, result: Result) -> None:
        trial, failure = result.trial, result.failure
        if failure:
            if failure.kind == "bad-input":
                raise InputError(failure.message)  # the user's fault: it teaches nobody
            logger.warning("trial %d failed (%s): %s", trial, failure.kind, failure.message)
            if failure.kind in MACHINE_FAULTS and self._retried[trial] < self._settings.retries:
                self._retried[trial] += 1
                self._journal.append(
                    Retry(
                        trial=trial, failure=failure, worker=result.worker, seconds=result.seconds
                    )
                )
                self._submit(trial)
                return
        asked = self._asked[trial]
        stopped_early = asked.job.hopeless(result.curve)
        accuracy = asked.forecast.final(result.curve) if stopped_early else result.accuracy
        reward = self._reward(accuracy, asked.price)
        outcome = Outcome(
            trial=trial,
            accuracy=accuracy,
            reward=reward,
            curve=result.curve,
            seconds=result.seconds,
            worker=result.worker,
            failure=failure,
            stopped_early=stopped_early,
        )
        self._journal.append(outcome)
        if not failure:
            logger.info(
                "trial %d: accuracy %.4f%s, %.2fM MACs, reward %.4f, %.1f s on worker %s",
                trial,
                outcome.accuracy,
                f" expected after epoch {len(result.curve)}" if stopped_early else "",
                self._log.asks[trial].macs / 1e6,
                reward,
                outcome.seconds,
                outcome.worker,
            )


def _integers(asked: Iterable[object]) -> Genotype:
    """Return a genotype of plain integers, of NumPy's too; controllers may be the user's own."""
    try:
        return tuple(map(operator.index, asked))  # type: ignore[arg-type]  # that is what is checked
    except TypeError:
        raise InputError(f"controller.name: asked {asked!r}; takes a genotype, integers") from None


def _run(parts: Parts, journal: Journal, progress: Progress) -> Log:
    with contextlib.ExitStack() as stack:
        stack.callback(parts.runner.close)
        scalars = (
            stack.enter_context(Scalars(journal.log.run)) if parts.views.tensorboard else _quiet
        )

        def both(log: Log) -> None:
            progress(log)
            scalars(log)

        _Loop(parts, journal, both).run()
    return journal.log


def _quiet(log: Log) -> None:
    """Show no progress."""


def search(config: Config, run: Path, progress: Progress = _quiet) -> Log:
    """Run a new search to its end and return its log.

    Args:
        config: what to search, and how.
        run: the run directory to begin.
        progress: called with the log at the start and whenever something ended.

    Raises:
        InputError: when the configuration can't be, the run exists, or the disk is full.
        KeyboardInterrupt: on Ctrl-C; all that was journalled stays, for `resume`.
    """
    refuse_begun(run)
    config = planted(config, config.space())
    parts = Parts.of(config, run)
    with Journal.create(run, config, parts.space) as journal:
        return _run(parts, journal, progress)


def resume(run: Path, progress: Progress = _quiet, *, trusted: bool = False) -> Log:
    """Go on with a search where its journal ends; a finished one is returned as it is.

    Args:
        run: the run directory.
        progress: as in `search`.
        trusted: whether the run's configuration may name code outside mnas.

    Raises:
        InputError: when the run can't be read, is being written, or was begun with other code.
        KeyboardInterrupt: as in `search`.
    """
    with Journal.reopen(run) as journal:
        log = journal.log
        if len(log.outcomes) == log.trials:
            if log.config().views().tensorboard:  # what a process killed at the end still held
                with Scalars(run) as scalars:
                    scalars(log)
            return log
        parts = Parts.of(log.config(trusted=trusted), run)
        if parts.space != log.space:
            raise InputError(
                f"{run}: this version of mnas has another space of that name than the journal holds"
            )
        return _run(parts, journal, progress)
