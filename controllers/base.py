"""What a controller is.

The search loop owns the calls and keeps these promises, so a controller may rely on them:

- `ask(trial)` is called once for each trial, in order: 0, 1, 2 …
- `tell(trial, …)` is called once for each trial, in order, some time after its `ask`.
- After the first `window` asks, each tell is followed by exactly one ask. So trial i is always
  proposed knowing exactly the trials 0 … i − window, whatever finishes first.
- `given(trial, …)` comes in place of an `ask` where the search does not choose: for the networks it is told to
  begin with, and in the replay of a long journal to a controller that calls itself `pure`: one to which it makes
  no difference whether it proposed a trial or was given it. `pure` may be left out.

A controller promises in return that what it asks is a function of its constructor's arguments, the
trials told so far and the number of the trial: nothing else, no clock, no global random state. That
is why replaying the tells of a journal into a new controller restores it.
"""

import itertools
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
    repeats: bool = False  # whether a network that is asked again is trained again; else its result is told again


class Controller(Protocol):
    """Chooses who is tried next. Constructed as `Controller(problem, seed, **keywords)`."""

    def ask(self, trial: int) -> Genotype | None:
        """Propose a genotype, `[D]` indices, for trial number `trial`; None: nothing is left to try."""
        ...

    def given(self, trial: int, genotype: Genotype) -> None:
        """Take note of a trial that is asked without its proposing: a seed of the search, or its own in a replay."""
        ...

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Learn the reward of a trial; failed ones have that of accuracy 0."""
        ...


def generator(seed: int, trial: int) -> np.random.Generator:
    """Return the random numbers of one trial, the same whenever and wherever they are drawn."""
    return np.random.default_rng((seed, trial))


class Seen:
    """The networks that were asked."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._digests: set[str] = set()
        self._rest = space.genotypes()  # what the walk below has not passed

    def __contains__(self, genotype: Genotype) -> bool:
        """Whether the network of `genotype` was asked, by whatever genotype."""
        return self._space.decode(genotype).digest in self._digests

    def add(self, genotype: Genotype) -> None:
        """Remember the network of `genotype`."""
        self._digests.add(self._space.decode(genotype).digest)

    def fresh(self, rng: np.random.Generator) -> Genotype | None:
        """Draw a genotype whose network was not asked, and remember it; None when there is none."""
        draws = (self._space.random(rng) for _ in range(100))
        # Where chance finds none, so few are left that going on through the space is no long way.
        for genotype in itertools.chain(draws, self._rest):
            if genotype not in self:
                self.add(genotype)
                return genotype
        return None


ALIKE = 4  # repeats that brought what was known, after which there is taken to be no noise


class Repeats:
    """What networks brought that were trained once or again."""

    def __init__(self) -> None:
        self._numbers: dict[Genotype, int] = {}
        self._asked: list[int] = []  # how many trainings of a network were asked, told or not
        self._counts: list[int] = []  # how many were told
        self._means: list[float] = []  # of their rewards
        self._scatter = 0.0  # sum of the squared distances of all rewards from their networks' means
        self._repeats = 0

    def _number(self, genotype: Genotype) -> int:
        number = self._numbers.setdefault(genotype, len(self._numbers))
        if number == len(self._counts):
            self._asked.append(0)
            self._counts.append(0)
            self._means.append(0.0)
        return number

    def ask(self, genotype: Genotype) -> None:
        """Take note of a training whose reward is not known yet."""
        self._asked[self._number(genotype)] += 1

    def tell(self, genotype: Genotype, reward: float) -> None:
        """Take in a training that did not fail."""
        number = self._number(genotype)
        self._repeats += self._counts[number] > 0
        self._counts[number] += 1
        off = reward - self._means[number]
        self._means[number] += off / self._counts[number]
        if self._counts[number] > 1:
            self._scatter += off * (reward - self._means[number])  # Welford's update

    @property
    def useless(self) -> bool:
        """Whether there is no noise to average: ALIKE repeats or more, and each as the first time."""
        return self._repeats >= ALIKE and self._scatter == 0

    def worth_another(self) -> Genotype | None:
        """Return the network whose mean may be the highest, by its standard error; None with fewer than ALIKE repeats.

        So the best are told from one another, and the good from the lucky. A bound of confidence, as Auer,
        Cesa-Bianchi and Fischer 2002 have it, but of one standard error of the noise that all repeats show.
        What is being trained counts as trained: many may be open at once.
        """
        if self._repeats < ALIKE:
            return None
        counts = np.array(self._counts)
        errors = np.sqrt(self._scatter / self._repeats / np.maximum(1, np.maximum(counts, self._asked)))
        bounds = np.where(counts > 0, np.array(self._means) + errors, -np.inf)
        return next(itertools.islice(self._numbers, int(bounds.argmax()), None))
