"""Random search: every genotype is as likely as any other, whatever was learnt.

The baseline that every controller must beat, and the example to copy for a new one.
"""

from controllers.base import generator
from search_space.space import Genotype, Space


class RandomSearch:
    """Draw genotypes uniformly."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed

    def ask(self, trial: int) -> Genotype:
        """Draw a genotype."""
        return self._space.random(generator(self._seed, trial))

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Learn nothing."""
