"""The reward of a trial: accuracy against cost.

MnasNet (arXiv 1807.11626, §3, Eq. 2–3) and TuNAS (arXiv 2008.06120, §3, the absolute reward).
EfficientNet (arXiv 1905.11946, §4) has MnasNet's with MACs for the cost and w = −0.07.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from search_space.cost import Cost, Metric
from search_space.errors import require


def power(accuracy: float, ratio: float, *, alpha: float = -0.07, beta: float = -0.07) -> float:
    """Return `accuracy · ratio^w`, w = alpha up to the target and beta over it (Eq. 2–3).

    Alpha = beta = −0.07 is the paper's soft constraint, alpha = 0 and beta = −1 its hard one.

    Args:
        accuracy: 0 to 1.
        ratio: cost / target, above 0.
        alpha: exponent for costs up to the target.
        beta: exponent for costs over it.
    """
    return float(accuracy * ratio ** (alpha if ratio <= 1 else beta))


def absolute(accuracy: float, ratio: float, *, beta: float = -0.07) -> float:
    """Return `accuracy + beta · |ratio − 1|` (TuNAS): highest at the target, not below it."""
    return accuracy + beta * abs(ratio - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """A search's reward: which formula, of which cost, around which target."""

    target: float  # in the unit of `cost`
    cost: Metric = "macs"
    kind: Literal["power", "absolute"] = "power"
    alpha: float = -0.07  # of `power`
    beta: float = -0.07

    def __post_init__(self) -> None:
        # No network costs as much, and powers of its costs are finite.
        require(
            0 < self.target <= 1e18,
            "target",
            self.target,
            f"a number of {self.cost} above 0, to 1e18",
        )
        for name in ("alpha", "beta"):
            value = getattr(self, name)
            require(-10 <= value <= 0, name, value, "-10 to 0: cost must not be rewarded")

    def line(self, ratio: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return slope and intercept for each of N costs: the reward is `slope · accuracy +
        intercept`.

        Args:
            ratio: cost / target. `[N]`
        """
        if self.kind == "absolute":
            return np.ones_like(ratio), self.beta * np.abs(ratio - 1)
        return ratio ** np.where(ratio <= 1, self.alpha, self.beta), np.zeros_like(ratio)

    def __call__(self, accuracy: float, cost: Cost) -> float:
        """Return a trial's reward. One that failed has accuracy 0: reward 0, or less with
        `absolute`.

        So failing is never worth more than training, where `absolute` gives less than 0.
        """
        ratio = getattr(cost, self.cost) / self.target
        if self.kind == "absolute":
            return absolute(accuracy, ratio, beta=self.beta)
        return power(accuracy, ratio, alpha=self.alpha, beta=self.beta)

    def accuracy(self, reward: float, cost: Cost) -> float:
        """Return the accuracy that earns `reward` at this cost; one outside 0 to 1 none has."""
        slope, intercept = self.line(np.array(getattr(cost, self.cost) / self.target))
        return float((reward - intercept) / slope)
