"""Hill climbing with restarts (White et al. 2020, "Local Search is State of the Art for NAS
Benchmarks", arXiv 2005.02960, Algorithm 1).

From a random network all those that answer one decision otherwise are tried, then the climb goes on
from the best of them, until none is better; then from another random network. A network that was
asked before is not asked again.

Differs from the paper: while the last neighbours of a network are still being trained, random
networks are asked; one that turns out better than where the climb stands does not end it, but the
next climb begins with the best of them.
"""

from collections import deque

from controllers.base import Problem, generator
from controllers.visited import Seen
from search_space.space import Genotype


class LocalSearch:
    """Try all neighbours of a network, move to the best, start anew at a summit."""

    pure = True

    def __init__(self, problem: Problem, seed: int) -> None:
        self._sizes, self._seed, self._seen = problem.space.sizes, seed, Seen(problem.space)
        self._here: tuple[float, Genotype] | None = None  # where the climb stands
        self._todo: deque[Genotype] = deque()  # neighbours that were not asked
        self._climbing: set[int] = set()  # trials of neighbours that were asked and not told
        self._climbs = 0
        self._best: tuple[float, Genotype] | None = None  # of the neighbours told
        self._starts: list[tuple[float, Genotype]] = []  # random networks told, for the next climb

    def ask(self, trial: int) -> Genotype | None:
        """Ask for the next neighbour; where none is left, for a random network."""
        while self._todo:
            genotype = self._todo.popleft()
            if genotype not in self._seen:
                self._seen.add(genotype)
                self._climbing.add(trial)
                return genotype
        return self._seen.fresh(generator(self._seed, trial))

    def given(self, trial: int, genotype: Genotype) -> None:
        """Take note of it as `ask` would have."""
        self._seen.add(genotype)
        if genotype in self._todo:
            self._climbing.add(trial)
        while self._todo and self._todo.popleft() != genotype:
            pass  # known ones, which `ask` passes over

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Move when the last neighbour is told."""
        found = reward, genotype
        if trial in self._climbing:
            self._climbing.remove(trial)
            self._best = max(self._best or found, found)
        else:
            self._starts.append(found)
        if self._climbing or self._todo:
            return
        if self._here and self._best and self._best > self._here:
            self._climb(self._best)
        elif self._starts:
            start = max(self._starts)
            self._starts = []
            self._climb(start)
        else:
            self._here = None

    def _climb(self, here: tuple[float, Genotype]) -> None:
        """Stand at a network, and put its neighbours in an order of this trial's own."""
        self._here, self._best = here, None
        genotype = here[1]
        neighbours = [
            (*genotype[:decision], choice, *genotype[decision + 1 :])
            for decision, size in enumerate(self._sizes)
            for choice in range(size)
            if choice != genotype[decision]
        ]
        self._climbs += 1
        order = generator(self._seed, 2**32 + self._climbs).permutation(len(neighbours))
        self._todo = deque(neighbours[place] for place in order)
