"""Which network to export. The best reward told is the best luck, too.

So a Gaussian process (`controllers/predictor.py`) is given the journal, whichever controller wrote it, and the trial
is taken whose reward is expected to be highest if its network were trained many times more. How sure that is
says the share of draws from the posterior in which it is the best.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controllers.base import Array, Problem
from mnas.log import Confirmed, Log, Outcome
from mnas.report import Row, best, row, succeeded
from search_space import Genotype, Space

CANDIDATES = 50  # networks believed best, among which the best is looked for
DRAWS = 10_000
CAPACITY = 1000  # trainings that are believed: of more, a part (`predictor.chosen`)
LEAST = 8  # trials below which there is nothing to learn from


@dataclass(frozen=True, slots=True)
class Recommended:
    """A trial, and what is believed of its network."""

    row: Row
    expected: float  # reward
    spread: float  # standard deviation of that belief
    chance: float  # of being the best of those tried


def recommend(log: Log, count: int = 1, *, confirmed: bool = True) -> list[Recommended]:
    """Return the trials of highest expected reward, each network once; none where too little is known to say.

    A coefficient search, whose decision is one of many triples, gives none either.

    Args:
        log: of the run.
        count: how many at most.
        confirmed: whether to believe what trained a network again (`confirm.py`), too.
    """
    # An accuracy of 0, failed or not, recommends nothing.
    measured = [o for o in succeeded(log) if o.accuracy > 0 and o.reused_from is None]
    if len(measured) < LEAST or type(log.space) is not Space:
        return []
    from controllers.predictor import chosen  # scipy: half a second

    first = {log.asks[outcome.trial].digest: outcome.trial for outcome in reversed(measured)}
    trainings: list[Outcome | Confirmed] = list(measured)
    if confirmed:
        trainings += [again for again in log.confirmed.values() if log.asks[again.trial].digest in first]
    rewards = np.array([each.reward for each in trainings])
    # Of a long log the model takes a part; only of that is more made than this.
    held = chosen([log.asks[each.trial].genotype for each in trainings], rewards, CAPACITY)
    asked = [log.asks[trainings[place].trial] for place in held]
    digests = {ask.genotype: ask.digest for ask in asked}
    told = [(ask.genotype, reward) for ask, reward in zip(asked, rewards[held].tolist(), strict=True)]
    genotypes, expected, covariance = believed(log.config().problem(log.space), told)
    draws = np.random.default_rng(0).multivariate_normal(expected, covariance, DRAWS, check_valid="ignore")
    chances = np.bincount(draws.argmax(1), minlength=len(genotypes)) / DRAWS
    return [
        Recommended(row(log, first[digests[genotype]]), float(mean), float(np.sqrt(variance)), float(chance))
        for genotype, mean, variance, chance in zip(genotypes, expected, covariance.diagonal(), chances, strict=True)
    ][:count]


def believed(problem: Problem, told: Sequence[tuple[Genotype, float]]) -> tuple[list[Genotype], Array, Array]:
    """Return the networks of highest expected reward, N at most CANDIDATES, with means and covariance. `[N]`, `[N, N]`

    Args:
        problem: what was searched.
        told: trainings, in the order they were asked, and their rewards.
    """
    from threadpoolctl import threadpool_limits

    from controllers.predictor import Predictor, chosen  # scipy: half a second

    predictor = Predictor(problem, CAPACITY)
    genotypes, rewards = [genotype for genotype, _ in told], np.array([reward for _, reward in told])
    held = chosen(genotypes, rewards, CAPACITY)
    for place in held:
        predictor.ask(genotypes[place])
    predictor.tell(*rewards[held])
    with threadpool_limits(1):  # matrices this small gain nothing by more
        genotypes = predictor.believed()[:CANDIDATES]
        return genotypes, *predictor.joint(genotypes)


def promising(log: Log, count: int, *, confirmed: bool = True) -> list[Row]:
    """Return the networks to go on with, the best first: the recommended ones, then those of highest reward told."""
    recommended = [each.row for each in recommend(log, count, confirmed=confirmed)]
    networks: dict[str, Row] = {}
    for network in [*recommended, *best(log, count)]:
        networks.setdefault(network.digest, network)
    return list(networks.values())[:count]


def text(log: Log) -> str:
    """Say in one line which trial is recommended, and how sure that is; nothing where nothing can be said."""
    found = recommend(log)
    if not found:
        return ""
    (only,) = found
    told = best(log, 1)[0]
    words = f"expected reward {only.expected:.4f} ± {only.spread:.4f}, the best of all with {only.chance:.0%}"
    luck = "" if told.trial == only.row.trial else f" (trial {told.trial} was told the highest)"
    alike = {trial for trial, ask in log.asks.items() if ask.digest == only.row.digest}
    trained = [trial for trial in alike if trial in log.outcomes and log.outcomes[trial].reused_from is None]
    times = len(trained) + sum(trial in alike for trial, _ in log.confirmed)
    words += f", trained {times} times" if times > 1 else ""
    return f"Recommended, and what mnas export takes: trial {only.row.trial}, {words}{luck}"
