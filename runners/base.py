"""What goes to a runner, what comes back, and whose fault a failure is.

A child that raises, diverges or runs out of memory is the *architecture's* fault: it teaches the
controller with accuracy 0. A worker that dies, a time limit that passes, a disk or GPU that fails
is the *machine's* fault: the search runs the job again, and only after its last retry counts it
against the architecture. An InputError (a picture that is no picture) is the *user's* fault: it
teaches nobody and ends the search.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from runners.checkpoint import Tell
from search_space.architecture import Architecture
from search_space.errors import InputError

FailureKind = Literal[
    "raised", "diverged", "out-of-memory", "time-limit", "worker-died", "machine", "bad-input"
]
MACHINE_FAULTS: frozenset[FailureKind] = frozenset({"time-limit", "worker-died", "machine"})


class DivergenceError(ArithmeticError):
    """The training loss is no longer a finite number."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job brought no accuracy."""

    kind: FailureKind
    message: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Name what a child raised, without importing the library that raised it."""
        if isinstance(error, InputError):
            return cls("bad-input", str(error))
        text = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        if isinstance(error, DivergenceError):
            return cls("diverged", text)
        # torch.OutOfMemoryError on a GPU; a plain RuntimeError of these words on a CPU.
        no_memory = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(
            error
        )
        if isinstance(error, MemoryError) or no_memory:
            return cls("out-of-memory", text)
        # A full disk, a lost mount; torch.AcceleratorError and its like say "CUDA error".
        if isinstance(error, OSError) or "CUDA error" in str(error):
            return cls("machine", text)
        return cls("raised", text)


@dataclass(frozen=True, slots=True)
class Job:
    """One child to train."""

    trial: int
    architecture: Architecture
    seed: int
    thresholds: tuple[
        float, ...
    ] = ()  # accuracies after the first epochs; below one, training may end

    def hopeless(self, curve: Sequence[float]) -> bool:
        """Say whether a child with this curve so far may be ended. An evaluation that never asks
        trains it on.
        """
        return (
            0 < len(curve) <= len(self.thresholds) and curve[-1] < self.thresholds[len(curve) - 1]
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a job."""

    trial: int
    accuracy: float  # share of the validation images that the child gets right; 0 when it failed
    curve: tuple[float, ...] = ()  # accuracy after each epoch; short when the job was hopeless
    seconds: float = 0.0  # from the job's start to its end
    worker: str = ""
    failure: Failure | None = None


class Evaluate(Protocol):
    """Carries out one job: the proxy task, or whatever stands for it. Picklable."""

    def check(self, architecture: Architecture) -> None:
        """Raise InputError when networks like this one can't be evaluated; called before
        a search.
        """
        ...

    def prepare(self) -> None:
        """Read what every job needs; called once in each process that carries out jobs, untimed."""
        ...

    def __call__(self, job: Job) -> Result:
        """Return the job's result; raise what the child raises."""
        ...


class Train(Protocol):
    """Trains a network that leaves the search. It can be ended at any moment and called again."""

    @property
    def epochs(self) -> int:
        """How many in all."""
        ...

    def fitted(self, architecture: Architecture) -> Architecture:
        """Return the network of `architecture` that fits the data: its classes, its input
        channels.
        """
        ...

    def __call__(self, architecture: Architecture, folder: Path, tell: Tell) -> None:
        """Train from where the checkpoint in `folder` stands to the end, telling how it goes."""
        ...


class Runner(Protocol):
    """Carries out jobs somewhere. The search owns the loop; a runner never calls back.

    `next` hands results over in the order they end. A failure is a result, never an exception.
    """

    def submit(self, job: Job) -> None:
        """Take a job; it starts when a worker is free, by `next` at the latest."""
        ...

    def next(self) -> Result:
        """Wait for the next job to end. Call only while a submitted job has not come back.

        Raises:
            InputError: when no worker can be started, or what every job needs can't be read.
        """
        ...

    def close(self) -> None:
        """End all workers at once, running jobs with them."""
        ...


logger = logging.getLogger("mnas")


def attempt(evaluate: Evaluate, job: Job, worker: str) -> Result:
    """Carry out a job; whatever it raises becomes a failure of the result."""
    start = time.perf_counter()
    try:
        result = replace(evaluate(job), trial=job.trial, worker=worker)
        if not 0 <= result.accuracy <= 1:  # NaN neither
            raise DivergenceError(f"accuracy is {result.accuracy}")
        return result
    except (Exception, SystemExit) as error:
        # In a worker process this goes to its log file, in the search's own to RUN/search.log.
        logger.warning("trial %d", job.trial, exc_info=True)
        failure = Failure.of(error)
    return Result(
        job.trial, 0.0, seconds=time.perf_counter() - start, worker=worker, failure=failure
    )


def overtime(limit: float) -> Failure:
    """Return the failure of a job that took longer than `limit` seconds."""
    return Failure("time-limit", f"still running after {limit:g} s")
