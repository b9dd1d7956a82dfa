"""What a trial costs the driver, how busy workers are kept, and where one driver becomes the limit.

    python benchmarks/scale.py [--trials 1000 --trials 10000 --trials 100000] [--logical 64]

1. No-op children through `mnas search` on Ray (two actors, the journal fsynced twice a trial,
random search),
   and through Ray Tune with reuse_actors on the same machine in the same run.
2. Sleeping children, log-normal times, on as many logical workers as asked for: the share of the
time that
   they are busy while the search is under way; beside it, by arithmetic, synchronous batches of
   those times.
3. A discrete-event simulation up to 4,096 workers and 1,000,000 trials with the measured cost of
the driver.
"""

import heapq
import math
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from tabulate import tabulate

from mnas.cli.group import Command
from mnas.config import Config
from mnas.engine.loop import search
from mnas.journal.log import Log
from runners.base import Job, Result
from search_space import Architecture


class Sleeper:
    """A child that sleeps for a log-normal time of mean `mean` seconds, or not at all."""

    def __init__(self, *, mean: float = 0.0, sigma: float = 0.5) -> None:
        self.mean, self.sigma = mean, sigma

    def check(self, architecture: Architecture) -> None:
        """Take every network."""

    def prepare(self) -> None:
        """Need nothing."""

    def __call__(self, job: Job) -> Result:
        """Sleep."""
        seconds = 0.0
        if self.mean:
            seconds = self.mean * math.exp(
                np.random.default_rng(job.seed).normal(-(self.sigma**2) / 2, self.sigma)
            )
            time.sleep(seconds)
        return Result(job.trial, 0.5, (0.5,), seconds)


def _config(trials: int, workers: int, **proxy: float) -> Config:
    return Config(
        {
            "search": {"trials": trials, "window": 4 * workers, "reuse": False},
            "space": {"name": "mnasnet"},
            "controller": {"name": "random"},
            "reward": {"target": 400_000_000},
            "runner": {"name": "ray", "address": "local", "workers": workers, "cpus": 0.01},
            "proxy": {"name": "benchmarks.scale:Sleeper", **proxy},
        }
    )


def _overhead(trials: int) -> dict[str, Any]:
    """Search with no-op children; the clock runs from the first trial's end."""
    with tempfile.TemporaryDirectory() as folder:
        start: list[float] = []

        def progress(log: Log) -> None:
            if not start and log.outcomes:
                start.extend((time.perf_counter(), time.process_time(), len(log.outcomes)))

        search(_config(trials, 2), Path(folder) / "run", progress)
        wall, cpu, first = (
            time.perf_counter() - start[0],
            time.process_time() - start[1],
            int(start[2]),
        )
        size = (Path(folder) / "run" / "journal.jsonl").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "ms": 1e3 * wall / (trials - first),
        "cpu_ms": 1e3 * cpu / (trials - first),
        "mb": peak,
        "journal": size,
    }


def _tune(trials: int) -> dict[str, Any]:
    """Run as many no-op trials through a Tuner that reuses its actors; the clock runs from the
    first one's end.
    """
    import ray
    from ray import tune

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    ended: list[float] = []

    def nothing(config: dict[str, Any]) -> None:
        tune.report({"accuracy": 0.5})

    class Clock(tune.Callback):
        def on_trial_complete(
            self, iteration: int, trials: list[Any], trial: Any, **info: Any
        ) -> None:
            ended.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        cpu = time.process_time()
        tune.Tuner(
            nothing,
            tune_config=tune.TuneConfig(
                num_samples=trials, max_concurrent_trials=2, reuse_actors=True
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Clock()]),
        ).fit()
        cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "ms": 1e3 * (ended[-1] - ended[0]) / (trials - 1),
        "cpu_ms": 1e3 * cpu / trials,
        "mb": peak,
        "journal": 0,
    }


def _busy(workers: int, trials: int, mean: float, sigma: float) -> dict[str, float]:
    """Return the busy share from when every worker had begun until no trial was left to ask."""
    with tempfile.TemporaryDirectory() as folder:
        log = search(_config(trials, workers, mean=mean, sigma=sigma), Path(folder) / "run")
    spans: dict[str, list[tuple[float, float]]] = {}
    for outcome in log.outcomes.values():
        spans.setdefault(outcome.worker, []).append((outcome.time - outcome.seconds, outcome.time))
    begin = max(min(start for start, _ in each) for each in spans.values())
    end = max(ask.time for ask in log.asks.values())
    busy = sum(
        max(0.0, min(stop, end) - max(start, begin))
        for each in spans.values()
        for start, stop in each
    )
    times = [log.outcomes[trial].seconds for trial in range(trials)]
    batches = [times[i : i + workers] for i in range(0, trials - trials % workers, workers)]
    synchronous = sum(map(sum, batches)) / (workers * sum(map(max, batches)))
    return {
        "workers": len(spans),
        "busy": busy / (len(spans) * (end - begin)),
        "synchronous": synchronous,
    }


