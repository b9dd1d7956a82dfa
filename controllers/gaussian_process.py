"""A Gaussian process over networks: what it sees of them, how it is learnt, what it believes.

Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", ch. 2 (Algorithm 2.1) and 5
(Eq. 5.8, 5.9). BANANAS (arXiv 1910.11858) and BRP-NAS (arXiv 2007.08668) predict with neural
networks from what they see of an architecture alone. This one also reads what is known exactly
before anything is trained: the costs. On random networks of Accel-NASBench that took the error
after 100 noisy trials from 1.34 to 0.83 points.

The covariance of two networks is a sum of terms, whose weights are learnt with the noise by maximum
a posteriori:

    cost      linear in the logarithms of the costs: larger networks are better …
    returns   … with diminishing returns: a smooth function of them
    order     linear in each answer's number: choices are listed from less to more
    choice    an effect of its own for each answer to each decision
    smooth    interactions of answers, smooth in their numbers
    local     networks of few different answers and like costs are alike
    own       what only this network has, and another training of it has again

Accuracies are standardised.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from controllers.base import Array, Problem
from search_space.space import Genotype

TERMS = ("cost", "returns", "order", "choice", "smooth", "local", "own")

# Priors on the logarithms of the weights and of the noise variance, in units of the accuracies'
# variance: normal, wide enough for a factor of 50 either way. `own` is told from noise only by
# networks trained twice; where there are none, what is not explained is taken for noise.
_PRIOR = np.log([0.1, 0.1, 0.1, 0.1, 0.03, 0.03, 0.01, 0.1])
_LEAST_LOG = -14.0
_WIDTH = np.array([2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0])


class Features(NamedTuple):
    """What the model sees of N networks."""

    cost: Array  # [N, C] logarithms of the costs, standardised over the space
    order: Array  # [N, D] the answers' numbers, standardised
    choice: Array  # [N, sum of sizes] the answers, one-hot

    def rows(self, numbers: Sequence[int] | NDArray[np.int64]) -> "Features":
        """Return the features of some of the networks. `[M]`"""
        return Features(*(part[numbers] for part in self))


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
    """Return exp(−|a − b|² / width) for vectors and their products: `[N, M]`, `[N, F]`, `[M, F]` to
    `[N, M]`.
    """
    bells: Array = products * (2 / width)
    np.exp(bells, out=bells)
    bells *= np.exp(-(a**2).sum(1) / width)[:, None]
    bells *= np.exp(-(b**2).sum(1) / width)
    return bells


def _terms(a: Features, b: Features) -> list[Array]:
    """Return the covariance terms of two sets of networks, each `[N, M]`, in the order of
    `TERMS`.
    """
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
    """Return the covariance of accuracies without noise; the constant 1 stands for the unknown
    mean.
    """
    covariance = np.ones((len(a.cost), len(b.cost)))
    for weight, term in zip(weights, _terms(a, b), strict=True):
        term *= weight  # in place: making arrays takes as long as filling them
        covariance += term
    return covariance


def learn(
    features: Features,
    targets: Array,
    counts: Array | None = None,
    scatter: float = 0.0,
    *,
    exact: bool = False,
) -> Array:
    """Return the weights of the terms and, last, the noise variance that are most probable given
    `targets`. `[8]`

    What trainings of one network say is all in their mean, their number and their scatter.

    Args:
        features: of N networks.
        targets: their accuracies, standardised. `[N]`
        counts: of how many trainings each is the mean; of one if not said. `[N]`
        scatter: sum of the squared distances of all trainings from their networks' means.
        exact: whether there is no noise.
    """
    count = len(targets)
    counts = np.ones(count) if counts is None else counts
    repeats = float(counts.sum()) - count
    terms = np.stack([*_terms(features, features), np.diag(1 / counts)]).reshape(-1, count**2)

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
        value = (
            0.5 * targets @ fit + np.log(np.diag(factor)).sum() + 0.5 * (off**2).sum()
        )  # (Eq. 5.8)
        # Around their network's mean, trainings are normal with the noise alone.
        value += 0.5 * (repeats * logs[-1] + scatter / weights[-1])
        slopes[-1] += 0.5 * (repeats - scatter / weights[-1])
        return float(value), slopes + off / _WIDTH  # (Eq. 5.9)

    bounds = [(_LEAST_LOG, 4)] * len(TERMS) + [(_LEAST_LOG, _LEAST_LOG if exact else 4)]
    start = np.clip(_PRIOR, *np.array(bounds).T)
    found = optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 30}
    )
    weights: Array = np.exp(found.x)
    return weights


class Posterior:
    """What is believed of accuracies given some trials: those told, and those asked whose accuracy
    is not known yet.

    Rows are in the order they were asked, and told in that order. So the Cholesky factor of the
    told ones is the leading block of all: the mean reads that, and the spread, which needs no
    accuracy, reads all. A trial that is asked takes one row more, O(n²), and one that is told two
    solves of triangles.
    """

    def __init__(
        self, features: Features, targets: Array, weights: Array, counts: Array | None = None
    ) -> None:
        """Begin with N asked networks of which the first M are told.

        Args:
            features: of the asked networks. `[N]`
            targets: accuracies of the told ones, standardised. `[M]`
            weights: of the terms and the noise, as `learn` returns them. `[8]`
            counts: of how many trainings each told one is the mean; of one if not said. `[N]`
        """
        self._weights, self._noise = weights[:-1], weights[-1]
        self._features = features
        self._counts = np.ones(len(features.cost)) if counts is None else counts
        covariance = _covariance(features, features, self._weights)
        covariance[np.diag_indices(len(covariance))] += self._noise / self._counts
        self._factor = linalg.cholesky(covariance, lower=True, check_finite=False)
        self.tell(targets)

    def ask(self, features: Features) -> None:
        """Take in networks that are asked now."""
        for row in range(len(features.cost)):
            new = features.rows([row])
            known = linalg.solve_triangular(
                self._factor, self._to(new), lower=True, check_finite=False
            )[:, 0]
            rest = self._noise + self._prior(new)[0] - known @ known
            count = len(known)
            factor = np.zeros((count + 1, count + 1), order="F")
            factor[:count, :count], factor[count, :count], factor[count, count] = (
                self._factor,
                known,
                np.sqrt(rest),
            )
            self._factor = factor
            self._features = Features(*map(np.concatenate, zip(self._features, new, strict=True)))
            self._counts = np.append(self._counts, 1.0)

    def tell(self, targets: Array) -> None:
        """Take in the accuracies of the first M networks. `[M]`"""
        told = self._factor[: len(targets), : len(targets)]
        self._targets, self._fit = (
            targets,
            linalg.cho_solve((told, True), targets, check_finite=False),
        )

    @property
    def told(self) -> Array:
        """The expected accuracies of the told networks. `[M]`"""
        told: Array = self._targets - self._noise / self._counts[: len(self._fit)] * self._fit
        return told

    def _to(self, features: Features) -> Array:
        """Return the covariance of the asked networks with others, `[N, M]`, as LAPACK likes it:
        column by column.
        """
        return _covariance(features, self._features, self._weights).T

    def _prior(self, features: Features) -> Array:
        diagonals = zip(self._weights, _variances(features), strict=True)
        prior = np.ones(len(features.cost))
        for weight, term in diagonals:
            prior += weight * term
        return prior

    def __call__(self, features: Features) -> tuple[Array, Array]:
        """Return mean and standard deviation of the accuracies, without a training's noise. `[N]`,
        `[N]`
        """
        shared = self._to(features)
        known = linalg.solve_triangular(self._factor, shared, lower=True, check_finite=False)
        spread = np.sqrt(np.maximum(self._prior(features) - (known**2).sum(0), 1e-12))
        return self._fit @ shared[: len(self._fit)], spread

    def joint(self, features: Features) -> tuple[Array, Array]:
        """Return mean and covariance of the accuracies, without a training's noise.
        `[N]`, `[N, N]`
        """
        shared = self._to(features)
        known = linalg.solve_triangular(self._factor, shared, lower=True, check_finite=False)
        return self._fit @ shared[: len(self._fit)], _covariance(
            features, features, self._weights
        ) - known.T @ known
