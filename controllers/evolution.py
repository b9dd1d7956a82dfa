"""Regularized evolution (Real et al. 2019, "Regularized Evolution for Image Classifier Architecture
Search", arXiv 1802.01548, Algorithm 1).

The population is the last `population` trials told: the oldest dies, however good it was. Each
proposal is the best of `sample` members drawn from it, with one decision changed.

Differs from the paper: trials are asked ahead, so the first `window` − 1 children after the random
start still come from a population that is not yet full. Members are drawn with replacement. A
network that was asked before is not asked again: another child is made, and from the tenth on one
more decision is changed each time.
"""

from collections import deque

import numpy as np

from controllers.base import Problem, generator
from controllers.visited import Seen
from search_space.errors import require
from search_space.space import Genotype


class RegularizedEvolution:
    """Mutate the best of a random sample of a population that ages."""

    pure = True

    def __init__(
        self, problem: Problem, seed: int, *, population: int = 100, sample: int = 25
    ) -> None:
        require(population >= 2, "population", population, "2 or more")
        require(1 <= sample <= population, "sample", sample, f"1 to the population ({population})")
        space = problem.space
        self._sizes, self._seed, self._seen = space.sizes, seed, Seen(space)
        self._start, self._sample = population, sample
        self._members: deque[tuple[float, Genotype]] = deque(maxlen=population)
        # A decision with one answer can't be changed.
        self._mutable = [index for index, size in enumerate(space.sizes) if size > 1]
        require(len(self._mutable) > 0, "space", space.size, "a space with something to choose")

    def ask(self, trial: int) -> Genotype | None:
        """Draw at random for the first `population` trials, then mutate a tournament's winner."""
        rng = generator(self._seed, trial)
        if trial < self._start or not self._members:
            return self._seen.fresh(rng)
        for attempt in range(100):
            drawn = rng.integers(len(self._members), size=self._sample)
            _, child = max((self._members[index] for index in drawn), key=lambda member: member[0])
            for _ in range(max(1, attempt - 8)):
                child = self._mutate(child, rng)
            if child not in self._seen:
                self._seen.add(child)
                return child
        return self._seen.fresh(rng)

    def _mutate(self, parent: Genotype, rng: np.random.Generator) -> Genotype:
        """Answer one decision otherwise."""
        decision = int(rng.choice(self._mutable))
        # One of the other choices: skip over the parent's own.
        choice = int(rng.integers(self._sizes[decision] - 1))
        choice += choice >= parent[decision]
        return (*parent[:decision], choice, *parent[decision + 1 :])

    def given(self, trial: int, genotype: Genotype) -> None:
        """Ask it no more."""
        self._seen.add(genotype)

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Let the trial into the population; the oldest member leaves."""
        self._members.append((reward, genotype))
