"""The networks that a controller has asked for."""

import itertools

import numpy as np

from search_space import Genotype, Space


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
