"""Every genotype once, in order: for spaces small enough to be tried whole."""

from search_space.space import Genotype, Space


class Exhaustive:
    """Count through the space; past its end, begin again."""

    def __init__(self, space: Space, seed: int) -> None:
        self._sizes = space.sizes

    def ask(self, trial: int) -> Genotype:
        """Return the genotype of that number, the last decision turning fastest."""
        genotype = []
        for size in reversed(self._sizes):
            trial, choice = divmod(trial, size)
            genotype.append(choice)
        return tuple(reversed(genotype))

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Learn nothing."""
