"""Which network to export: the one expected to be best, not the luckiest."""

from pathlib import Path

import numpy as np
import pytest

from mnas.analysis import recommend
from mnas.config import Config
from mnas.engine.loop import search
from mnas.export import trial as export_trial
from mnas.journal.log import Log
from mnas.show import recommendation
from runners.base import Job, Result
from search_space import Architecture
from tests.test_search import config


class Noisy:
    """A smooth accuracy, more channels and repeats being better, under noise of a child's seed."""

    def __init__(self, *, noise: float = 0.02) -> None:
        self.noise = noise

    def check(self, architecture: Architecture) -> None:
        pass

    def prepare(self) -> None:
        pass

    @staticmethod
    def true(architecture: Architecture) -> float:
        return 0.5 + sum(
            stage.channels / 2000 + stage.repeats / 100 for stage in architecture.stages
        )

    def __call__(self, job: Job) -> Result:
        noise = self.noise * np.random.default_rng(job.seed).standard_normal()
        return Result(job.trial, self.true(job.architecture) + noise)


def noisy(seed: int, trials: int = 80) -> Config:
    tables = {"proxy": {"name": "tests.test_recommend:Noisy"}, "controller": {"name": "random"}}
    return config(trials=trials, search={"seed": seed}, **tables)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    folder = tmp_path_factory.mktemp("searched")
    return [search(noisy(seed), folder / str(seed)) for seed in range(6)]


def true_reward(log: Log, trial: int) -> float:
    ask, architecture = log.asks[trial], log.architecture(trial)
    return Noisy.true(architecture) * (ask.macs / log.reward.target) ** -0.07


def test_it_loses_less_true_reward_to_luck_than_the_best_told(searched: list[Log]) -> None:
    """Over six random searches of 80 trials. Seen: 0.0033 in the mean against 0.0056."""
    lost: dict[str, list[float]] = {"recommended": [], "told": []}
    for log in searched:
        best = max(true_reward(log, trial) for trial in log.outcomes)
        told = max(log.outcomes.values(), key=lambda outcome: outcome.reward).trial
        lost["recommended"].append(best - true_reward(log, recommend.recommend(log)[0].row.trial))
        lost["told"].append(best - true_reward(log, told))
    assert np.mean(lost["recommended"]) < 0.75 * np.mean(lost["told"])


def test_what_is_expected_is_as_far_off_as_it_says(searched: list[Log]) -> None:
    """Within a factor: among random networks noise is hardly told from what is a network's own.
    Seen: 2.1.
    """
    off = []
    for log in searched:
        off += [
            (r.expected - true_reward(log, r.row.trial)) / r.spread
            for r in recommend.recommend(log, 10)
        ]
    assert 0.3 < np.sqrt(np.mean(np.square(off))) < 3


def test_chances_are_of_one_network_each_and_add_up(searched: list[Log]) -> None:
    found = recommend.recommend(searched[0], recommend.CANDIDATES)
    assert len({each.row.digest for each in found}) == len(found)
    assert sum(each.chance for each in found) == pytest.approx(1)


def test_export_takes_the_recommended_and_another_one_that_is_asked_for(
    searched: list[Log],
) -> None:
    log = searched[0]
    trial = recommend.recommend(log)[0].row.trial
    assert export_trial.trial_spec(log)["provenance"]["trial"] == trial
    assert export_trial.trial_spec(log, 3)["provenance"]["trial"] == 3


def test_the_same_log_gives_the_same_recommendation(searched: list[Log]) -> None:
    assert recommendation.text(searched[0]) == recommendation.text(searched[0]).strip()


def test_of_few_trials_nothing_is_said_and_the_best_told_is_exported(tmp_path: Path) -> None:
    log = search(noisy(0, trials=recommend.LEAST - 1), tmp_path / "run")
    assert recommendation.text(log) == ""
    told = max(log.outcomes.values(), key=lambda outcome: outcome.reward).trial
    assert export_trial.trial_spec(log)["provenance"]["trial"] == told


def test_of_a_long_log_it_reads_the_best_and_some_of_all_times(tmp_path: Path) -> None:
    log = search(noisy(0, trials=2 * recommend.CAPACITY), tmp_path / "run")
    (found,) = recommend.recommend(log)
    rewards = sorted((outcome.reward for outcome in log.outcomes.values()), reverse=True)
    assert found.row.reward >= rewards[recommend.CAPACITY // 2]
    assert true_reward(log, found.row.trial) >= np.quantile(
        [true_reward(log, trial) for trial in log.outcomes], 0.98
    )


def test_where_no_network_gets_anything_right_nothing_is_recommended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noisy, "true", lambda self, architecture: 0.0)
    quiet = config(
        trials=12,
        proxy={"name": "tests.test_recommend:Noisy", "noise": 0.0},
        controller={"name": "random"},
    )
    log = search(quiet, tmp_path / "run")
    assert recommendation.text(log) == ""
    assert len(recommend.promising(log, 3)) == 3


def test_where_training_again_brings_the_same_what_was_told_is_believed() -> None:
    problem = noisy(0).problem(noisy(0).space())
    rng = np.random.default_rng(0)
    networks = [problem.space.random(rng) for _ in range(60)]
    rewards = rng.normal(0.5, 0.1, 60)  # a model finds nothing to go by: without noise it need not
    asked, told = [*networks, *networks[:4]], np.array([*rewards, *rewards[:4]])
    places, _, expected, _ = recommend.believed(problem, asked, told, asked.__getitem__)
    assert places[0] == rewards.argmax()
    assert expected[0] == pytest.approx(rewards.max(), abs=1e-4)
    three_alike = asked[:-1], told[:-1]
    _, _, expected, _ = recommend.believed(problem, *three_alike, asked.__getitem__)
    assert (
        expected[0] < rewards.max() - 0.001
    )  # as long as there may be noise, the best told was lucky
