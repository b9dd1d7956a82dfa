"""A child that costs a moment and goes wrong in every way, for the chaos test; imports no torch."""

import os
import time
from pathlib import Path

import numpy as np

from runners.base import Job, Result
from search_space import Architecture


class Chaotic:
    """An accuracy that is a function of network and seed.

    One child in twenty raises, always. With `marks`, where each attempt is noted, the first attempt
    of one in twenty hangs, and of one in twenty ends its process.
    """

    def __init__(self, *, sleep: float = 0.0, marks: str | None = None) -> None:
        self.sleep, self.marks = sleep, Path(marks) if marks else None

    def check(self, architecture: Architecture) -> None:
        pass

    def prepare(self) -> None:
        pass

    def __call__(self, job: Job) -> Result:
        rng = np.random.default_rng((int(job.architecture.digest, 16), job.seed))
        fate, accuracy = rng.random(2)
        if self.marks:
            attempt = len(list(self.marks.glob(f"{job.trial}-*")))
            (self.marks / f"{job.trial}-{attempt}-{os.getpid()}").touch()
            if attempt == 0 and 0.05 <= fate < 0.10:
                time.sleep(600)
            if attempt == 0 and 0.10 <= fate < 0.15:
                os._exit(3)
        time.sleep(self.sleep * 2 * rng.random())
        if fate < 0.05:
            raise ValueError("this network can't be trained")
        return Result(job.trial, accuracy, (accuracy,))
