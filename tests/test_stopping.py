"""Early stopping: what ends a child, what is told of it, and that it stays one search."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mnas.analysis import ranking as report
from mnas.analysis import recommend, rerank, table
from mnas.analysis.ranking import best_so_far
from mnas.config import Config
from mnas.engine.confirm import confirm
from mnas.engine.loop import resume, search
from mnas.engine.stopping import CAUTION, LEAST, Forecast, Stopping
from mnas.export import trial as export_trial
from mnas.journal.log import Log
from mnas.journal.reader import read
from mnas.journal.records import Outcome
from mnas.reward import Reward
from mnas.show import overview, trial
from runners import Failure, Job
from search_space import InputError, Space
from search_space.cost import Cost
from search_space.mnasnet import tiny
from tests.test_search import config, told

REWARD = Reward(target=1e6, alpha=0.0, beta=-1.0)
CHEAP, DEAR = Cost(1_000_000, 1, 0), Cost(2_000_000, 1, 0)


def outcome(number: int, *curve: float, reward: Reward = REWARD, cost: Cost = CHEAP) -> Outcome:
    return Outcome(trial=number, accuracy=curve[-1], reward=reward(curve[-1], cost), curve=curve)


def taught(share: float, curves: list[tuple[float, ...]], reward: Reward = REWARD) -> Stopping:
    stopping = Stopping(share, reward)
    for number, curve in enumerate(curves):
        stopping.tell(outcome(number, *curve, reward=reward))
    return stopping


# Accuracies after the first of two epochs; at the end it is half as much again.
FIRST = [0.2 + 0.01 * place for place in range(LEAST)]
CURVES = [(first, 1.5 * first) for first in FIRST]


def test_where_the_curves_lie_on_a_line_the_threshold_is_the_accuracy_that_leads_to_the_bar() -> (
    None
):
    forecast = taught(0.5, CURVES).forecast(CHEAP)
    assert forecast.thresholds == pytest.approx((FIRST[LEAST // 2],), abs=1e-6)
    assert forecast.final((0.22,)) == pytest.approx(0.33)


def test_what_a_line_leaves_open_is_granted_to_the_child() -> None:
    off = [(first, final + 0.03 * (-1) ** place) for place, (first, final) in enumerate(CURVES)]
    forecast = taught(0.5, off).forecast(CHEAP)
    (line,), (threshold,) = forecast.lines, forecast.thresholds
    assert line.spread == pytest.approx(0.03, rel=0.1)
    assert forecast.final((threshold,)) == pytest.approx(forecast.enough - CAUTION * line.spread)


def test_a_network_that_costs_more_must_promise_more() -> None:
    stopping = taught(0.5, CURVES)
    assert stopping.forecast(DEAR).thresholds == pytest.approx((2 * FIRST[LEAST // 2],), abs=1e-6)


def test_where_an_epoch_says_nothing_the_cost_alone_ends_a_child() -> None:
    stopping = taught(0.5, [(0.3, final) for _, final in CURVES])
    assert stopping.forecast(CHEAP).thresholds == (0.0,)
    assert Job(0, tiny().template, 0, stopping.forecast(DEAR).thresholds).hopeless([1.0])


def test_no_child_is_ended_before_so_many_have_finished_nor_after_its_last_epoch() -> None:
    failed = Outcome(trial=0, accuracy=0.0, reward=0.0, failure=Failure("raised", "why"))
    for other in (
        failed,
        replace(outcome(0, 0.1, 0.2), reused_from=0),
        replace(outcome(0, 0.1), stopped_early=True),
    ):
        stopping = taught(0.5, CURVES[1:])
        stopping.tell(other)
        assert stopping.forecast(CHEAP) == Forecast()
    job = Job(0, tiny().template, 0, taught(0.5, CURVES).forecast(DEAR).thresholds)
    assert [job.hopeless(curve) for curve in ([], [0.1], [0.1, 0.1])] == [False, True, False]


def test_children_without_epochs_are_never_ended() -> None:
    assert taught(0.5, [(final,) for _, final in CURVES]).forecast(DEAR).thresholds == ()


share = st.floats(0, 1)
curves = st.lists(st.tuples(share, share, share), min_size=LEAST, max_size=25)
rewards = st.sampled_from(
    [
        REWARD,
        Reward(target=1e6),
        Reward(target=3e6, alpha=-10.0),
        Reward(target=1e6, kind="absolute", beta=-1.0),
    ]
)
costs = st.integers(1, 10**9).map(lambda macs: Cost(macs, 1, 0))


@settings(max_examples=50, deadline=None)
@given(curves, st.floats(0.01, 0.99), rewards, costs, share)
def test_what_is_told_of_an_ended_child_is_a_share_and_never_the_best(
    curves: list[tuple[float, ...]], below: float, reward: Reward, cost: Cost, accuracy: float
) -> None:
    forecast = taught(below, curves, reward).forecast(cost)
    for epoch in range(2):
        curve = (accuracy,) * (epoch + 1)
        assume(Job(0, tiny().template, 0, forecast.thresholds).hopeless(curve))
        expected = forecast.final(curve)
        assert 0 <= expected <= 1
        best = max(reward(final, CHEAP) for *_, final in curves)
        assert reward(expected, cost) <= best + 1e-9 * abs(best)


@settings(max_examples=50, deadline=None)
@given(curves, st.floats(0, 0.99), st.floats(0, 0.99), rewards, costs)
def test_who_asks_for_more_ends_no_child_later(
    curves: list[tuple[float, ...]], one: float, other: float, reward: Reward, cost: Cost
) -> None:
    low, high = (
        taught(each, curves, reward).forecast(cost).thresholds for each in sorted((one, other))
    )
    assert all(a <= b for a, b in zip(low, high, strict=False))


def learners(share: float = 0.5, trials: int = 50, **tables: dict[str, Any]) -> Config:
    return config(
        trials=trials,
        search={"stop_below": share},
        **({"proxy": {"name": "tests.stand_in:Learner"}} | tables),
    )


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return search(learners(), tmp_path_factory.mktemp("stopped") / "run")


def some() -> Space:
    """A space of 48 networks: more than must finish, fewer than the trials."""
    return Space(tiny().template, tiny().decisions[:4])


def ends(log: Log) -> list[bool]:
    return [log.outcomes[number].stopped_early for number in range(log.trials)]


def test_hopeless_children_are_ended_after_the_first_have_finished(stopped: Log) -> None:
    assert not any(ends(stopped)[: LEAST + stopped.settings.window - 1])
    assert sum(ends(stopped)) > 3
    for each in stopped.outcomes.values():
        assert (len(each.curve) < 4) == each.stopped_early
        # What is told of one that was ended is what it would have come to, not how far it came.
        assert (each.accuracy == each.curve[-1]) != each.stopped_early


def test_it_stays_one_search_on_two_workers_and_wherever_it_was_cut(
    stopped: Log, tmp_path: Path
) -> None:
    sleepy = {"name": "tests.stand_in:Learner", "sleep": 0.02}
    runs = [search(learners(runner={"workers": 2}, proxy=sleepy), tmp_path / "two")]
    whole = (stopped.run / "journal.jsonl").read_bytes()
    for cut in (len(whole) * share // 10 for share in (5, 7, 9)):
        run = tmp_path / str(cut)
        run.mkdir()
        (run / "journal.jsonl").write_bytes(whole[:cut])
        runs.append(resume(run, trusted=True))
    for log in runs:
        assert (told(log), ends(log)) == (told(stopped), ends(stopped))
        assert told(read(log.run)) == told(stopped)


def test_an_evaluation_that_never_asks_trains_every_child_to_its_end(tmp_path: Path) -> None:
    asked, off = (
        search(
            learners(share, 40, proxy={"name": "tests.stand_in:Arithmetic"}), tmp_path / str(share)
        )
        for share in (0.9, 0.0)
    )
    assert not any(ends(asked))
    assert told(asked) == told(off)


def test_a_network_that_was_ended_and_comes_up_again_is_told_again(tmp_path: Path) -> None:
    tables = {"space": {"name": "tests.test_stopping:some"}, "controller": {"name": "ppo-mnasnet"}}
    log = search(learners(0.8, 100, reward={"target": 5e6}, **tables), tmp_path / "run")
    again = [
        each
        for each in log.outcomes.values()
        if each.stopped_early and each.reused_from is not None
    ]
    assert again
    for each in again:
        first = log.outcomes[each.reused_from]
        assert (each.accuracy, each.reward, each.stopped_early) == (
            first.accuracy,
            first.reward,
            first.stopped_early,
        )


def test_no_child_that_was_ended_is_best_recommended_or_on_the_front(stopped: Log) -> None:
    ended = {number for number, early in enumerate(ends(stopped)) if early}
    for log in (stopped, rerank.under(stopped, {"target": 5e5, "alpha": 0.0, "beta": -1.0})):
        chosen = [*report.best(log, 100), *report.front(log), *recommend.promising(log, 100)]
        assert chosen
        assert ended.isdisjoint(row.trial for row in chosen)
        assert best_so_far(log)[-1] == report.best(log, 1)[0].reward


def test_all_that_shows_a_trial_says_that_it_was_ended(stopped: Log) -> None:
    number = ends(stopped).index(True)
    ended = stopped.outcomes[number]
    words = (
        f"stopped after epoch {len(ended.curve)} of 4, expected "
        f"to reach accuracy {ended.accuracy:.4f}, reward"
    )
    assert words in trial.text(stopped, number)
    assert f"{sum(ends(stopped))} stopped early" in overview.headline(stopped)
    assert table.trials(stopped)["status"][number] == "stopped_early"
    assert "validation" not in export_trial.trial_spec(stopped, number)["accuracy"]


def test_who_is_confirmed_is_trained_to_the_end(stopped: Log, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "journal.jsonl").write_bytes((stopped.run / "journal.jsonl").read_bytes())
    assert [len(again.curve) for again in confirm(run, 3, trusted=True)] == [4, 4, 4]


def test_a_share_of_all_would_end_every_child_and_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"search.stop_below: 1.0; takes 0 \(no early stopping\) to below 1"
    ):
        config(search={"stop_below": 1.0}).settings()
