"""The contract that every runner keeps: in this process, in worker processes, on Ray."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners import Evaluate, Job, Runner
from runners.cluster.runner import RayRunner
from runners.local import local
from search_space import InputError
from search_space.mnasnet import tiny
from tests.stand_in import Arithmetic, Faulty, Unprepared

Start = Callable[..., Runner]
ARCHITECTURE = tiny().template


@pytest.fixture(params=["in-process", "two workers", "ray"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    opened: list[Runner] = []

    def make(evaluate: Evaluate, **keywords: object) -> Runner:
        if request.param == "ray":
            opened.append(RayRunner(evaluate, address="local", workers=2, **keywords))  # type: ignore[arg-type]
        else:
            workers = 0 if request.param == "in-process" else 2
            opened.append(local(evaluate, workers=workers, **keywords))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for runner in opened:
        runner.close()


def jobs(count: int) -> list[Job]:
    return [Job(trial, ARCHITECTURE, seed=trial) for trial in range(count)]


def run(runner: Runner, count: int) -> dict[int, tuple[float, str | None]]:
    for job in jobs(count):
        runner.submit(job)
    results = [runner.next() for _ in range(count)]
    return {r.trial: (r.accuracy, r.failure.kind if r.failure else None) for r in results}


def test_every_job_comes_back_once_with_its_result(start: Start) -> None:
    expected = {job.trial: (Arithmetic()(job).accuracy, None) for job in jobs(9)}
    assert run(start(Arithmetic(sleep=0.01)), 9) == expected


@pytest.mark.parametrize("how", ["raised", "diverged", "out-of-memory"])
def test_a_child_that_fails_is_a_result_of_that_name_and_the_others_go_on(
    start: Start, tmp_path: Path, how: str
) -> None:
    results = run(start(Faulty(how=how, marks=str(tmp_path / "marks"))), 4)
    assert results.pop(1) == (0.0, how)
    assert all(accuracy > 0 and kind is None for accuracy, kind in results.values())


@pytest.mark.parametrize(
    ("how", "kind"), [("exit", "raised"), ("nan", "diverged"), ("machine", "machine")]
)
def test_odd_ends_are_results_too(start: Start, tmp_path: Path, how: str, kind: str) -> None:
    results = run(start(Faulty(how=how, marks=str(tmp_path / "marks"))), 3)
    assert results.pop(1) == (0.0, kind)
    assert all(accuracy > 0 for accuracy, _ in results.values())


def test_a_failure_says_what_was_raised(start: Start, tmp_path: Path) -> None:
    runner = start(Faulty(how="raised", marks=str(tmp_path / "marks")))
    runner.submit(jobs(2)[1])
    failure = runner.next().failure
    assert failure is not None
    assert failure.message == "KeyError: 'no such layer'"


def test_a_child_over_its_time_is_ended(start: Start, tmp_path: Path) -> None:
    runner = start(Faulty(how="time-limit", marks=str(tmp_path / "marks")), time_limit=6.0)
    begun = time.monotonic()
    results = run(runner, 4)
    assert results.pop(1) == (0.0, "time-limit")
    assert all(kind is None for _, kind in results.values())
    assert time.monotonic() - begun < 60


def test_the_time_limit_does_not_count_what_comes_before_the_first_job(start: Start) -> None:
    results = run(start(Unprepared(how="slow"), time_limit=1.0), 3)
    assert all(kind is None for _, kind in results.values())


def test_an_evaluation_that_finds_its_input_bad_ends_the_run_with_its_own_line(
    start: Start,
) -> None:
    runner = start(Unprepared(how="bad-input"))
    runner.submit(jobs(1)[0])
    with pytest.raises(InputError, match=r"^(node .*: )?path: no such data$"):
        runner.next()
