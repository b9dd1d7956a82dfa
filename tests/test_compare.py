"""Searches side by side, at the same numbers of trials."""

import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnas.analysis import compare, ranking
from mnas.config import Config
from mnas.engine.loop import search
from mnas.journal.log import Log
from mnas.journal.writer import Journal
from mnas.show import comparison, overview
from search_space import InputError
from tests.test_cli import good, mnas
from tests.test_journal import ASK, CONFIG, OUTCOME, SPACE
from tests.test_search import config


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    """Two controllers, three seeds each, one of them shorter."""
    folder = tmp_path_factory.mktemp("compare")

    def one(controller: str, seed: int, trials: int = 40) -> Log:
        tables = {"controller": {"name": controller}, "search": {"seed": seed}}
        return search(config(trials=trials, **tables), folder / f"{controller}-{seed}")

    return [one("random", seed) for seed in range(3)] + [
        one("evolution", seed, 40 - 5 * seed) for seed in range(3)
    ]


def test_best_so_far_is_the_highest_reward_of_all_trials_up_to_there(logs: list[Log]) -> None:
    rewards = [logs[0].outcomes[trial].reward for trial in range(40)]
    assert ranking.best_so_far(logs[0]).tolist() == list(accumulate(rewards, max))


def test_runs_that_differ_in_their_seed_are_one_group(logs: list[Log]) -> None:
    found = compare.groups(logs)
    assert [(group.name, len(group.logs)) for group in found] == [("random", 3), ("evolution", 3)]


def test_the_table_has_mean_and_spread_and_how_many_came_so_far(logs: list[Log]) -> None:
    text = comparison.text(compare.groups(logs))
    at_ten = np.array([max(log.outcomes[trial].reward for trial in range(10)) for log in logs[:3]])
    assert re.search(rf"random +3 +{at_ten.mean():.4f} ± {at_ten.std(ddof=1):.4f} ", text)
    assert re.search(r"10 trials +30 trials +40 trials", text)
    assert re.search(r"evolution .* ± \d\.\d{4} +\d\.\d{4} \(1\)$", text, re.MULTILINE)


def test_groups_are_named_by_what_tells_them_apart(logs: list[Log], tmp_path: Path) -> None:
    tables: dict[str, Any] = {"controller": {"name": "random"}, "search": {"window": 9}}
    other = search(config(trials=5, **tables), tmp_path / "run")
    found = compare.groups([logs[0], other])
    assert [group.name for group in found] == ["random search.window=4", "random search.window=9"]


def test_names_from_a_strangers_run_can_not_steer_a_terminal(tmp_path: Path) -> None:
    tables = CONFIG.tables | {"controller": {"name": "\x1b[31m"}, "space": {"name": "\x1b[32m"}}
    found = []
    for number, each in enumerate((tables, {name: tables[name] for name in ("search", "reward")})):
        with Journal.create(tmp_path / str(number), Config(each), SPACE) as journal:
            journal.append(ASK)
            journal.append(OUTCOME)
        found.append(journal.log)
        assert "\x1b" not in overview.question(journal.log)
    assert "\x1b" not in comparison.text(compare.groups(found))


def test_another_reward_is_refused_unless_all_are_ranked_again(
    logs: list[Log], tmp_path: Path
) -> None:
    other = search(config(trials=5, reward={"target": 9e6}), tmp_path / "run")
    done = mnas("inspect", logs[0].run, "--compare", other.run)
    assert done.returncode == 2
    assert "target 9.00M macs; " in done.stderr
    assert "takes runs of one reward, or --rerank for all of them" in done.stderr
    assert "target 5.00M macs" in good(
        "inspect", logs[0].run, "--compare", other.run, "--rerank=target=5M"
    )


def test_another_space_is_compared_and_said(tmp_path: Path) -> None:
    few = {"space": {"name": "tests.stand_in:few"}, "reward": {"target": 5e6}}
    whole = search(config(trials=5, reward={"target": 5e6}), tmp_path / "whole")
    text = comparison.text(
        compare.groups([whole, search(config(trials=5, **few), tmp_path / "few")])
    )
    assert (
        "Their spaces differ (mnasnet-tiny, tests.stand_in:few): "
        "not the controllers alone are compared" in text
    )


def test_one_search_is_not_compared_with_itself(logs: list[Log]) -> None:
    with pytest.raises(InputError, match=r"the search of .*random-0, of seed 0 too"):
        compare.groups([logs[0], logs[0]])
    assert "takes two runs or more" in mnas("inspect", "--compare", logs[0].run).stderr


def test_the_plot_is_a_picture(logs: list[Log], tmp_path: Path) -> None:
    good("inspect", "--compare", *(log.run for log in logs), "--plot", tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
