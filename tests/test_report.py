import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.analysis import ranking as report
from mnas.analysis import state, summary
from mnas.analysis.ranking import Row
from mnas.config import Config
from mnas.engine.loop import search
from mnas.journal.log import Log
from mnas.journal.records import Ask, Outcome
from mnas.journal.writer import Journal
from mnas.show import overview, plots
from runners import Failure
from search_space import InputError
from tests.test_journal import CONFIG, SPACE
from tests.test_search import config


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    marks = tmp_path_factory.mktemp("marks") / "marks"
    faulty = {"name": "tests.stand_in:Faulty", "how": "diverged", "marks": str(marks)}
    return search(config(trials=30, proxy=faulty), tmp_path_factory.mktemp("report") / "run")


rows = st.lists(
    st.builds(
        Row,
        trial=st.integers(0, 1000),
        accuracy=st.sampled_from([0.1, 0.2, 0.5, 0.9]),
        reward=st.floats(0, 1),
        macs=st.integers(1, 5),
        params=st.integers(1, 5),
        seconds=st.just(1.0),
        digest=st.just(""),
        reused_from=st.none(),
    )
)


@given(rows)
def test_the_pareto_front_is_what_nothing_beats(trained: list[Row]) -> None:
    front = report.pareto(trained, "macs")
    for row in trained:
        beaten = any(
            other.macs <= row.macs
            and other.accuracy >= row.accuracy
            and (other.macs, other.accuracy) != (row.macs, row.accuracy)
            for other in trained
        )
        point = (row.macs, row.accuracy)
        assert (point in {(r.macs, r.accuracy) for r in front}) == (not beaten)
    assert [r.macs for r in front] == sorted({r.macs for r in front})


def test_the_best_are_by_reward_and_failures_are_not_among_them(log: Log) -> None:
    top = report.best(log, 5)
    rewards = sorted((o.reward for o in log.outcomes.values()), reverse=True)
    assert [row.reward for row in top] == rewards[:5]
    assert 1 not in {row.trial for row in report.best(log, 100)}


def test_the_best_are_networks_each_once(tmp_path: Path) -> None:
    few = {"space": {"name": "tests.test_search:few"}, "reward": {"target": 5e6}}
    tables = config(trials=9, **few, search={"reuse": False}).tables
    tables["controller"] = {"name": "random"}
    log = search(Config(tables), tmp_path / "run")
    top = report.best(log, 9)
    assert (
        len(top)
        == len({row.digest for row in top})
        == len({ask.digest for ask in log.asks.values()})
        < 9
    )
    for row in top:
        alike = [o.reward for t, o in log.outcomes.items() if log.asks[t].digest == row.digest]
        assert row.reward == max(alike)


def test_the_summary_is_json_and_counts_everything(log: Log) -> None:
    data = json.loads(json.dumps(summary.summary(log)))
    assert data["state"] == "finished"
    assert data["trials"] == {
        "planned": 30,
        "done": 30,
        "unfinished": 0,
        "failed": 1,
        "stopped_early": 0,
        "reused": 0,
        "retries": 0,
    }
    assert data["failures"] == [
        {
            "trial": 1,
            "kind": "diverged",
            "message": "DivergenceError: loss is nan in epoch 1",
            "reused_from": None,
        }
    ]
    assert len(data["best"][0]["stages"]) == 5


def test_the_text_shows_state_best_stages_front_and_failures(log: Log) -> None:
    text = overview.text(log)
    assert "finished, 30 of 30 trials done, 1 failed\n" in text
    assert "space mnasnet-tiny, controller ppo, target 3.00M macs, seed 3; " in text
    assert f"Trial {report.best(log, 1)[0].trial}, stage by stage" in text
    assert "Pareto front: no trial is as accurate with fewer macs" in text
    assert "trial 1: diverged: DivergenceError: loss is nan in epoch 1" in text


def unfinished(path: Path, *records: Ask | Outcome) -> Log:
    with Journal.create(path, CONFIG, SPACE) as journal:
        for record in records:
            journal.append(record)
    return journal.log


def test_a_search_with_nothing_done_has_a_state_and_nothing_else(tmp_path: Path) -> None:
    log = unfinished(
        tmp_path / "run", Ask(trial=0, genotype=(0,) * 30, digest="d", macs=5, params=7)
    )
    text = overview.text(log)
    assert "stopped, 0 of 3 trials done, 1 unfinished" in text
    assert text.endswith(f"Go on with: mnas resume {tmp_path / 'run'}")
    with pytest.raises(InputError, match="has no trained trial yet"):
        plots.plot(log, tmp_path / "x.png")


def test_a_search_of_failures_alone_is_shown(tmp_path: Path) -> None:
    failed = Outcome(trial=0, accuracy=0.0, reward=0.0, failure=Failure("raised", "why"))
    log = unfinished(
        tmp_path / "run", Ask(trial=0, genotype=(0,) * 30, digest="d", macs=5, params=7), failed
    )
    assert "Failures: raised 1\n  trial 0: raised: why" in overview.text(log)


def test_a_search_that_is_being_written_is_running(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", CONFIG, SPACE) as journal:
        assert state.state(journal.log) == "running"
    assert state.state(journal.log) == "stopped"


def test_a_trial_that_was_not_asked_is_refused(log: Log) -> None:
    with pytest.raises(InputError, match=r"trial: 99; .* has 30, counted from 0"):
        log.architecture(99)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_plot_is_a_picture(log: Log, tmp_path: Path, ending: str) -> None:
    plots.plot(log, tmp_path / f"search.{ending}")
    content = (tmp_path / f"search.{ending}").read_bytes()
    assert content.startswith(b"\x89PNG" if ending == "png" else b"<?xml")


def test_what_a_child_said_cannot_steer_the_terminal(tmp_path: Path) -> None:
    failed = Outcome(
        trial=0, accuracy=0.0, reward=0.0, failure=Failure("raised", "why\n\x1b[2Jnot")
    )
    log = unfinished(
        tmp_path / "run", Ask(trial=0, genotype=(0,) * 30, digest="d", macs=5, params=7), failed
    )
    assert r"trial 0: raised: why\n\x1b[2Jnot" in overview.text(log)


def test_a_picture_of_an_unknown_kind_is_refused(log: Log, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"plot: '.*x.foo'; takes a file ending in .png, .svg or .pdf"
    ):
        plots.plot(log, tmp_path / "x.foo")
