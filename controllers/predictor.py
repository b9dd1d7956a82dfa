"""Predicts the accuracy of networks that were not trained from those that were: a Gaussian process.

Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", ch. 2 (Algorithm 2.1) and 5 (Eq. 5.8, 5.9).
BANANAS (arXiv 1910.11858) and BRP-NAS (arXiv 2007.08668) predict with neural networks from what they see of an
architecture alone. This one also reads what is known exactly before anything is trained: the costs. On random
networks of Accel-NASBench that took the error after 100 noisy trials from 1.34 to 0.83 points.

The covariance of two networks is a sum of terms, whose weights are learnt with the noise by maximum a posteriori:

    cost      linear in the logarithms of the costs: larger networks are better …
    returns   … with diminishing returns: a smooth function of them
    order     linear in each answer's number: choices are listed from less to more
    choice    an effect of its own for each answer to each decision
    smooth    interactions of answers, smooth in their numbers
    local     networks of few different answers and like costs are alike
    own       what only this network has, and another training of it has again

Accuracies are standardised. A failed child (accuracy 0) counts as much as the worst that did not fail: as far
off as 0 is, it would be all that the model explains.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from controllers.base import Problem
from search_space.space import Genotype

Array = NDArray[np.float64]

TERMS = ("cost", "returns", "order", "choice", "smooth", "local", "own")

LEAST = 8  # trials told before the first prediction

# Priors on the logarithms of the weights and of the noise variance, in units of the accuracies' variance: normal,
# wide enough for a factor of 50 either way. `own` is told from noise only by networks trained twice; where there are
# none, what is not explained is taken for noise.
_PRIOR = np.log([0.1, 0.1, 0.1, 0.1, 0.03, 0.03, 0.01, 0.1])
_LEAST_LOG = -14.0
_WIDTH = np.array([2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0])


class Features(NamedTuple):
    """What the model sees of N networks."""

    cost: Array  # [N, C] logarithms of the costs, standardised over the space
    order: Array  # [N, D] the answers' numbers, standardised
    choice: Array  # [N, sum of sizes] the answers, one-hot

    def row(self, number: int) -> "Features":
        """Return the features of one network. `[1]`"""
        return Features(*(part[number : number + 1] for part in self))


class Encoder:
    """Turns genotypes into features."""

    def __init__(self, problem: Problem) -> None:
        self._sizes = np.array(problem.space.sizes)
        self._offsets = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        rng = np.random.default_rng(0)
        logs = np.log(problem.weigh([problem.space.random(rng) for _ in range(500)]).costs)
        self._mean, self._spread = logs.mean(0), logs.std(0) + 1e-9

    def __call__(self, genotypes: Sequence[Genotype], costs: Array) -> Features:
        """Return the features of genotypes, `[N, D]`, and their costs, `[N, C]`."""
        answers = np.array(genotypes, np.int64).reshape(-1, len(self._sizes))
        cost = (np.log(costs) - self._mean) / self._spread
        # A uniform answer has variance (size² − 1) / 12.
        order = (answers - (self._sizes - 1) / 2) / np.sqrt(np.maximum(self._sizes**2 - 1, 3) / 12)
        choice = np.zeros((len(answers), self._sizes.sum()))
        choice[np.arange(len(answers))[:, None], self._offsets + answers] = 1
        return Features(cost, order, choice)


def _bell(products: Array, a: Array, b: Array, width: float) -> Array:
    """Return exp(−|a − b|² / width) for vectors and their products: `[N, M]`, `[N, F]`, `[M, F]` to `[N, M]`."""
    bells: Array = products * (2 / width)
    np.exp(bells, out=bells)
    bells *= np.exp(-(a**2).sum(1) / width)[:, None]
    bells *= np.exp(-(b**2).sum(1) / width)
    return bells


def _terms(a: Features, b: Features) -> list[Array]:
    """Return the covariance terms of two sets of networks, each `[N, M]`, in the order of `TERMS`."""
    decisions = a.order.shape[1]
    cost, order = a.cost @ b.cost.T, a.order @ b.order.T
    same = a.choice @ b.choice.T  # how many answers are equal
    returns = _bell(cost, a.cost, b.cost, 8)
    local = np.exp(-np.arange(decisions, -1, -1) / 8)[(same + 0.5).astype(np.intp)]
    local *= (returns * returns) ** 2
    return [
        cost / a.cost.shape[1],
        returns,
        order / decisions,
        same / decisions,
        _bell(order, a.order, b.order, decisions),
        local,
        (same == decisions).astype(float),
    ]


def _variances(a: Features) -> list[Array | float]:
    """Return the diagonals of `_terms(a, a)`."""
    return [(a.cost**2).mean(1), 1.0, (a.order**2).mean(1), 1.0, 1.0, 1.0, 1.0]


def _covariance(a: Features, b: Features, weights: Array) -> Array:
    """Return the covariance of accuracies without noise; the constant 1 stands for the unknown mean."""
    covariance = np.ones((len(a.cost), len(b.cost)))
    for weight, term in zip(weights, _terms(a, b), strict=True):
        term *= weight  # in place: making arrays takes as long as filling them
        covariance += term
    return covariance


def learn(features: Features, targets: Array, *, exact: bool = False) -> Array:
    """Return the weights of the terms and, last, the noise variance that are most probable given `targets`. `[8]`

    Args:
        features: of N networks.
        targets: their accuracies, standardised. `[N]`
        exact: whether there is no noise.
    """
    count = len(targets)
    terms = np.stack([*_terms(features, features), np.eye(count)]).reshape(-1, count**2)

    def loss(logs: Array) -> tuple[float, Array]:
        weights = np.exp(logs)
        covariance = 1 + (weights @ terms).reshape(count, count)
        factor = linalg.cholesky(covariance, lower=True, check_finite=False)
        half, _ = linalg.lapack.dpotri(factor, lower=True)
        inverse = half + np.tril(half, -1).T
        fit = inverse @ targets
        outer = np.outer(fit, fit) - inverse
        slopes = -0.5 * weights * (terms @ outer.ravel())
        off = (logs - _PRIOR) / _WIDTH
        value = 0.5 * targets @ fit + np.log(np.diag(factor)).sum() + 0.5 * (off**2).sum()  # (Eq. 5.8)
        return float(value), slopes + off / _WIDTH  # (Eq. 5.9)

    bounds = [(_LEAST_LOG, 4)] * len(TERMS) + [(_LEAST_LOG, _LEAST_LOG if exact else 4)]
    start = np.clip(_PRIOR, *np.array(bounds).T)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 30})
    weights: Array = np.exp(found.x)
    return weights


class Posterior:
    """What is believed of accuracies given some trials: those told, and those asked whose accuracy is not known yet.

    Rows are in the order they were asked, and told in that order. So the Cholesky factor of the told ones is the
    leading block of all: the mean reads that, and the spread, which needs no accuracy, reads all. A trial that is
    asked takes one row more, O(n²), and one that is told two solves of triangles.
    """

    def __init__(self, features: Features, targets: Array, weights: Array) -> None:
        """Begin with N asked networks of which the first M are told.

        Args:
            features: of the asked networks. `[N]`
            targets: accuracies of the told ones, standardised. `[M]`
            weights: of the terms and the noise, as `learn` returns them. `[8]`
        """
        self._weights, self._noise = weights[:-1], weights[-1]
        self._features = features
        covariance = _covariance(features, features, self._weights)
        covariance[np.diag_indices(len(covariance))] += self._noise
        self._factor = linalg.cholesky(covariance, lower=True, check_finite=False)
        self.tell(targets)

    def ask(self, features: Features) -> None:
        """Take in networks that are asked now."""
        for row in range(len(features.cost)):
            new = features.row(row)
            known = linalg.solve_triangular(self._factor, self._to(new), lower=True, check_finite=False)[:, 0]
            rest = self._noise + self._prior(new)[0] - known @ known
            count = len(known)
            factor = np.zeros((count + 1, count + 1), order="F")
            factor[:count, :count], factor[count, :count], factor[count, count] = self._factor, known, np.sqrt(rest)
            self._factor = factor
            self._features = Features(*map(np.concatenate, zip(self._features, new, strict=True)))

    def tell(self, targets: Array) -> None:
        """Take in the accuracies of the first M networks. `[M]`"""
        told = self._factor[: len(targets), : len(targets)]
        self._targets, self._fit = targets, linalg.cho_solve((told, True), targets, check_finite=False)

    @property
    def told(self) -> Array:
        """The expected accuracies of the told networks. `[M]`"""
        told: Array = self._targets - self._noise * self._fit
        return told

    def _to(self, features: Features) -> Array:
        """Return the covariance of the asked networks with others, `[N, M]`, as LAPACK likes it: column by column."""
        return _covariance(features, self._features, self._weights).T

    def _prior(self, features: Features) -> Array:
        diagonals = zip(self._weights, _variances(features), strict=True)
        prior = np.ones(len(features.cost))
        for weight, term in diagonals:
            prior += weight * term
        return prior

    def __call__(self, features: Features) -> tuple[Array, Array]:
        """Return mean and standard deviation of the accuracies, without a training's noise. `[N]`, `[N]`"""
        shared = self._to(features)
        known = linalg.solve_triangular(self._factor, shared, lower=True, check_finite=False)
        spread = np.sqrt(np.maximum(self._prior(features) - (known**2).sum(0), 1e-12))
        return self._fit @ shared[: len(self._fit)], spread

    def joint(self, features: Features) -> tuple[Array, Array]:
        """Return mean and covariance of the accuracies, without a training's noise. `[N]`, `[N, N]`"""
        shared = self._to(features)
        known = linalg.solve_triangular(self._factor, shared, lower=True, check_finite=False)
        return self._fit @ shared[: len(self._fit)], _covariance(features, features, self._weights) - known.T @ known


