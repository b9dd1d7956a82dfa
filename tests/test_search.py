"""Whole searches: one seed is one search, however it is run and however often it is killed."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnas.config import Config
from mnas.engine.loop import job_seed, resume, search
from mnas.journal.log import Log
from mnas.journal.reader import read
from search_space import InputError
from search_space.cost import cost
from tests.conftest import ROOT, alive, wait_for
from tests.stand_in import Arithmetic

Trials = list[tuple[tuple[int, ...], float, float, tuple[float, ...]]]


def config(*, trials: int = 30, **tables: dict[str, Any]) -> Config:
    base: dict[str, dict[str, Any]] = {
        "search": {"trials": trials, "window": 4, "seed": 3},
        "space": {"name": "mnasnet-tiny"},
        "controller": {"name": "ppo", "batch": 5},
        "reward": {"target": 3_000_000},
        "runner": {"workers": 0},
        "proxy": {"name": "tests.stand_in:Arithmetic"},
    }
    # Another name is another component, as with --set: the keys of the old one go.
    kept = {name: {} if "name" in tables.get(name, {}) else table for name, table in base.items()}
    return Config({name: table | tables.get(name, {}) for name, table in kept.items()})


def told(log: Log) -> Trials:
    outcomes = [log.outcomes[trial] for trial in range(log.trials)]
    return [(log.asks[o.trial].genotype, o.accuracy, o.reward, o.curve) for o in outcomes]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return search(config(), tmp_path_factory.mktemp("finished") / "run")


def test_every_trial_is_asked_and_told_once(finished: Log) -> None:
    assert sorted(finished.asks) == sorted(finished.outcomes) == list(range(30))


def test_the_journal_holds_cost_and_reward_of_what_its_genotypes_decode_to(finished: Log) -> None:
    space, reward = finished.space, finished.config().reward(finished.space)
    for trial, ask in finished.asks.items():
        architecture = space.decode(ask.genotype)
        price = cost(architecture)
        assert (ask.digest, ask.macs, ask.params) == (architecture.digest, price.macs, price.params)
        assert finished.outcomes[trial].reward == reward(finished.outcomes[trial].accuracy, price)


def test_worker_processes_that_end_in_any_order_give_the_same_search(
    finished: Log, tmp_path: Path
) -> None:
    tables = {"runner": {"workers": 2}, "proxy": {"sleep": 0.05}}
    log = search(config(**tables), tmp_path / "run")
    assert told(log) == told(finished)
    assert {o.worker for o in log.outcomes.values()} == {"0", "1"}


def test_another_seed_is_another_search(finished: Log, tmp_path: Path) -> None:
    assert told(search(config(search={"seed": 4}), tmp_path / "run")) != told(finished)


def test_a_journal_cut_at_any_byte_goes_on_to_the_same_search(
    finished: Log, tmp_path: Path
) -> None:
    whole = (finished.run / "journal.jsonl").read_bytes()
    header = whole.index(b"\n") + 1
    cuts = [*random.Random(0).sample(range(header, len(whole)), 58), header, len(whole) - 1]
    for cut in cuts:
        run = tmp_path / str(cut)
        run.mkdir()
        (run / "journal.jsonl").write_bytes(whole[:cut])
        assert told(resume(run, trusted=True)) == told(finished), (
            f"cut at byte {cut} of {len(whole)}"
        )
        assert told(read(run)) == told(finished)


def test_finished_trials_are_not_run_again(finished: Log, tmp_path: Path) -> None:
    lines = (finished.run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    run = tmp_path / "run"
    run.mkdir()
    (run / "journal.jsonl").write_bytes(b"".join(lines[:40]))
    before = {trial: outcome.time for trial, outcome in read(run).outcomes.items()}
    after = resume(run, trusted=True).outcomes
    assert len(before) > 10
    assert {trial: after[trial].time for trial in before} == before


def test_a_finished_search_is_left_as_it_is(finished: Log) -> None:
    before = (finished.run / "journal.jsonl").read_bytes()
    assert told(resume(finished.run)) == told(finished)
    assert (finished.run / "journal.jsonl").read_bytes() == before


def test_a_journal_of_another_search_is_not_gone_on_with(finished: Log, tmp_path: Path) -> None:
    text = (finished.run / "journal.jsonl").read_text()
    run = tmp_path / "run"
    run.mkdir()
    lines = text.replace('"seed":3', '"seed":5', 1).splitlines(keepends=True)
    header = json.loads(lines[0])
    header["config_digest"] = Config(header["config"]).digest
    lines[0] = json.dumps(header) + "\n"
    (run / "journal.jsonl").write_text("".join(lines[:20]))
    with pytest.raises(
        InputError, match="replayed, the search asks another trial 0 than the journal has"
    ):
        resume(run, trusted=True)


def test_a_network_that_is_built_otherwise_today_is_not_gone_on_with(
    finished: Log, tmp_path: Path
) -> None:
    lines = (finished.run / "journal.jsonl").read_text().splitlines(keepends=True)[:20]
    last = max(i for i, line in enumerate(lines) if '"event":"ask"' in line)
    lines[last] = re.sub(r'"digest":"\w+"', '"digest":"0123456789abcdef"', lines[last])
    (tmp_path / "journal.jsonl").write_text("".join(lines))
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"replayed, the search builds another network for trial .* \(mnas 0"
        ):
            resume(tmp_path, trusted=True)
    assert (tmp_path / "journal.jsonl").read_text() == "".join(
        lines
    )  # a resume that fails writes nothing


# A space of three networks: every search in it is full of duplicates.
FEW = {
    "space": {"name": "tests.test_search:few"},
    "controller": {"name": "ppo-mnasnet"},
    "reward": {"target": 5e6},
}


def few() -> Any:
    from search_space import Decision, Space
    from search_space.mnasnet import tiny

    return Space(tiny().template, (Decision(2, "repeats", (1, 2, 3)),))


def test_a_network_that_comes_up_again_is_not_trained_again(tmp_path: Path) -> None:
    log = search(config(trials=12, **FEW), tmp_path / "run")
    trained = [o for o in log.outcomes.values() if o.reused_from is None]
    assert len(trained) == 3
    for outcome in log.outcomes.values():
        if outcome.reused_from is not None:
            source = log.outcomes[outcome.reused_from]
            assert outcome.reused_from < outcome.trial
            assert log.asks[source.trial].digest == log.asks[outcome.trial].digest
            assert (outcome.accuracy, outcome.reward) == (source.accuracy, source.reward)


def test_reuse_can_be_switched_off(tmp_path: Path) -> None:
    log = search(config(trials=12, **FEW, search={"reuse": False}), tmp_path / "run")
    assert all(o.reused_from is None for o in log.outcomes.values())
    assert len({o.accuracy for o in log.outcomes.values()}) == 12  # each has a seed of its own


def test_duplicates_are_the_same_ones_on_two_workers_and_after_a_cut(tmp_path: Path) -> None:
    one = search(config(trials=12, **FEW), tmp_path / "one")
    two = search(config(trials=12, **FEW, runner={"workers": 2}), tmp_path / "two")
    whole = (tmp_path / "one" / "journal.jsonl").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "journal.jsonl").write_bytes(whole[: len(whole) * 3 // 4])
    cut = resume(tmp_path / "cut", trusted=True)
    for log in (two, cut):
        assert [log.outcomes[t].reused_from for t in range(12)] == [
            one.outcomes[t].reused_from for t in range(12)
        ]
        assert told(log) == told(one)


@pytest.mark.parametrize("how", ["raised", "diverged", "out-of-memory"])
def test_an_architectures_failure_is_told_as_reward_zero_at_once(tmp_path: Path, how: str) -> None:
    faulty = {"name": "tests.stand_in:Faulty", "how": how, "marks": str(tmp_path / "marks")}
    log = search(config(trials=6, proxy=faulty), tmp_path / "run")
    failure = log.outcomes[1].failure
    assert failure is not None
    assert (failure.kind, log.outcomes[1].reward, len(log.retries)) == (how, 0.0, 0)
    assert all(log.outcomes[trial].failure is None for trial in (0, 2, 3, 4, 5))


def test_a_machines_failure_is_tried_again_and_teaches_nothing(tmp_path: Path) -> None:
    faulty = {
        "name": "tests.stand_in:Faulty",
        "how": "worker-died",
        "marks": str(tmp_path / "marks"),
        "times": 2,
    }
    log = search(config(trials=6, proxy=faulty, runner={"workers": 2}), tmp_path / "run")
    assert [(r.trial, r.failure.kind) for r in log.retries] == [(1, "worker-died")] * 2
    faultless = search(config(trials=6), tmp_path / "other")
    assert told(log) == told(faultless)


def test_a_machines_failure_counts_after_its_last_retry(tmp_path: Path) -> None:
    faulty = {
        "name": "tests.stand_in:Faulty",
        "how": "worker-died",
        "marks": str(tmp_path / "marks"),
    }
    tables = {"proxy": faulty, "runner": {"workers": 1}, "search": {"retries": 1}}
    log = search(config(trials=3, **tables), tmp_path / "run")
    failure = log.outcomes[1].failure
    assert failure is not None
    assert (failure.kind, log.outcomes[1].reward, len(log.retries)) == ("worker-died", 0.0, 1)


def test_bad_input_found_on_the_way_ends_the_search_and_teaches_nothing(tmp_path: Path) -> None:
    for workers in (0, 1):
        run, marks = tmp_path / str(workers), str(tmp_path / f"marks{workers}")
        faulty = {"name": "tests.stand_in:Faulty", "how": "bad-input", "marks": marks, "times": 1}
        with pytest.raises(InputError, match=r"^path: cat.jpg is no picture$"):
            search(config(trials=6, proxy=faulty, runner={"workers": workers}), run)
        assert 1 not in read(run).outcomes
        assert told(resume(run, trusted=True)) == told(
            search(config(trials=6), tmp_path / f"other{workers}")
        )


def test_a_disk_that_fails_is_the_machines_fault(tmp_path: Path) -> None:
    faulty = {
        "name": "tests.stand_in:Faulty",
        "how": "machine",
        "marks": str(tmp_path / "marks"),
        "times": 2,
    }
    log = search(config(trials=6, proxy=faulty), tmp_path / "run")
    assert [(r.trial, r.failure.kind) for r in log.retries] == [(1, "machine")] * 2
    assert told(log) == told(search(config(trials=6), tmp_path / "other"))


class Strange:
    """A controller of a user's own, with NumPy's integers, or worse."""

    def __init__(self, problem: Any, seed: int, *, good: bool) -> None:
        self.space, self.good = problem.space, good

    def ask(self, trial: int) -> Any:
        return np.zeros(len(self.space.decisions), dtype=int) if self.good else ["three"]

    def tell(self, trial: int, genotype: Any, reward: float) -> None:
        pass


def test_a_controllers_numpy_integers_are_integers(tmp_path: Path) -> None:
    strange = {"name": "tests.test_search:Strange"}
    log = search(config(trials=2, controller={**strange, "good": True}), tmp_path / "run")
    assert log.asks[0].genotype == (0,) * 30
    with pytest.raises(
        InputError, match=r"controller.name: asked \['three'\]; takes a genotype, integers"
    ):
        search(config(trials=2, controller={**strange, "good": False}), tmp_path / "other")


def test_children_have_seeds_of_their_own() -> None:
    seeds = {job_seed(seed, trial) for seed in range(20) for trial in range(50)}
    assert len(seeds) == 1000


def test_bad_input_begins_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"runner.workers: -1"):
        search(config(runner={"workers": -1}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Real children, real processes, real kills.

SMALL = [
    "--set=search.trials=6",
    "--set=search.window=2",
    "--set=controller.batch=2",
    "--set=proxy.recipe.epochs=1",
    "--set=proxy.recipe.warmup_epochs=0.2",
    "--set=proxy.val_fraction=0.7",
]


def mnas(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mnas", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def group(parent: int) -> list[int]:
    """The living processes below `parent`, from /proc."""
    below = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                below += [int(entry.name), *group(int(entry.name))]
    return below


def outcomes(run: Path) -> int:
    path = run / "journal.jsonl"
    return path.read_bytes().count(b'"event":"outcome"') if path.exists() else 0


def test_real_training_is_the_same_in_process_on_two_workers_on_ray_and_through_a_kill(
    tmp_path: Path,
) -> None:
    logs = {}
    for runner in ("workers=0", "workers=2", "name=ray"):
        run = tmp_path / runner
        done = mnas("search", "quickstart", "--run", run, *SMALL, f"--set=runner.{runner}")
        _, errors = done.communicate(timeout=300)
        assert done.returncode == 0, errors
        logs[runner] = told(read(run))
    killed = tmp_path / "killed"
    victim = mnas("search", "quickstart", "--run", killed, *SMALL)
    wait_for(lambda: outcomes(killed) >= 1)
    time.sleep(
        random.random()
    )  # anywhere in a child: five are left, two at a time, of a second and more
    workers_left = group(victim.pid)
    victim.kill()
    victim.communicate()
    assert 1 <= outcomes(killed) < 6
    wait_for(lambda: not any(map(alive, workers_left)), seconds=10)
    again = mnas("resume", killed)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert logs["workers=0"] == logs["workers=2"] == logs["name=ray"] == told(read(killed))
    assert len({accuracy for _, accuracy, _, _ in logs["workers=0"]}) > 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_in_seconds_says_how_to_go_on_and_leaves_no_process(
    tmp_path: Path, how: signal.Signals
) -> None:
    run = tmp_path / "run"
    running = mnas("search", "quickstart", "--run", run)
    wait_for(lambda: outcomes(run) >= 1)
    below = group(running.pid)
    begun = time.monotonic()
    os.kill(running.pid, how)
    _, errors = running.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert running.returncode == 130
    assert errors.rstrip().endswith(f"of 50 trials done; go on with: mnas resume {run}")
    assert "Traceback" not in errors
    assert below
    wait_for(lambda: not any(map(alive, below)), seconds=5)
    log = read(run)
    assert len(log.outcomes) >= 1


def test_a_run_directory_may_not_name_a_cluster_whose_answers_would_be_code() -> None:
    strange = config(runner={"name": "ray", "workers": 1, "address": "ray://evil:10001"})
    assert strange.names_outside_code
    with pytest.raises(
        InputError, match=r"runner.address: ray://evil:10001 is a cluster .* say --trust"
    ):
        Config(strange.tables, trusted=False).runner(Arithmetic(), Path("unused"))


def test_a_run_directory_may_not_name_code_outside_mnas(finished: Log, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes((finished.run / "journal.jsonl").read_bytes()[:-10])
    with pytest.raises(
        InputError, match=r"proxy.name: tests.stand_in:Arithmetic is code outside mnas"
    ):
        resume(tmp_path)


CONTROLLER_TABLES: dict[str, dict[str, Any]] = {
    "random": {},
    "local-search": {},
    "evolution": {"population": 10, "sample": 3},
    "ppo-mnasnet": {"batch": 5},
    "bayesian": {"start": 8},
}


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("name", sorted(CONTROLLER_TABLES))
def test_every_controller_goes_on_to_the_same_search_wherever_it_was_cut(
    name: str, reuse: bool, tmp_path: Path
) -> None:
    tables = {"controller": {"name": name, **CONTROLLER_TABLES[name]}, "search": {"reuse": reuse}}
    uncut = search(config(trials=60, **tables), tmp_path / "uncut")
    content = (uncut.run / "journal.jsonl").read_bytes()
    for share in (0.2, 0.5, 0.8):
        run = tmp_path / str(share)
        run.mkdir()
        (run / "journal.jsonl").write_bytes(content[: int(len(content) * share)])
        assert told(resume(run, trusted=True)) == told(uncut)


@pytest.mark.parametrize(
    "name", [*sorted(CONTROLLER_TABLES.keys() - {"ppo-mnasnet"}), "ppo", "exhaustive"]
)
def test_a_search_ends_when_nothing_is_left_to_try(name: str, tmp_path: Path) -> None:
    tables = {"space": {"name": "tests.stand_in:few"}, "reward": {"target": 5_000_000}}
    controller = {"name": name, **CONTROLLER_TABLES.get(name, {})}
    log = search(config(trials=50, controller=controller, **tables), tmp_path / "run")
    assert log.trials == len(log.outcomes) == len({ask.digest for ask in log.asks.values()}) == 16
    before = (log.run / "journal.jsonl").read_bytes()
    assert told(resume(log.run, trusted=True)) == told(log)
    assert (log.run / "journal.jsonl").read_bytes() == before
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "journal.jsonl").write_bytes(before[: len(before) * 2 // 3])
    assert told(resume(cut, trusted=True)) == told(log)
