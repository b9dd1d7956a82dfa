"""Evaluations that cost nothing, for tests of what surrounds them; wired by name like a
user's own.
"""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from runners.base import DivergenceError, Job, Result
from search_space import Architecture, InputError, Space
from search_space.mnasnet import tiny


class Arithmetic:
    """An accuracy that is a function of network and seed; takes up to `sleep` seconds."""

    def __init__(self, *, sleep: float = 0.0) -> None:
        self.sleep = sleep

    def check(self, architecture: Architecture) -> None:
        pass

    def prepare(self) -> None:
        pass

    def __call__(self, job: Job) -> Result:
        rng = np.random.default_rng((int(job.architecture.digest, 16), job.seed))
        time.sleep(self.sleep * rng.random())
        accuracy = float(rng.random())
        return Result(job.trial, accuracy, (accuracy / 2, accuracy))


class Timed(Arithmetic):
    """Says that it took a time, and takes none."""

    def __call__(self, job: Job) -> Result:
        return replace(super().__call__(job), seconds=0.001)


class Faulty(Arithmetic):
    """Fails in trial 1, each time in a way of its own; `marks` is where it notes its attempts."""

    def __init__(self, *, how: str, marks: str, times: int = 1000) -> None:
        super().__init__()
        self.how, self.marks, self.times = how, Path(marks), times

    def __call__(self, job: Job) -> Result:
        if job.trial == 1:
            self.marks.mkdir(exist_ok=True)
            attempt = len(list(self.marks.iterdir()))
            (self.marks / str(attempt)).write_text(str(os.getpid()))
            if attempt < self.times:
                if self.how == "nan":
                    return Result(job.trial, float("nan"))
                self.fail()
        return super().__call__(job)

    def fail(self) -> None:
        if self.how == "raised":
            raise KeyError("no such layer")
        if self.how == "diverged":
            raise DivergenceError("loss is nan in epoch 1")
        if self.how == "out-of-memory":
            torch.empty(1 << 60)  # a real allocation that no machine can serve
        if self.how == "time-limit":
            time.sleep(600)
        if self.how == "exit":
            sys.exit("I give up")
        if self.how == "machine":
            raise OSError(28, "No space left on device")
        if self.how == "bad-input":
            raise InputError("path: cat.jpg is no picture")
        if self.how == "worker-died":
            os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError(self.how)


class Unprepared(Arithmetic):
    """Can't be made ready: `how` it fails."""

    def __init__(self, *, how: str) -> None:
        super().__init__()
        self.how = how

    def prepare(self) -> None:
        if self.how == "bad-input":
            raise InputError("path: no such data")
        if self.how == "slow":
            time.sleep(3)
        else:
            os._exit(7)


class Forking(Arithmetic):
    """Leaves a grandchild behind that keeps all its files open, and dies."""

    def __call__(self, job: Job) -> Result:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def few() -> Space:
    """A space of 16 genotypes that build 16 networks."""
    whole = tiny()
    return Space(whole.template, whole.decisions[:3])


class Lender(Arithmetic):
    """Its accuracy is the share of its array that arrived as it was made, in shared memory that
    can't be written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.array = np.arange(3 << 20, dtype=np.int32)

    def __call__(self, job: Job) -> Result:
        right = (self.array == np.arange(3 << 20)).mean()
        shared = (
            "/memfd:mnas" in Path("/proc/self/maps").read_text() and not self.array.flags.writeable
        )
        return Result(job.trial, float(right) * shared)


class Learner(Arithmetic):
    """Learns for 4 epochs, a smooth curve and a little noise; ends where the job is hopeless."""

    def __call__(self, job: Job) -> Result:
        rng = np.random.default_rng((int(job.architecture.digest, 16), job.seed))
        time.sleep(self.sleep * rng.random())
        final, curve = 0.6 + 0.3 * rng.random(), []
        for epoch in range(1, 5):
            curve.append(float(final * (1 - 0.5**epoch) + 0.01 * rng.standard_normal()))
            if job.hopeless(curve):
                break
        return Result(job.trial, curve[-1], tuple(curve), seconds=0.01 * len(curve))
