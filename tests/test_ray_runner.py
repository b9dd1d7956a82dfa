"""What the Ray runner does on a cluster of several nodes (Ray's own, of processes on this
machine).
"""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from runners import Job, Result
from runners.cluster import runner as ray_runner
from runners.cluster.runner import RayRunner
from runners.cluster.worker import versions
from runners.training.proxy import ProxyTask
from search_space import InputError
from tests.conftest import alive, wait_for
from tests.stand_in import Arithmetic
from tests.test_proxy import CHILD
from tests.test_runners import jobs, run


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head without slots, to which a test adds nodes."""
    ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def opened() -> Iterator[list[RayRunner]]:
    runners: list[RayRunner] = []
    yield runners
    for runner in runners:
        runner.close()


class Placed(Arithmetic):
    """Says where it ran, and fails on nodes of which it is told."""

    def __init__(self, *, lacking: str = "", failing: str = "") -> None:
        super().__init__()
        self.lacking, self.failing = lacking, failing

    def node(self) -> str:
        found: str = ray.get_runtime_context().get_node_id()
        return found

    def prepare(self) -> None:
        if self.node() == self.lacking:
            raise InputError("path: /data is no folder")

    def __call__(self, job: Job) -> Result:
        if self.node() == self.failing:
            raise OSError(5, "Input/output error")
        time.sleep(0.4)
        return super().__call__(job)


def test_workers_follow_the_cluster_as_nodes_come_and_go(
    cluster: Cluster, opened: list[RayRunner]
) -> None:
    first = cluster.add_node(num_cpus=2)
    runner = RayRunner(Arithmetic(sleep=0.5), address=cluster.address)
    opened.append(runner)
    for job in jobs(100):
        runner.submit(job)
    results = [runner.next()]
    while sum(worker.node is not None for worker in runner._pool) < 2:
        results.append(runner.next())
    assert len(runner._pool) == 4  # as many again wait for nodes to come: an autoscaler sees them
    second = cluster.add_node(num_cpus=1)
    while second.node_id not in {worker.node.id for worker in runner._pool if worker.node}:
        results.append(runner.next())
    cluster.remove_node(first, allow_graceful=False)
    lost = []
    while len(results) < 100:
        result = runner.next()
        if result.failure:
            lost.append(result)
            runner.submit(jobs(100)[result.trial])
        else:
            results.append(result)
    assert {result.failure.kind for result in lost if result.failure} <= {"worker-died"}
    assert len(lost) <= 2
    assert sorted(result.trial for result in results) == list(range(100))


def test_a_node_that_lacks_the_data_is_named(cluster: Cluster, opened: list[RayRunner]) -> None:
    node = cluster.add_node(num_cpus=1)
    opened.append(RayRunner(Placed(lacking=node.node_id), address=cluster.address))
    opened[0].submit(jobs(1)[0])
    with pytest.raises(InputError, match=r"^node .*: path: /data is no folder"):
        opened[0].next()


def test_a_node_that_keeps_failing_is_taken_out_and_the_others_go_on(
    cluster: Cluster, opened: list[RayRunner], caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
    runner = RayRunner(Placed(failing=bad.node_id), address=cluster.address, strikes=3)
    opened.append(runner)
    coming, open_jobs = iter(jobs(1000)), {}
    for job in itertools.islice(coming, 4):
        runner.submit(open_jobs.setdefault(job.trial, job))
    while open_jobs:
        result = runner.next()
        if result.failure:
            assert result.failure.kind == "machine"
            runner.submit(open_jobs[result.trial])
            continue
        del open_jobs[result.trial]
        if (
            not runner._excluded
        ):  # a failed worker's successor may take seconds to start: there is work until then
            job = next(coming)
            runner.submit(open_jobs.setdefault(job.trial, job))
    assert [node.id for node in runner._excluded] == [bad.node_id]
    assert "is taken out: it failed 3 trials in a row" in caplog.text
    assert good.node_id in runner._nodes


def test_when_every_node_fails_the_search_ends_and_teaches_nothing(
    cluster: Cluster, opened: list[RayRunner]
) -> None:
    bad = cluster.add_node(num_cpus=1)
    runner = RayRunner(Placed(failing=bad.node_id), address=cluster.address, strikes=3, workers=1)
    opened.append(runner)
    for job in jobs(3):
        runner.submit(job)
    assert [runner.next().failure is not None for _ in range(2)] == [True, True]
    with pytest.raises(InputError, match=r"no node is left; the last was .*Input/output error"):
        runner.next()


class Watched(ProxyTask):
    """Notes whether its images are Ray's own memory, which nobody may write, and which cards it
    sees.
    """

    notes = ""

    def __call__(self, job: Job) -> Result:
        shared = not self.images[0].pixels.flags.writeable  # type: ignore[attr-defined]
        cards = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        (Path(self.notes) / str(job.trial)).write_text(f"{os.getpid()} {shared} {cards!r}")
        time.sleep(0.5)
        return Result(job.trial, 0.5)


def test_small_data_are_read_by_all_workers_of_a_node_from_one_copy_and_cards_are_shared(
    cluster: Cluster, opened: list[RayRunner], tmp_path: Path
) -> None:
    cluster.add_node(num_cpus=4, num_gpus=1)
    task = Watched()
    task.notes = str(tmp_path)
    runner = RayRunner(task, address=cluster.address, gpus=0.5)
    opened.append(runner)
    run(runner, 6)
    notes = [path.read_text().split() for path in tmp_path.iterdir()]
    assert {shared for _, shared, _ in notes} == {"True"}
    assert {cards for _, _, cards in notes} == {"'0'"}
    assert (
        len({pid for pid, _, _ in notes}) == 2
    )  # two halves of the card, though there are four cores


def test_a_worker_that_asked_for_no_card_sees_none(
    cluster: Cluster, opened: list[RayRunner], tmp_path: Path
) -> None:
    cluster.add_node(num_cpus=1, num_gpus=1)
    task = Watched()
    task.notes = str(tmp_path)
    opened.append(RayRunner(task, address=cluster.address, gpus=0.0))
    run(opened[0], 1)
    assert (tmp_path / "0").read_text().split()[2] == "''"


def test_a_real_childs_accuracy_is_that_of_the_local_runner(opened: list[RayRunner]) -> None:
    ray.shutdown()
    opened.append(RayRunner(ProxyTask(), address="local", workers=1))
    opened[0].submit(Job(0, CHILD, seed=3))
    assert opened[0].next().curve == ProxyTask()(Job(0, CHILD, seed=3)).curve


def test_a_worker_killed_while_it_waits_fails_no_job(opened: list[RayRunner]) -> None:
    ray.shutdown()
    runner = RayRunner(Killable(), address="local", workers=1)
    opened.append(runner)
    runner.submit(jobs(1)[0])
    pid = int(runner.next().curve[0])
    time.sleep(1.2)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))
    runner.submit(jobs(2)[1])
    assert runner.next().failure is None


def test_a_node_with_other_versions_is_reported_once(
    opened: list[RayRunner], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ray.shutdown()
    monkeypatch.setattr(ray_runner, "versions", lambda: versions() | {"torch": "1.0"})
    opened.append(RayRunner(Arithmetic(), address="local", workers=2))
    run(opened[0], 6)
    torch = versions()["torch"]
    assert [record.message.partition(" has ")[2] for record in caplog.records] == [
        f"torch {torch}, the driver 1.0"
    ]


class Killable(Arithmetic):
    """Says what process it is in."""

    def __call__(self, job: Job) -> Result:
        return Result(job.trial, 0.5, (float(os.getpid()),))


def test_what_a_worker_says_goes_to_its_log(opened: list[RayRunner], tmp_path: Path) -> None:
    ray.shutdown()
    runner = RayRunner(Speaking(), tmp_path / "workers", address="local", workers=1)
    opened.append(runner)
    run(runner, 1)
    wait_for(lambda: "here I am" in (tmp_path / "workers" / "0.log").read_text(), seconds=10)


class Speaking(Arithmetic):
    """Prints."""

    def __call__(self, job: Job) -> Result:
        print("here I am", flush=True)
        return super().__call__(job)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"workers": 0}, "workers: 0; takes all, or 1 to 100,000"),
        ({"gpus": -1.0}, "gpus: -1.0; takes 0 to 64; a fraction shares a card"),
        ({"strikes": 0}, "strikes: 0; takes 1 or more"),
        ({"time_limit": 0.0}, "time_limit: 0.0; takes seconds"),
        (
            {"resources": {"GPU": 1.0}},
            "resources.GPU: 1.0; takes an amount above 0 of a resource of your own",
        ),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        RayRunner(Arithmetic(), **options)


def test_more_than_this_machine_has_is_refused_at_once() -> None:
    ray.shutdown()
    runner = RayRunner(Arithmetic(), address="local", gpus=3.0)
    with pytest.raises(
        InputError, match=r"runner: a worker asks for 1 CPU, 3 GPU, which this machine has not"
    ):
        runner.submit(jobs(1)[0])


def test_an_address_without_a_cluster_is_bad_input() -> None:
    ray.shutdown()
    runner = RayRunner(Arithmetic(), address="127.0.0.1:1")
    with pytest.raises(InputError, match=r"address: 127.0.0.1:1: no Ray cluster there"):
        runner.submit(jobs(1)[0])
