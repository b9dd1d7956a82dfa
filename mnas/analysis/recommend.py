"""Which network to export. The best reward told is the best luck, too.

So a Gaussian process (`controllers/predictor.py`) is given the journal, whichever controller wrote
it, and the trial is taken whose reward is expected to be highest if its network were trained many
times more. How sure that is says the share of draws from the posterior in which it is the best.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from controllers.base import Array, Problem
from controllers.repeats import ALIKE
from mnas.analysis.ranking import Row, best, measured, row
from mnas.journal.log import Log
from mnas.journal.records import Confirmed, Outcome
from search_space import Genotype, Space

CANDIDATES = 50  # networks believed best, among which the best is looked for
DRAWS = 10_000
CAPACITY = 1000  # networks that are read: of more, a part (`predictor.chosen`)
LEAST = 8  # trials below which there is nothing to learn from


@dataclass(frozen=True, slots=True)
class Recommended:
    """A trial, and what is believed of its network."""

    row: Row
    expected: float  # reward
    spread: float  # standard deviation of that belief
    chance: float  # of being the best of those tried
    trained: int  # how often its network was


def recommend(log: Log, count: int = 1, *, confirmed: bool = True) -> list[Recommended]:
    """Return the trials of highest expected reward, each network once; none where too little is
    known to say.

    A coefficient search, whose decision is one of many triples, gives none either.

    Args:
        log: of the run.
        count: how many at most.
        confirmed: whether to believe what trained a network again (`confirm.py`), too.
    """
    # An accuracy of 0, failed or not, recommends nothing.
    trainings: list[Outcome | Confirmed] = [
        o for o in measured(log) if o.accuracy > 0 and o.reused_from is None
    ]
    if len(trainings) < LEAST or type(log.space) is not Space:
        return []
    if confirmed and log.confirmed:
        networks = {log.asks[training.trial].digest for training in trainings}
        trainings += [
            again for again in log.confirmed.values() if log.asks[again.trial].digest in networks
        ]
    asked = [log.asks[training.trial] for training in trainings]
    firsts, times, expected, covariance = believed(
        log.config().problem(log.space),
        [ask.digest for ask in asked],
        np.array([training.reward for training in trainings]),
        lambda place: asked[place].genotype,
    )
    with threadpool_limits(1):
        draws = np.random.default_rng(0).multivariate_normal(
            expected, covariance, DRAWS, check_valid="ignore"
        )
    chances = np.bincount(draws.argmax(1), minlength=len(firsts)) / DRAWS
    return [
        Recommended(
            row(log, asked[first].trial),
            float(mean),
            float(np.sqrt(variance)),
            float(chance),
            trained,
        )
        for first, mean, variance, chance, trained in zip(
            firsts, expected, covariance.diagonal(), chances, times, strict=True
        )
    ][:count]


def believed(
    problem: Problem, names: Sequence[Hashable], rewards: Array, genotype: Callable[[int], Genotype]
) -> tuple[list[int], list[int], Array, Array]:
    """Return the N networks of highest expected reward, at most CANDIDATES.

    Args:
        problem: what was searched.
        names: which network each training trained.
        rewards: of the trainings.
        genotype: of a training's network, by the training's place; asked of few.

    Returns:
        Of each network the place of its first training and the number of all; means, `[N]`; and
        covariance, `[N, N]`.
    """
    from controllers.gaussian_process import Encoder, Posterior, learn  # scipy: half a second
    from controllers.predictor import LEARNT, chosen, grouped

    first, number, means = grouped(names, rewards)
    counts = np.bincount(number)
    scatter = np.bincount(number, (rewards - means[number]) ** 2)
    exact = len(number) - len(first) >= ALIKE and bool((rewards == rewards[first][number]).all())
    held = np.array(chosen(means, CAPACITY))
    networks, counts = [genotype(place) for place in first[held].tolist()], counts[held]
    weighed = problem.weigh(networks)
    accuracies = (means[held] - weighed.intercept) / weighed.slope
    centre, scale = accuracies.mean(), accuracies.std() + 1e-6
    targets, scatter = (accuracies - centre) / scale, scatter[held] / (weighed.slope * scale) ** 2
    features = Encoder(problem)(networks, weighed.costs)
    with threadpool_limits(1):  # matrices this small gain nothing by more
        some = chosen(means[held], LEARNT)
        weights = learn(
            features.rows(some), targets[some], counts[some], scatter[some].sum(), exact=exact
        )
        posterior = Posterior(features, targets, weights, counts)
        expected = weighed.slope * (centre + scale * posterior.told) + weighed.intercept
        top = np.argsort(-expected, kind="stable")[:CANDIDATES]
        mean, covariance = posterior.joint(features.rows(top))
    slope = weighed.slope[top]
    expected = slope * (centre + scale * mean) + weighed.intercept[top]
    covariance *= scale**2 * np.outer(slope, slope)
    return first[held[top]].tolist(), counts[top].tolist(), expected, covariance


def promising(log: Log, count: int, *, confirmed: bool = True) -> list[Row]:
    """Return the networks to go on with, the best first: the recommended ones, then those of
    highest reward told.
    """
    recommended = [each.row for each in recommend(log, count, confirmed=confirmed)]
    networks: dict[str, Row] = {}
    for network in [*recommended, *best(log, count)]:
        networks.setdefault(network.digest, network)
    return list(networks.values())[:count]