def _simulate(workers: int, trials: int, mean: float, sigma: float, cost: float) -> float:
    """Return the busy share of workers that one driver serves, which takes `cost` seconds for a
    trial.

    Trials are told in order, each one told lets one more be asked, and the driver does one thing at
    a time.
    """
    rng = np.random.default_rng(0)
    times = rng.lognormal(math.log(mean) - sigma**2 / 2, sigma, trials)
    window, driver, told, busy = 4 * workers, 0.0, 0, 0.0
    asked = min(window, trials)
    waiting, ended = 0, np.zeros(trials, dtype=bool)
    running: list[tuple[float, int]] = []
    while waiting < min(workers, asked):
        heapq.heappush(running, (times[waiting], waiting))
        waiting += 1
    idle = 0
    while running:
        now, trial = heapq.heappop(running)
        busy += times[trial]
        ended[trial] = True
        driver = max(driver, now) + cost
        idle += 1
        while told < trials and ended[told]:
            told += 1
            asked = min(asked + 1, trials)
        while idle and waiting < asked:
            heapq.heappush(running, (driver + times[waiting], waiting))
            waiting, idle = waiting + 1, idle - 1
        if waiting == trials:  # the rest only drains
            busy += sum(times[trial] - (stop - driver) for stop, trial in running)
            return busy / (workers * driver)
    raise AssertionError


def _alone(task: Any, *arguments: Any) -> Any:
    """Call in a process of its own, so that memory and Ray are its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(task, arguments)


@click.command(cls=Command)
@click.option(
    "--trials", multiple=True, type=int, default=(1000, 10_000, 100_000), show_default=True
)
@click.option(
    "--logical", multiple=True, type=int, default=(64,), show_default=True, help="Logical workers."
)
def main(trials: tuple[int, ...], logical: tuple[int, ...]) -> None:
    """Measure, then simulate."""
    rows, costs = [], []
    for count in trials:
        found = _alone(_overhead, count)
        costs.append(found["ms"] / 1e3)
        rows.append(
            ["mnas on Ray", f"{count:,}", *_cells(found), f"{found['journal'] / count:.0f}"]
        )
    tuned = _alone(_tune, trials[0])
    rows.append(["Ray Tune, reuse_actors", f"{trials[0]:,}", *_cells(tuned), ""])
    headers = [
        "no-op children",
        "trials",
        "ms a trial",
        "driver CPU ms",
        "driver MB",
        "journal bytes a trial",
    ]
    print(tabulate(rows, headers, disable_numparse=True))
    print(f"Tune takes {tuned['ms'] / 1e3 / costs[0]:.0f} times as long\n")
    rows = []
    for workers in logical:
        found = _alone(_busy, workers, 20 * workers, 3.0, 0.5)
        rows.append([found["workers"], f"{found['busy']:.1%}", f"{found['synchronous']:.1%}"])
    print(
        tabulate(rows, ["logical workers", "busy (σ 0.5, window 4×)", "synchronous batches"]), "\n"
    )
    cost = costs[-1]
    rows = [
        [
            workers,
            f"{mean:g}",
            *(f"{_simulate(workers, 1_000_000, mean, sigma, cost):.1%}" for sigma in (0.5, 0.75)),
        ]
        for workers in (64, 512, 4096)
        for mean in (10.0, 60.0, 600.0)
    ]
    print(
        f"Simulated, 1,000,000 trials at {1e3 * cost:.2f} ms: one "
        f"driver serves {1 / cost:,.0f} trials a second, so"
    )
    print(
        f"it is the limit for children under {4096 * cost:.1f} s on "
        f"4,096 workers, {64 * cost:.2f} s on 64. Busy:"
    )
    print(tabulate(rows, ["workers", "child s", "σ 0.5", "σ 0.75"], disable_numparse=True))


def _cells(found: dict[str, Any]) -> list[str]:
    return [f"{found['ms']:.2f}", f"{found['cpu_ms']:.2f}", f"{found['mb']:.0f}"]


if __name__ == "__main__":
    main()
