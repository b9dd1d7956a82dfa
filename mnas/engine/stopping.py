"""Early stopping: a child that is not expected to become good enough is ended before its last
epoch.

One straight line for each epoch, through the children that finished, says what to expect at the end
of the accuracy after that epoch, and how far off that may be. A child is ended when even CAUTION
deviations above what is expected its reward would be below a share of the rewards told. Told is
what was expected: less than of some trial that was measured, so a child that was ended is never the
best.

Google Vizier (Golovin et al. 2017): a regression on performance curves, as in its §3.2.1, against a
quantile of all trials, as in its §3.2.2, the median stopping rule. Differs from the paper: least
squares instead of a Gaussian process; a quantile instead of §3.2.1's best reward so far; curves are
not compared at equal epoch, as in §3.2.2, where one that learns late looks bad, whether epochs tell
anything or not (`benchmarks/early_stopping.py` measures both). And a child is ended by the trials
that its controller knew when it was asked, whichever have finished since.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from controllers.base import Array
from mnas.journal.records import Outcome
from mnas.reward import Reward
from search_space.cost import Cost

LEAST = 20  # finished children before the first is ended
CAUTION = 1.645  # standard deviations: of normal errors, 5 % are larger


@dataclass(frozen=True, slots=True)
class Line:
    """What the accuracy after an epoch says of the one at the end."""

    centre: float  # mean accuracy after the epoch
    final: float  # mean accuracy at the end
    slope: float  # 0 or more
    spread: float  # standard deviation of what the line leaves open

    def __call__(self, accuracy: float) -> float:
        """Return the accuracy expected at the end, a share."""
        return min(max(self.final + self.slope * (accuracy - self.centre), 0.0), 1.0)

    def least(self, final: float) -> float:
        """Return the accuracy after the epoch below which `final` is out of reach,
        CAUTION taken.
        """
        missing = final - CAUTION * self.spread - self.final
        if self.slope == 0:
            return inf if missing > 0 else 0.0
        return max(self.centre + missing / self.slope, 0.0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is known of a child's future when it is asked; of nothing, at first."""

    lines: tuple[Line, ...] = ()  # of the epochs but the last
    enough: float = 0.0  # the accuracy that the reward asked for takes

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The accuracies after each epoch below which the child is ended."""
        # Where no accuracy is too little, a line drawn on to below 0 would still say so.
        return tuple(line.least(self.enough) for line in self.lines) if self.enough > 0 else ()

    def final(self, curve: Sequence[float]) -> float:
        """Return the accuracy expected at the end of a curve that was ended."""
        # It is below what was enough; the smaller number keeps rounding from making it more.
        return min(self.lines[len(curve) - 1](curve[-1]), self.enough)


class Stopping:
    """Learns from outcomes, told in the order of their trials, when to end a child.

    Args:
        share: of the rewards told that a child must be able to reach; 0 ends none.
        reward: of the search.
    """

    def __init__(self, share: float, reward: Reward) -> None:
        self._share, self._reward = share, reward
        self._rewards: list[float] = []  # in order of size; of children ended early, what was told
        self._finished = 0
        self._sums: Array = np.zeros(
            (3, 0)
        )  # of x, x·x and x·y: x after each epoch, y at the end, which is the last x

    def tell(self, outcome: Outcome) -> None:
        """Learn from a child that was trained: not from a failed one, nor twice from one."""
        if self._share == 0 or outcome.failure or outcome.reused_from is not None:
            return
        insort(self._rewards, outcome.reward)
        if outcome.stopped_early:
            return
        x = np.array([*outcome.curve[:-1], outcome.accuracy])
        if not self._finished:
            self._sums = np.zeros((3, len(x)))
        if (
            len(x) == self._sums.shape[1]
        ):  # an evaluation of the user's own may end children by itself
            self._sums += [x, x * x, x * outcome.accuracy]
            self._finished += 1

    def forecast(self, cost: Cost) -> Forecast:
        """Say what is known of a child of this cost, before it is trained."""
        if self._finished < LEAST:
            return Forecast()
        wanted = self._rewards[int(self._share * len(self._rewards))]
        return Forecast(_lines(self._sums, self._finished), self._reward.accuracy(wanted, cost))


def _lines(sums: Array, count: int) -> tuple[Line, ...]:
    """Fit a line for each epoch but the last, by least squares."""
    centres, squares, products = sums / count
    final = centres[-1]
    variances, shared = squares - centres**2, np.maximum(products - centres * final, 0.0)
    slopes = np.where(
        variances > 1e-12, shared / np.maximum(variances, 1e-12), 0.0
    )  # less is rounding
    left = np.maximum(variances[-1] - slopes * shared, 0.0) * count / (count - 2)
    fitted = zip(centres.tolist(), slopes.tolist(), np.sqrt(left).tolist(), strict=True)
    return tuple(Line(centre, float(final), slope, spread) for centre, slope, spread in fitted)[:-1]
