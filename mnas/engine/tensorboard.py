"""A search's scalars for TensorBoard, through tensorboardX, where `[log] tensorboard = true` asks
for them.

They are a view of the journal: a search that is gone on with writes them anew from its first trial,
in the place of what it wrote before, so that no step is there twice and none is lost that a killed
process still held.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from mnas.analysis.vitals import entropy, lag
from mnas.journal.log import Log
from search_space import InputError

FOLDER = "tensorboard"


class Scalars:
    """Writes RUN/tensorboard while the context lasts; call it with the log as it grows."""

    def __init__(self, run: Path) -> None:
        self._folder = run / FOLDER
        self._next = 0  # the first trial that is not written
        self._best = float("-inf")

    def __enter__(self) -> Self:
        if self._folder.is_symlink():  # a stranger's run could lead to the user's own files
            raise InputError(f"{self._folder}: a link; takes a folder of this run's own")
        for old in self._folder.glob("events.out.tfevents.*"):
            old.unlink()
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self._folder))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def __call__(self, log: Log) -> None:
        """Write the trials that ended, in the order of their numbers; the step is the trial."""
        while (outcome := log.outcomes.get(self._next)) is not None:
            self._best = max(self._best, outcome.reward)
            scalars = {
                "reward": outcome.reward,
                "reward/best_so_far": self._best,
                "accuracy": outcome.accuracy,
                "macs": log.asks[self._next].macs,
                "lag": lag(log, self._next),
                "entropy": entropy(log, self._next + 1),  # None where nothing can be decided
            }
            for name, value in scalars.items():
                if value is not None:
                    self._writer.add_scalar(name, value, self._next, outcome.time)
            self._next += 1
