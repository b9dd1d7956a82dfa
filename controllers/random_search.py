"""Random search: every network is as likely as any other, whatever was learnt.

The baseline that every controller must beat, and the example to copy for a new one.
"""

from controllers.base import Problem, generator
from controllers.visited import Seen
from search_space.space import Genotype


class RandomSearch:
    """Draw genotypes uniformly, none whose network was asked before."""

    pure = True

    def __init__(self, problem: Problem, seed: int) -> None:
        self._seen, self._seed = Seen(problem.space), seed

    def ask(self, trial: int) -> Genotype | None:
        """Draw a genotype."""
        return self._seen.fresh(generator(self._seed, trial))

    def given(self, trial: int, genotype: Genotype) -> None:
        """Draw it no more."""
        self._seen.add(genotype)

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Learn nothing."""
