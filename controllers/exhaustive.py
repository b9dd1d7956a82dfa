"""Every genotype once, in order: for spaces small enough to be tried whole."""

from controllers.base import Problem
from search_space.space import Genotype


class Exhaustive:
    """Go through the space."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._genotypes = problem.space.genotypes()
        self._given: set[Genotype] = set()

    def ask(self, trial: int) -> Genotype | None:
        """Return the next genotype, the last decision turning fastest."""
        return next((genotype for genotype in self._genotypes if genotype not in self._given), None)

    def given(self, trial: int, genotype: Genotype) -> None:
        """Leave it out."""
        self._given.add(genotype)

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Learn nothing."""
