"""Everything of one trial, in words."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mnas import formatting
from mnas.engine.loop import search
from mnas.journal.log import Log
from mnas.journal.records import Ask, Outcome, Retry
from mnas.journal.writer import Journal
from mnas.show import tables, trial
from runners import Failure
from search_space import InputError
from search_space.cost import Cost, cost, stage_costs
from search_space.zoo import ZOO
from tests.test_journal import ASK, CONFIG, OUTCOME, SPACE
from tests.test_search import config


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return search(config(trials=10), tmp_path_factory.mktemp("trial") / "run")


def written(run: Path, *records: Ask | Outcome | Retry) -> Log:
    with Journal.create(run, CONFIG, SPACE) as journal:
        for record in records:
            journal.append(record)
    return journal.log


def test_the_terms_of_the_reward_make_the_reward(log: Log) -> None:
    for number, outcome in log.outcomes.items():
        product = re.search(
            r"reward = .* = ([\d.]+) · ([\d.]+) = ([\d.]+)\n", trial.text(log, number)
        )
        assert product
        accuracy, weight, reward = map(float, product.groups())
        assert accuracy * weight == pytest.approx(outcome.reward, abs=2e-4)
        assert reward == pytest.approx(outcome.reward, abs=1e-4)


def test_every_answer_and_every_epoch_is_named(log: Log) -> None:
    text = trial.text(log, 0)
    for name, choice in log.space.answers(log.asks[0].genotype).items():
        stage, _, field = name.partition(".")
        assert re.search(rf"{stage}: .*{field} = {choice}", text)
    for epoch, share in enumerate(log.outcomes[0].curve, start=1):
        assert re.search(rf"  {epoch}  {share:.4f}  █", text)


def test_trials_of_the_same_network_name_each_other(tmp_path: Path) -> None:
    again = Outcome(trial=1, accuracy=0.5, reward=0.4, reused_from=0)
    log = written(tmp_path / "run", ASK, replace(ASK, trial=1), OUTCOME, again)
    assert "again what trial 0 brought: the same network" in trial.text(log, 1)
    assert "  trial 0: accuracy 0.5000, reward 0.4000" in trial.text(log, 1)
    assert "  trial 1: accuracy 0.5000, reward 0.4000, told again from trial 0" in trial.text(
        log, 0
    )


def test_a_trial_that_was_retried_and_failed_says_why_and_where(tmp_path: Path) -> None:
    gone = Retry(
        trial=0, failure=Failure("worker-died", "signal 9\x1b[2J"), worker="7", seconds=3.0
    )
    failed = Outcome(
        trial=0, accuracy=0.0, reward=0.0, failure=Failure("raised", "why"), worker="8", seconds=2.0
    )
    text = trial.text(written(tmp_path / "run", ASK, gone, failed), 0)
    assert "failed (raised), told as accuracy 0" in text
    assert "retry 1: after 3.0 s on worker 7" in text
    assert r"worker-died: signal 9\x1b[2J" in text
    assert "after 2.0 s on worker 8\nfailure: why" in text
    assert "No other trial builds this network" in text


def test_a_trial_that_is_not_told_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    text = trial.text(written(tmp_path / "run", ASK), 0)
    assert "asked, not told yet" in text
    assert "reward = " not in text


def test_a_trial_that_was_not_asked_is_refused(log: Log) -> None:
    with pytest.raises(InputError, match=r"trial: 10; .* has 10, counted from 0"):
        trial.text(log, 10)


@pytest.mark.parametrize("name", ZOO)
def test_the_stages_costs_add_up_to_the_networks(name: str) -> None:
    assert Cost.total(stage_costs(ZOO[name])) == cost(ZOO[name])
    assert formatting.millions(cost(ZOO[name]).macs) in tables.stage_table(ZOO[name], priced=True)
