"""What the Gaussian process makes of networks that were trained several times."""

import numpy as np
import pytest

from controllers import Problem
from controllers.base import Array
from controllers.gaussian_process import Encoder, Features, Posterior, learn
from mnas.config import Config

COUNTS = np.array([1, 4, 2, 1, 9, 1, 1, 3, 1, 2, 1, 1])


@pytest.fixture(scope="module")
def problem() -> Problem:
    config = Config(
        {
            "search": {"trials": 10},
            "space": {"name": "mnasnet-tiny"},
            "reward": {"target": 3_000_000},
        }
    )
    return config.problem(config.space())


@pytest.fixture(scope="module")
def networks(problem: Problem) -> Features:
    rng = np.random.default_rng(0)
    genotypes = [problem.space.random(rng) for _ in COUNTS]
    return Encoder(problem)(genotypes, problem.weigh(genotypes).costs)


@pytest.fixture(scope="module")
def trainings(networks: Features) -> tuple[Array, Array]:
    """Of each training, which network it trained and its accuracy."""
    rng = np.random.default_rng(1)
    number = np.repeat(np.arange(len(COUNTS)), COUNTS)
    return number, networks.cost[number].sum(1) / 3 + rng.normal(0, 0.4, len(number))


def test_trainings_told_apart_or_as_their_mean_teach_the_same(
    networks: Features, trainings: tuple[Array, Array]
) -> None:
    number, accuracies = trainings
    means = np.bincount(number, accuracies) / COUNTS
    scatter = float(((accuracies - means[number]) ** 2).sum())
    apart = learn(networks.rows(number), accuracies)
    together = learn(networks, means, COUNTS.astype(float), scatter)
    assert together == pytest.approx(apart, rel=0.02)  # the optimizer stops near the optimum


def test_trainings_told_apart_or_as_their_mean_are_believed_the_same(
    networks: Features, trainings: tuple[Array, Array]
) -> None:
    number, accuracies = trainings
    weights = learn(networks.rows(number), accuracies)
    means = np.bincount(number, accuracies) / COUNTS
    apart = Posterior(networks.rows(number), accuracies, weights)
    together = Posterior(networks, means, weights, COUNTS.astype(float))
    first = np.flatnonzero(np.diff(number, prepend=-1))
    assert together.told == pytest.approx(apart.told[first])
    for ours, theirs in zip(together.joint(networks), apart.joint(networks), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)


def test_a_network_asked_after_means_counts_as_one_training(networks: Features) -> None:
    weights, counts = np.full(8, 0.3), COUNTS.astype(float)
    targets = np.linspace(-1, 1, len(counts))
    begun = Posterior(networks.rows(range(10)), targets[:10], weights, counts[:10])
    begun.ask(networks.rows([10, 11]))
    begun.tell(targets)
    assert begun.told == pytest.approx(
        Posterior(networks, targets, weights, counts).told
    )  # the last two have one each