def _milestone(told: int) -> int:
    """Return after how many trials the model was learnt that serves after `told`: each time a quarter more, or 100."""
    reached = LEAST
    while (following := reached + max(1, min(reached // 4, 100))) <= told:
        reached = following
    return reached


class Predictor:
    """Learns from trials as they are asked and told; what it says is a function of those alone.

    The weights are learnt anew at milestones, from 400 trials at most; between them trials are taken in one by one.
    Of more than `capacity` told trials the model holds the half of highest reward, and others from all times
    (`chosen`).
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
        rewards: Array = weighed.slope * (self._centre + self._scale * (mean + kappa * spread)) + weighed.intercept
        return rewards

    def joint(self, genotypes: Sequence[Genotype]) -> tuple[Array, Array]:
        """Return mean and covariance of the genotypes' rewards if each were trained very often. `[N]`, `[N, N]`"""
        self._update()
        weighed = self._problem.weigh(genotypes)
        mean, covariance = self._posterior.joint(self._encode(genotypes, weighed.costs))
        rewards: Array = weighed.slope * (self._centre + self._scale * mean) + weighed.intercept
        return rewards, covariance * self._scale**2 * np.outer(weighed.slope, weighed.slope)

    def believed(self) -> list[Genotype]:
        """Return the told networks that did not fail, the one of highest expected reward first."""
        self._update()
        rows = self._rows[: len(self._posterior.told)]
        weighed = self._problem.weigh([self._asked[row] for row in rows])
        rewards = weighed.slope * (self._centre + self._scale * self._posterior.told) + weighed.intercept
        ranked = [rows[place] for place in np.argsort(-rewards, kind="stable")]
        return list(dict.fromkeys(self._asked[row] for row in ranked if self._accuracies[row] > 0))

    def exact(self, told: int) -> bool:
        """Say whether, of the first trials told, four repeats or more brought what the network had brought before."""
        first: dict[Genotype, float] = {}
        repeats = 0
        for genotype, accuracy in zip(self._asked, self._accuracies[:told], strict=False):
            if accuracy <= 0:  # failed: not measured
                continue
            repeats += genotype in first
            if first.setdefault(genotype, accuracy) != accuracy:
                return False
        return repeats >= 4

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
            rows = chosen(self._asked[:milestone], rewards, 400)
            self._centre, self._scale = accuracies[:milestone].mean(), accuracies[:milestone].std() + 1e-6
            targets = (accuracies - self._centre) / self._scale
            weights = learn(self._features(rows), targets[rows], exact=self.exact(milestone))
            held = chosen(self._asked[:milestone], rewards, self._capacity)
            self._rows = [*held, *range(milestone, len(self._asked))]
            features = self._features(self._rows)
            self._posterior = Posterior(features, targets[[row for row in self._rows if row < told]], weights)
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


def chosen(networks: Sequence[Genotype], rewards: Array, count: int) -> list[int]:
    """Return `count` rows in order: the half of highest reward, and every so many of the others.

    A network's trainings are ranked together, by their mean: the lucky one alone would tell of its luck.
    """
    if len(rewards) <= count:
        return list(range(len(rewards)))
    numbers: dict[Genotype, int] = {}
    number = np.array([numbers.setdefault(network, len(numbers)) for network in networks])
    mean = np.bincount(number, rewards) / np.bincount(number)
    ranked = np.lexsort((number, -mean[number]))
    best, others = ranked[: count // 2], np.sort(ranked[count // 2 :])
    spaced = others[np.linspace(0, len(others) - 1, count - len(best)).astype(int)]
    return sorted([*best.tolist(), *spaced.tolist()])
