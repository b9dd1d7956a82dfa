"""Bayesian optimisation that knows what networks cost: trains fewest, thinks longest.

A Gaussian process (`predictor.py`) learns accuracies from the trials told; the reward's cost term
is computed, not learnt. Each proposal is, of the networks around the best, the one of highest upper
confidence bound on its reward, mean + kappa · spread (Srinivas et al. 2010, arXiv 0912.3995).
Trials that are asked and not told yet count as known when the spread is worked out (Desautels et
al. 2014, arXiv 1206.6402, "hallucination"), so that a whole window of them differs.

Builds on BANANAS (arXiv 1910.11858: predictor, mutation of the best, one after the other), BRP-NAS
(2007.08668) and NPENAS (2003.12857). Differs from them: the predictor is a Gaussian process and
reads the exact costs; the reward is taken apart into accuracy and cost; proposals are found by
climbing from the networks believed best, not among mutants alone; and where a network that is asked
again is trained again (`reuse = false`), the search may ask for another training of a network,
since the one to export must be known well, not just be lucky once.
"""

import math
from collections.abc import Iterable

import numpy as np
from threadpoolctl import threadpool_limits

from controllers.base import Problem, generator
from controllers.predictor import LEAST, Predictor
from controllers.visited import Seen
from search_space.errors import require
from search_space.space import Genotype


class Bayesian:
    """Train next what promises most, by a Gaussian process over answers and costs."""

    pure = True

    def __init__(
        self,
        problem: Problem,
        seed: int,
        *,
        start: int = 20,  # random trials told before the first prediction
        kappa: float
        | None = None,  # √ln |space|: the more networks, the more of them look good by chance
        elite: int = 4,  # networks believed best, from which proposals are looked for
        rounds: int = 3,
        capacity: int = 400,  # trials the model holds
    ) -> None:
        require(start >= LEAST, "start", start, f"{LEAST} trials or more")
        kappa = math.sqrt(math.log(problem.space.size)) if kappa is None else kappa
        require(0 <= kappa < 100, "kappa", kappa, "a number from 0 to below 100")
        require(1 <= elite <= 1000, "elite", elite, "1 to 1,000")
        require(1 <= rounds <= 100, "rounds", rounds, "1 to 100")
        require(capacity >= 10, "capacity", capacity, "10 trials or more")
        self._problem, self._seed = problem, seed
        self._start, self._kappa, self._elite, self._rounds = start, kappa, elite, rounds
        self._predictor = Predictor(problem, capacity)
        self._seen = Seen(problem.space)
        self._asked: set[Genotype] = set()
        self._repeated = False  # whether the last one asked was known: never two of them in a row
        self._told = 0

    def ask(self, trial: int) -> Genotype | None:
        """Draw the first ones at random, then propose."""
        rng = generator(self._seed, trial)
        with threadpool_limits(1):  # sums must not hang on how many threads there are
            genotype = self._seen.fresh(rng) if self._told < self._start else self._propose(rng)
        if genotype is not None:
            self.given(trial, genotype)
        return genotype

    def given(self, trial: int, genotype: Genotype) -> None:
        """Let the predictor know what is asked."""
        self._seen.add(genotype)
        self._repeated = genotype in self._asked
        self._asked.add(genotype)
        self._predictor.ask(genotype)

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Let the predictor know."""
        self._predictor.tell(reward)
        self._told += 1

    def _propose(self, rng: np.random.Generator) -> Genotype | None:
        believed = self._predictor.believed()
        bounds: dict[Genotype, float] = {}

        def bound(genotypes: Iterable[Genotype]) -> None:
            new = sorted(set(genotypes) - bounds.keys())
            if new:
                # Rounded, so that the last bits, which differ after a replay, decide nothing.
                bounds.update(
                    zip(new, self._predictor(new, self._kappa).round(9).tolist(), strict=True)
                )

        def ranked() -> list[Genotype]:
            return sorted(bounds, key=lambda genotype: (-bounds[genotype], genotype))

        frontier = believed[: self._elite]
        bound(
            {mutant for parent in frontier for mutant in self._mutants(parent, rng)} - self._asked
        )
        for _ in range(self._rounds):
            neighbours = {
                neighbour for genotype in frontier for neighbour in self._neighbours(genotype)
            }
            bound(neighbours - self._asked)
            frontier = ranked()[:3]
        if self._problem.repeats and not self._repeated and not self._predictor.exact(self._told):
            bound(believed[:40])
        for genotype in ranked():
            if genotype in self._asked or genotype not in self._seen:
                return genotype
        return self._seen.fresh(rng)

    def _neighbours(self, genotype: Genotype) -> list[Genotype]:
        """Return all genotypes that answer one decision otherwise."""
        return [
            (*genotype[:decision], choice, *genotype[decision + 1 :])
            for decision, size in enumerate(self._problem.space.sizes)
            for choice in range(size)
            if choice != genotype[decision]
        ]

    def _mutants(
        self, genotype: Genotype, rng: np.random.Generator, count: int = 8
    ) -> list[Genotype]:
        """Return genotypes with two to four answers drawn anew."""
        sizes, mutants = self._problem.space.sizes, []
        for _ in range(count):
            mutant = list(genotype)
            for decision in rng.choice(
                len(sizes), size=min(len(sizes), int(rng.integers(2, 5))), replace=False
            ):
                mutant[decision] = int(rng.integers(sizes[decision]))
            mutants.append(tuple(mutant))
        return mutants
