"""What a controller is.

The search loop owns the calls and keeps these promises, so a controller may rely on them:

- `ask(trial)` is called once for each trial, in order: 0, 1, 2 …
- `tell(trial, …)` is called once for each trial, in order, some time after its `ask`.
- After the first `window` asks, each tell is followed by exactly one ask. So trial i is always
  proposed knowing exactly the trials 0 … i − window, whatever finishes first.

A controller promises in return that what it asks is a function of its constructor's arguments, the
trials told so far and the number of the trial: nothing else, no clock, no global random state. That
is why replaying the tells of a journal into a new controller restores it.
"""

from typing import Protocol

import numpy as np

from search_space.space import Genotype


class Controller(Protocol):
    """Chooses who is tried next. Constructed as `Controller(space, seed, **keywords)`."""

    def ask(self, trial: int) -> Genotype:
        """Propose a genotype, `[D]` indices, for trial number `trial`."""
        ...

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Learn the reward of a trial; failed ones have 0."""
        ...


def generator(seed: int, trial: int) -> np.random.Generator:
    """Return the random numbers of one trial, the same whenever and wherever they are drawn."""
    return np.random.default_rng((seed, trial))
