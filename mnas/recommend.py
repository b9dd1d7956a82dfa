"""Which network to export. The best reward told is the best luck, too.

So a Gaussian process (`controllers/predictor.py`) is given the whole journal, whichever controller wrote it, and the
trial is taken whose reward is expected to be highest if its network were trained many times more. How sure that is
says the share of draws from the posterior in which it is the best.
"""

from dataclasses import dataclass

import numpy as np

from mnas.log import Log
from mnas.report import Row, best, rows
from search_space import Space

CANDIDATES = 50  # networks believed best, among which the best is looked for
DRAWS = 10_000
LEAST = 8  # trials below which there is nothing to learn from


@dataclass(frozen=True, slots=True)
class Recommended:
    """A trial, and what is believed of its network."""

    row: Row
    expected: float  # reward
    spread: float  # standard deviation of that belief
    chance: float  # of being the best of those tried


def recommend(log: Log, count: int = 1) -> list[Recommended]:
    """Return the trials of highest expected reward, each network once; none where too little is known to say.

    A coefficient search, whose decision is one of many triples, gives none either.
    """
    measured = [row for row in rows(log) if row.reused_from is None]
    if len(measured) < LEAST or type(log.space) is not Space:
        return []
    from threadpoolctl import threadpool_limits

    from controllers.predictor import Predictor  # scipy: half a second

    predictor = Predictor(log.config().problem(log.space))
    for row in measured:
        predictor.ask(log.asks[row.trial].genotype)
        predictor.tell(row.reward)
    with threadpool_limits(1):  # matrices this small gain nothing by more
        genotypes = predictor.believed()[:CANDIDATES]
        expected, covariance = predictor.joint(genotypes)
        draws = np.random.default_rng(0).multivariate_normal(expected, covariance, DRAWS, check_valid="ignore")
    chances = np.bincount(draws.argmax(1), minlength=len(genotypes)) / DRAWS
    first = {log.asks[row.trial].genotype: row for row in reversed(measured)}
    return [
        Recommended(first[genotype], float(mean), float(np.sqrt(variance)), float(chance))
        for genotype, mean, variance, chance in zip(genotypes, expected, covariance.diagonal(), chances, strict=True)
    ][:count]


def text(log: Log) -> str:
    """Say in one line which trial is recommended, and how sure that is; nothing where nothing can be said."""
    found = recommend(log)
    if not found:
        return ""
    (only,) = found
    told = best(log, 1)[0]
    words = f"expected reward {only.expected:.4f} ± {only.spread:.4f}, the best of all with {only.chance:.0%}"
    luck = "" if told.trial == only.row.trial else f" (trial {told.trial} was told the highest)"
    return f"Recommended, and what mnas export takes: trial {only.row.trial}, {words}{luck}"
