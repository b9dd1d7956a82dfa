"""Predicts the reward of networks that were not trained from those that were.

Keeps a Gaussian process (`gaussian_process.py`) up to date with a search: which trials it holds,
when it is learnt anew. A failed child (accuracy 0) counts as much as the worst that did not fail:
as far off as 0 is, it would be all that the model explains.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from controllers.base import Array, Problem
from controllers.gaussian_process import Encoder, Features, Posterior, learn
from controllers.repeats import Repeats
from search_space.space import Genotype

LEAST = 8  # trials told before the first prediction
LEARNT = 400  # trials at most from which the weights are learnt


def _milestone(told: int) -> int:
    """Return after how many trials the model was learnt that serves after `told`: each time a
    quarter more, or 100.
    """
    reached = LEAST
    while (following := reached + max(1, min(reached // 4, 100))) <= told:
        reached = following
    return reached


class Predictor:
    """Learns from trials as they are asked and told; what it says is a function of those alone.

    The weights are learnt anew at milestones, from LEARNT trials at most; between them trials are
    taken in one by one. Of more than `capacity` told trials the model holds the half of highest
    reward, and others from all times (`chosen`).
    """

    def __init__(self, problem: Problem, capacity: int = 400) -> None:
        self._problem, self._capacity = problem, capacity
        self._encode = Encoder(problem)
        self._asked: list[Genotype] = []
        self._accuracies: list[float] = []  # of the first of them
        self._learnt = 0  # from that many trials
        self._known = 0, 0  # trials that were asked and told, at the last update
        self._taken = 0  # asked trials that the posterior has
        self._rows: list[int] = []  # the trials that it holds
        self._posterior: Posterior

    def ask(self, genotype: Genotype) -> None:
        """Take in that a network is asked."""
        self._asked.append(genotype)

    def tell(self, *rewards: float) -> None:
        """Take in the rewards of the first trials that were not told."""
        told = len(self._accuracies)
        weighed = self._problem.weigh(self._asked[told : told + len(rewards)])
        self._accuracies += ((np.array(rewards) - weighed.intercept) / weighed.slope).tolist()

    def __call__(self, genotypes: Sequence[Genotype], kappa: float) -> Array:
        """Return the genotypes' rewards at the mean accuracy and `kappa` standard deviations. `[N]`

        LEAST trials must be told.
        """
        self._update()
        weighed = self._problem.weigh(genotypes)
        mean, spread = self._posterior(self._encode(genotypes, weighed.costs))
        rewards: Array = (
            weighed.slope * (self._centre + self._scale * (mean + kappa * spread))
            + weighed.intercept
        )
        return rewards

    def believed(self) -> list[Genotype]:
        """Return the told networks that did not fail, the one of highest expected reward first."""
        self._update()
        rows = self._rows[: len(self._posterior.told)]
        weighed = self._problem.weigh([self._asked[row] for row in rows])
        rewards = (
            weighed.slope * (self._centre + self._scale * self._posterior.told) + weighed.intercept
        )
        ranked = [rows[place] for place in np.argsort(-rewards, kind="stable")]
        return list(dict.fromkeys(self._asked[row] for row in ranked if self._accuracies[row] > 0))

    def exact(self, told: int) -> bool:
        """Say whether, of the first trials told, four repeats or more brought what the network had
        brought before.
        """
        repeats = Repeats()
        for genotype, accuracy in zip(self._asked, self._accuracies[:told], strict=False):
            if accuracy > 0:  # else it failed: not measured
                repeats.tell(genotype, accuracy)
        return repeats.useless

    def _update(self) -> None:
        told, milestone = len(self._accuracies), _milestone(len(self._accuracies))
        if self._known == (len(self._asked), told):
            return
        self._known = len(self._asked), told
        accuracies = np.array(self._accuracies)
        failed = accuracies <= 0
        if failed.any() and not failed.all():
            accuracies[failed] = accuracies[~failed].min()
        if milestone != self._learnt:
            self._learnt = milestone
            weighed = self._problem.weigh(self._asked[:milestone])
            rewards = weighed.slope * accuracies[:milestone] + weighed.intercept
            # A network's trainings are ranked together: the lucky one alone would tell of its luck.
            _, number, means = grouped(self._asked[:milestone], rewards)
            rows = chosen(means[number], LEARNT)
            self._centre, self._scale = (
                accuracies[:milestone].mean(),
                accuracies[:milestone].std() + 1e-6,
            )
            targets = (accuracies - self._centre) / self._scale
            weights = learn(self._features(rows), targets[rows], exact=self.exact(milestone))
            held = chosen(means[number], self._capacity)
            self._rows = [*held, *range(milestone, len(self._asked))]
            features = self._features(self._rows)
            self._posterior = Posterior(
                features, targets[[row for row in self._rows if row < told]], weights
            )
        elif self._taken < len(self._asked):
            new = range(self._taken, len(self._asked))
            self._rows += new
            self._posterior.ask(self._features(new))
        targets = (accuracies - self._centre) / self._scale
        self._posterior.tell(targets[[row for row in self._rows if row < told]])
        self._taken = len(self._asked)

    def _features(self, rows: Iterable[int]) -> Features:
        genotypes = [self._asked[row] for row in rows]
        return self._encode(genotypes, self._problem.weigh(genotypes).costs)


def grouped(
    names: Sequence[Hashable], rewards: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Take trainings of the same network together.

    Args:
        names: which network each training trained: its genotype, say. `[N]`
        rewards: of the trainings. `[N]`

    Returns:
        The first training of each network, `[U]`; which network each training trained, `[N]`; and
        the networks' mean rewards, `[U]`.
    """
    numbers: dict[Hashable, int] = {}
    number = np.array([numbers.setdefault(name, len(numbers)) for name in names])
    _, first = np.unique(number, return_index=True)
    return first, number, np.bincount(number, rewards) / np.bincount(number)


def chosen(rewards: Array, count: int) -> list[int]:
    """Return `count` rows in order: the half of highest reward, and every so many of the others."""
    if len(rewards) <= count:
        return list(range(len(rewards)))
    ranked = np.argsort(-rewards, kind="stable")
    best, others = ranked[: count // 2], np.sort(ranked[count // 2 :])
    spaced = others[np.linspace(0, len(others) - 1, count - len(best)).astype(int)]
    return sorted([*best.tolist(), *spaced.tolist()])
