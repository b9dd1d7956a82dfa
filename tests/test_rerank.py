"""A log under another reward reads as if the search had had it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.analysis import ranking as report
from mnas.analysis import rerank
from mnas.config import Config
from mnas.engine.loop import search
from mnas.journal.log import Log
from mnas.reward import Reward
from mnas.show import reranking
from search_space import InputError
from search_space.cost import cost
from tests.test_search import config

BEFORE = Reward(target=3_000_000)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    folder = tmp_path_factory.mktemp("rerank")
    faulty = {"name": "tests.stand_in:Faulty", "how": "diverged", "marks": str(folder / "marks")}
    return search(config(trials=30, proxy=faulty), folder / "run")


exponents = st.floats(-10, 0)
tables = st.fixed_dictionaries(
    {
        "target": st.floats(2e6, 1e9),
        "kind": st.sampled_from(["power", "absolute"]),
        "alpha": exponents,
        "beta": exponents,
        "cost": st.just("macs"),
    }
)


@given(tables)
def test_every_trial_has_the_reward_that_a_fresh_computation_gives(
    log: Log, table: dict[str, Any]
) -> None:
    other = rerank.under(log, table)
    fresh = Reward(**table)
    assert other.reward == fresh
    for trial, outcome in log.outcomes.items():
        price = cost(log.architecture(trial))
        assert other.outcomes[trial].reward == fresh(outcome.accuracy, price)
        assert asdict(other.outcomes[trial]) | {"reward": 0} == asdict(outcome) | {"reward": 0}


def test_a_search_that_had_that_reward_reads_the_same(log: Log, tmp_path: Path) -> None:
    """Random search asks the same whatever it is told."""
    tables = {"controller": {"name": "random"}}
    table = {"target": 5e6, "alpha": 0.0, "beta": -1.0}
    one = search(config(**tables), tmp_path / "one")
    other = search(config(**tables, reward=table), tmp_path / "other")
    again = rerank.under(one, table)
    assert [r.reward for r in report.rows(again)] == [r.reward for r in report.rows(other)]
    assert [r.trial for r in report.best(again, 30)] == [r.trial for r in report.best(other, 30)]


def test_the_log_itself_is_left_as_it_was(log: Log) -> None:
    before = dict(log.outcomes), log.reward
    rerank.under(log, {"target": 9e6})
    assert (log.outcomes, log.reward) == before


def test_the_configuration_and_its_digest_are_of_the_new_reward(log: Log) -> None:
    header = rerank.under(log, {"target": 2e6}).header
    assert header.config_digest == Config(header.config).digest != log.header.config_digest


@pytest.mark.parametrize(
    ("spec", "reward"),
    [
        ("target=300M", Reward(target=3e8)),
        ("target=2.5g", Reward(target=2.5e9)),
        ("w=-0.1", Reward(target=3e6, alpha=-0.1, beta=-0.1)),
        ("kind=hard", Reward(target=3e6, alpha=0, beta=-1)),
        ("target=300M,w=-0.1,kind=hard", Reward(target=3e8, alpha=0, beta=-0.1)),
        ("kind=absolute, beta=-0.2", Reward(target=3e6, kind="absolute", beta=-0.2)),
        ("cost=params,target=40K", Reward(target=4e4, cost="params")),
    ],
)
def test_what_is_said_is_laid_over_the_runs_own(spec: str, reward: Reward) -> None:
    assert Reward(**rerank.parse(spec, BEFORE)) == reward


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("tarket=3M", "--rerank tarket: unknown (did you mean target?); it takes target, kind, w"),
        ("target", "takes target=VALUE, once"),
        ("target=3M,target=4M", "takes target=VALUE, once"),
        ("target=much", "--rerank target: 'much'; takes a number, as 300M, 2.5G or -0.07"),
        (
            "kind=hart",
            "--rerank kind hart: unknown (did you mean hard?); it takes power, hard, absolute",
        ),
        ("w=-1,alpha=0", "w is alpha and beta both"),
        ("cost=params", "another cost takes its target too"),
        (
            "target=10",
            "--rerank: reward.target: 10 macs is below the smallest network of the space",
        ),
        (
            "target=1e300,w=-10",
            "--rerank: reward.target: 1e+300; takes a number of macs above 0, to 1e18",
        ),
        ("w=0.1", "--rerank: reward.alpha: 0.1; takes -10 to 0: cost must not be rewarded"),
        ("cost=latency,target=9", "--rerank: reward.cost: 'latency'; takes macs or params"),
    ],
)
def test_what_is_no_reward_is_one_line(log: Log, spec: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        rerank.under(log, rerank.parse(spec, log.reward))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_text_says_the_new_best_the_order_and_how_much_is_near_the_target(log: Log) -> None:
    same = reranking.text(log, rerank.under(log, asdict(log.reward)))
    top = report.best(log, 1)[0]
    assert f"The best before, trial {top.trial}, is now 1 of 29" in same
    assert "The order of the 29 networks held with Spearman 1.00" in same
    other = rerank.under(log, {"target": 2e6, "beta": -5.0})
    near = sum(abs(ask.macs / 2e6 - 1) <= 0.1 for ask in log.asks.values())
    assert f"Within 10% of the target are {near} of the 30 networks tried" in reranking.text(
        log, other
    )
