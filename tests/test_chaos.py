"""A search on a cluster where everything goes wrong at once finds what it would have found in
peace.
"""

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from mnas.config import Config
from mnas.engine.loop import search
from mnas.journal.log import Log
from mnas.journal.reader import read
from tests.conftest import wait_for
from tests.test_search import mnas as start

TRIALS = 300


def planned(**tables: dict[str, Any]) -> Config:
    base: dict[str, dict[str, Any]] = {
        "search": {"trials": TRIALS, "window": 24, "seed": 5, "retries": 1000},
        "space": {"name": "mnasnet-small"},
        "reward": {"target": 60_000_000},
        "controller": {"name": "evolution"},
        "proxy": {"name": "tests.chaos:Chaotic", "sleep": 0.3},
        "runner": {"workers": 0},
    }
    return Config({name: table | tables.get(name, {}) for name, table in base.items()})


def options(config: Config) -> list[str]:
    """Write a configuration as overrides of the quick start's."""
    tables = config.tables.items()
    return [
        f"--set={table}.{key}={json.dumps(value)}"
        for table, keys in tables
        for key, value in keys.items()
    ]


def results(log: Log) -> list[tuple[Any, ...]]:
    """What every trial came to, but for when, where and how quickly."""
    kinds = {n: o.failure.kind if o.failure else None for n, o in log.outcomes.items()}
    return [
        (log.asks[n].genotype, o.accuracy, o.reward, kinds[n])
        for n, o in sorted(log.outcomes.items())
    ]


def done(run: Path) -> int:
    path = run / "journal.jsonl"
    return path.read_bytes().count(b'"event":"outcome"') if path.exists() else 0


def children(cluster: Cluster) -> list[int]:
    """The processes of the search's actors."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cmdline").read_text().startswith("ray::Actor."):
                    found.append(int(entry.name))
    return found


def seconds_lost(run: Path) -> dict[str, list[float]]:
    """By the kind of fault, the seconds from when the search saw it to the trial's outcome."""
    lost: dict[str, list[float]] = {}
    log = read(run)
    for retry in log.retries:
        lost.setdefault(retry.failure.kind, []).append(log.outcomes[retry.trial].time - retry.time)
    return lost


@pytest.fixture
def cluster() -> Any:
    ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()


def test_kills_hangs_lost_nodes_and_dead_drivers_change_no_result(
    cluster: Cluster, tmp_path: Path
) -> None:
    peace = search(planned(proxy={"sleep": 0.0}), tmp_path / "peace")
    assert sum(outcome.failure is not None for outcome in peace.outcomes.values()) > 5

    run, marks, rng = tmp_path / "run", tmp_path / "marks", random.Random(0)
    marks.mkdir()
    nodes = [cluster.add_node(num_cpus=3), cluster.add_node(num_cpus=3)]
    config = planned(
        proxy={"marks": str(marks)},
        runner={
            "name": "ray",
            "workers": "all",
            "address": cluster.address,
            "time_limit": 3.0,
            "strikes": 50,
        },
    )
    command = ["search", "quickstart", "--run", run, "--resume-if-exists", *options(config)]
    driver, killed_workers, killed_drivers, last = start(*command), 0, 0, time.monotonic()
    while driver.poll() is None:
        time.sleep(0.1)
        progress = done(run)
        if time.monotonic() - last > 2.0 and (victims := children(cluster)):
            os.kill(rng.choice(victims), signal.SIGKILL)
            killed_workers, last = killed_workers + 1, time.monotonic()
        if progress > TRIALS * 0.2 and len(nodes) == 2:
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
            nodes += [cluster.add_node(num_cpus=2), cluster.add_node(num_cpus=1)]
        if progress > TRIALS * (0.4 + 0.3 * killed_drivers) and killed_drivers < 2:
            driver.kill()
            driver.communicate()
            killed_drivers += 1
            dead = time.time()
            wait_for(
                lambda: not children(cluster), seconds=60
            )  # what a dead driver left ends by itself
            print(f"actors of a dead driver gone after {time.time() - dead:.1f} s", end="; ")
            driver, before = start(*command), done(run)
            wait_for(lambda least=before + 1: done(run) >= least, seconds=60)
            print(f"next trial told {time.time() - dead:.1f} s after the kill")
    _, errors = driver.communicate()
    assert driver.returncode == 0, errors
    assert killed_drivers == 2
    assert killed_workers >= 10

    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    told = [line["trial"] for line in lines if line["event"] == "outcome"]
    assert sorted(told) == list(range(TRIALS))
    assert results(read(run)) == results(peace)
    kinds = {retry.failure.kind for retry in read(run).retries}
    assert kinds == {"worker-died", "time-limit"}
    wait_for(lambda: not children(cluster), seconds=60)
    ray.init(cluster.address, log_to_driver=False)
    wait_for(
        lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"], seconds=60
    )
    for kind, seconds in seconds_lost(run).items():
        seconds.sort()
        half = seconds[len(seconds) // 2]
        print(
            f"{kind}: {len(seconds)} times; from seen to told "
            f"{half:.1f} s, at most {seconds[-1]:.1f} s"
        )
