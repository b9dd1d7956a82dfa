"""Training the most promising again before one is chosen."""

from dataclasses import replace
from pathlib import Path

import pytest

from mnas.analysis import recommend
from mnas.engine.confirm import confirm
from mnas.engine.loop import resume, search
from mnas.export import spec as export
from mnas.journal.log import Log
from mnas.journal.reader import read
from mnas.journal.records import Confirmed
from mnas.show import recommendation
from search_space import InputError
from tests.test_cli import mnas
from tests.test_recommend import Noisy, noisy, true_reward
from tests.test_search import config, told


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return search(noisy(0, trials=40), tmp_path / "run").run


def test_the_most_promising_are_trained_again_with_seeds_of_their_own(run: Path) -> None:
    before = read(run)
    expected = [each.row.trial for each in recommend.recommend(before, 3)]
    trained = list(confirm(run, 3, seeds=2, trusted=True))
    assert [(each.trial, each.repeat) for each in trained] == [
        (trial, r) for r in range(2) for trial in expected
    ]
    after = read(run)
    assert list(after.confirmed.values()) == trained
    accuracies = [after.outcomes[expected[0]].accuracy] + [
        c.accuracy for c in trained if c.trial == expected[0]
    ]
    assert len(set(accuracies)) == 3
    assert after.outcomes == before.outcomes


def test_the_recommendation_reads_them_as_further_trainings(run: Path) -> None:
    """After 50 trainings more of the best three, what is expected is within 3 of its own spreads of
    the truth.
    """
    before = {r.row.trial: r for r in recommend.recommend(read(run), recommend.CANDIDATES)}
    trained = {each.trial for each in confirm(run, 3, seeds=50, trusted=True)}
    log = read(run)
    for each in recommend.recommend(log, recommend.CANDIDATES):
        if each.row.trial in trained:
            assert each.spread < before[each.row.trial].spread / 2
            assert abs(each.expected - true_reward(log, each.row.trial)) < 3 * each.spread
    assert "trained 51 times" in recommendation.text(log)


def test_what_was_confirmed_is_not_trained_again_and_a_stopped_one_goes_on(run: Path) -> None:
    whole = list(confirm(run, 4, trusted=True))
    assert list(confirm(run, 4, trusted=True)) == []
    again = search(noisy(0, trials=40), run.with_name("again")).run
    stopped = confirm(again, 4, trusted=True)
    first = next(stopped)
    stopped.close()
    rest = list(confirm(again, 4, trusted=True))
    assert [(c.trial, c.accuracy) for c in [first, *rest]] == [(c.trial, c.accuracy) for c in whole]


def test_a_search_that_was_confirmed_on_the_way_goes_on_as_if_it_was_not(
    run: Path, tmp_path: Path
) -> None:
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (half := tmp_path / "half").mkdir()
    (half / "journal.jsonl").write_bytes(b"".join(lines[:50]))
    assert len(list(confirm(half, 2, trusted=True))) == 2
    assert told(resume(half, trusted=True)) == told(read(run))


def test_trainings_of_the_search_itself_are_counted_too(run: Path) -> None:
    log = read(run)
    chosen = recommend.recommend(log)[0].row.trial
    count = len(log.asks)
    log.add(replace(log.asks[chosen], trial=count))
    log.add(replace(log.outcomes[chosen], trial=count))
    log.add(Confirmed(trial=chosen, repeat=0, accuracy=0.5, reward=log.outcomes[chosen].reward))
    assert f"trial {chosen}, " in recommendation.text(log)
    assert "trained 3 times" in recommendation.text(log)


def test_what_was_confirmed_is_believed_however_low_its_first_training_was(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long search the model holds some trials; a network confirmed early on need not be among
    the best told.
    """
    monkeypatch.setattr(recommend, "CAPACITY", 10)
    log = read(run)
    worst = min(log.outcomes.values(), key=lambda outcome: outcome.reward).trial
    assert worst not in [each.row.trial for each in recommend.recommend(log, 40)][:5]
    for repeat in range(30):
        log.add(
            Confirmed(trial=worst, repeat=repeat, accuracy=0.99, reward=2 * true_reward(log, worst))
        )
    assert recommend.recommend(log)[0].row.trial == worst


def test_a_machine_that_fails_to_the_last_says_nothing_of_the_network_and_is_gone_on_with(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Noisy, architecture: object) -> float:
        raise OSError(5, "Input/output error")

    before = (run / "journal.jsonl").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Noisy, "true", fails)
        with pytest.raises(
            InputError,
            match=r"the machine failed again and again \(machine: .* same command goes on",
        ):
            list(confirm(run, 2, trusted=True))
    assert (run / "journal.jsonl").read_bytes() == before
    assert len(list(confirm(run, 2, trusted=True))) == 2


def test_a_machines_failure_is_tried_again_and_a_childs_is_kept(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OSError(5, "Input/output error"), ValueError("can't be built")]

    def fails_twice(self: Noisy, architecture: object) -> float:
        if failures:
            raise failures.pop(0)
        return 0.9

    monkeypatch.setattr(Noisy, "true", fails_twice)  # in this process: runner.workers = 0
    trained = list(confirm(run, 2, trusted=True))
    assert sorted(each.failure.kind if each.failure else "" for each in trained) == ["", "raised"]
    assert {each.accuracy == 0 for each in trained} == {True, False}


def test_there_must_be_something_to_confirm_and_a_strangers_code_is_not_run(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"is code outside mnas"):
        list(confirm(run, 1))
    header = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)[0]
    (empty := tmp_path / "empty").mkdir()
    (empty / "journal.jsonl").write_bytes(header)
    with pytest.raises(
        InputError, match=r"empty: no trial has an accuracy yet; nothing to confirm"
    ):
        list(confirm(empty, 1, trusted=True))


def test_of_few_trials_the_best_told_are_the_most_promising(tmp_path: Path) -> None:
    log: Log = search(config(trials=4), tmp_path / "few")
    best = sorted(log.outcomes.values(), key=lambda outcome: -outcome.reward)
    assert [row.reward for row in recommend.promising(log, 3)] == [
        outcome.reward for outcome in best[:3]
    ]


def test_export_confirms_and_takes_what_is_recommended_then(run: Path, tmp_path: Path) -> None:
    spec = tmp_path / "b0.json"
    done = mnas("export", run, "--trust", "--confirm", "2", "--seeds", "3", "-o", spec)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" trained again: accuracy 0.") == 6
    assert export.read(spec)["provenance"]["trial"] == recommend.recommend(read(run))[0].row.trial
    for said in (["--trial", "0"], ["--to", "coefficients"], ["--weights", spec]):
        wrong = mnas("export", run, "--trust", "--confirm", "9", *said, "-o", spec)
        assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (
            2,
            "",
            1,
        )  # and nothing was trained
    refused = mnas("export", run, "--confirm", "2", "-o", spec)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "is code outside mnas" in refused.stderr
