"""What a controller is.

The search loop owns the calls and keeps these promises, so a controller may rely on them:

- `ask(trial)` is called once for each trial, in order: 0, 1, 2 …
- `tell(trial, …)` is called once for each trial, in order, some time after its `ask`.
- After the first `window` asks, each tell is followed by exactly one ask. So trial i is always
  proposed knowing exactly the trials 0 … i − window, whatever finishes first.
- `given(trial, …)` comes in place of an `ask` where the search does not choose: for the networks it
  is told to begin with, and in the replay of a long journal to a controller that calls itself
  `pure`: one to which it makes no difference whether it proposed a trial or was given it. `pure`
  may be left out.

A controller promises in return that what it asks is a function of its constructor's arguments, the
trials told so far and the number of the trial: nothing else, no clock, no global random state. That
is why replaying the tells of a journal into a new controller restores it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from search_space.space import Genotype, Space

Array = NDArray[np.float64]


class Weighed(NamedTuple):
    """All that is known of N genotypes before any is trained: their reward but for the accuracy."""

    costs: Array  # [N, C] MACs, parameters, activations
    ratio: Array  # [N] cost / target
    slope: Array  # [N] reward = slope · accuracy + intercept
    intercept: Array  # [N]


@dataclass(frozen=True)
class Problem:
    """What a controller is to solve."""

    space: Space
    weigh: Callable[[Sequence[Genotype]], Weighed]
    # whether a network that is asked again is trained again; else its result is told again
    repeats: bool = False


class Controller(Protocol):
    """Chooses who is tried next. Constructed as `Controller(problem, seed, **keywords)`."""

    def ask(self, trial: int) -> Genotype | None:
        """Propose a genotype, `[D]` indices, for trial number `trial`; None: nothing is left to
        try.
        """
        ...

    def given(self, trial: int, genotype: Genotype) -> None:
        """Take note of a trial that is asked without its proposing: a seed of the search, or its
        own in a replay.
        """
        ...

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Learn the reward of a trial; failed ones have that of accuracy 0."""
        ...


def generator(seed: int, trial: int) -> np.random.Generator:
    """Return the random numbers of one trial, the same whenever and wherever they are drawn."""
    return np.random.default_rng((seed, trial))
