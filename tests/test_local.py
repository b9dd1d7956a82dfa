"""What worker processes add to the contract of test_runners."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runners.local import InProcess, ProcessPool, local
from search_space import InputError
from tests.conftest import ROOT, alive, wait_for
from tests.stand_in import Arithmetic, Faulty, Forking, Lender, Unprepared
from tests.test_runners import jobs, run


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    pool = ProcessPool(Faulty(how="worker-died", marks=str(tmp_path / "marks")), workers=2)
    try:
        results = run(pool, 6)
        assert results.pop(1) == (0.0, "worker-died")
        assert all(kind is None for _, kind in results.values())
        assert run(pool, 1)[0][1] is None  # the pool still works
    finally:
        pool.close()


def test_a_worker_killed_while_it_waits_fails_no_job() -> None:
    pool = ProcessPool(Arithmetic(), workers=1)
    try:
        pool.submit(jobs(1)[0])
        assert pool.next().failure is None
        os.kill(pool._pool[0].process.pid or 0, signal.SIGKILL)
        pool._pool[0].process.join()
        pool.submit(jobs(2)[1])
        assert pool.next().failure is None
    finally:
        pool.close()


def test_workers_that_cannot_start_end_the_run_and_name_their_log(tmp_path: Path) -> None:
    pool = ProcessPool(Unprepared(how="exit"), workers=1, logs=tmp_path / "workers")
    try:
        pool.submit(jobs(1)[0])
        with pytest.raises(
            InputError,
            match=r"no worker process can be started \(exit code 7\); see .*workers/0.log",
        ):
            pool.next()
    finally:
        pool.close()


def test_a_child_that_failed_leaves_nothing_to_the_next_in_its_worker(tmp_path: Path) -> None:
    pool = ProcessPool(Faulty(how="out-of-memory", marks=str(tmp_path / "marks")), workers=1)
    try:
        for job in jobs(2):
            pool.submit(job)
        pool.next()
        before = pool._pool[0].process.pid
        assert pool.next().failure is not None
        assert pool._pool[0].process.pid != before
    finally:
        pool.close()


def test_a_death_is_seen_though_a_grandchild_holds_the_workers_pipe(tmp_path: Path) -> None:
    pool = ProcessPool(Forking(), workers=1)
    try:
        begun = time.monotonic()
        pool.submit(jobs(1)[0])
        failure = pool.next().failure
        assert failure is not None
        assert failure.kind == "worker-died"
        assert time.monotonic() - begun < 20
    finally:
        pool.close()


def test_workers_stay_warm(tmp_path: Path) -> None:
    pool = ProcessPool(Arithmetic(), workers=1)
    try:
        pool.submit(jobs(1)[0])
        pool.next()
        before = pool._pool[0].process.pid
        run(pool, 5)
        assert pool._pool[0].process.pid == before
    finally:
        pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_see_one_copy_of_the_data_and_can_not_write_to_it() -> None:
    pool = ProcessPool(Lender(), workers=2)
    try:
        assert [accuracy for accuracy, _ in run(pool, 4).values()] == [1.0] * 4
    finally:
        pool.close()


def test_what_a_worker_prints_goes_to_its_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "workers"
    pool = ProcessPool(Faulty(how="raised", marks=str(tmp_path / "marks")), workers=1, logs=logs)
    try:
        run(pool, 2)
    finally:
        pool.close()
    assert "KeyError: 'no such layer'" in (logs / "0.log").read_text()
    assert "KeyError" not in capfd.readouterr().err


def test_closing_leaves_no_process_behind(tmp_path: Path) -> None:
    pool = ProcessPool(Faulty(how="time-limit", marks=str(tmp_path / "marks")), workers=2)
    for job in jobs(4):
        pool.submit(job)
    while not (tmp_path / "marks").exists():
        pool.next()
    processes = [worker.process for worker in pool._pool]
    begun = time.monotonic()
    pool.close()
    assert time.monotonic() - begun < 5
    assert not any(process.is_alive() for process in processes)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import time
from runners.local import ProcessPool
from tests.stand_in import Faulty
from tests.test_local import jobs
if __name__ == "__main__":
    pool = ProcessPool(Faulty(how="time-limit", marks={str(tmp_path / "marks")!r}), workers=2)
    for job in jobs(4):
        pool.submit(job)
    while True:
        pool.next()
"""
    script = tmp_path / "parent.py"
    script.write_text(program)
    parent = subprocess.Popen([sys.executable, script], env=os.environ | {"PYTHONPATH": str(ROOT)})
    marks = tmp_path / "marks"
    wait_for(lambda: (marks / "0").exists() and (marks / "0").read_text())
    child = int((marks / "0").read_text())
    parent.kill()
    parent.wait()
    wait_for(lambda: not alive(child), seconds=10)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"workers": -1}, r"workers: -1; takes 0 \(in this process\) to 1,024"),
        ({"time_limit": 0.0}, "time_limit: 0.0; takes seconds above 0, to 1,000,000"),
        ({"time_limit": float("nan")}, "time_limit: nan"),
    ],
)
def test_impossible_settings_are_refused(keywords: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        local(Arithmetic(), **keywords)  # type: ignore[arg-type]


def test_no_worker_processes_means_this_process() -> None:
    assert isinstance(local(Arithmetic(), workers=0), InProcess)
