"""Our controllers inside Ray Tune."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnas.config import Config
from mnas.engine.loop import search
from mnas.engine.tune import Searcher
from search_space import Architecture, InputError
from tests.conftest import ROOT, wait_for
from tests.test_search import FEW, told
from tests.test_search import config as small_config


def planned(trials: int = 30, **tables: dict[str, Any]) -> Config:
    return small_config(trials=trials, **tables)


def accuracy(suggested: dict[str, Any]) -> float:
    """What `tests.stand_in.Arithmetic` says of a suggestion."""
    architecture = Architecture.from_json(suggested["architecture"])
    rng = np.random.default_rng((int(architecture.digest, 16), suggested["seed"]))
    rng.random()
    return float(rng.random())


def drive(searcher: Searcher, stop_after: int = 10**6) -> list[dict[str, Any]]:
    """Be Tune: two trials at a time, the younger one ends first."""
    running: dict[str, dict[str, Any]] = {}
    suggested = []
    while len(suggested) < stop_after:
        while len(running) < 2:
            found = searcher.suggest(name := f"tune-{time.monotonic_ns()}")
            if not isinstance(found, dict):
                break
            running[name] = found
            suggested.append(found)
        if not running:
            assert found == Searcher.FINISHED
            return suggested
        name = max(running, key=lambda name: running[name]["trial"])
        searcher.on_trial_complete(name, {"accuracy": accuracy(running.pop(name))})
    return suggested


def test_a_tuner_searches_as_mnas_search_does(tmp_path: Path) -> None:
    log = search(planned(), tmp_path / "run")
    searcher = Searcher(planned())
    drive(searcher)
    assert searcher._genotypes == [genotype for genotype, *_ in told(log)]


def test_a_network_that_comes_up_again_is_not_run_again(tmp_path: Path) -> None:
    searcher = Searcher(planned(trials=60, **FEW))
    digests = [Architecture.from_json(found["architecture"]).digest for found in drive(searcher)]
    assert len(digests) == len(set(digests)) == 3
    assert len(searcher._genotypes) == 60


def test_what_was_saved_is_gone_on_with_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, first = Searcher(planned()), Searcher(planned())
    drive(whole)
    drive(first, stop_after=11)
    first.save(str(tmp_path / "state"))
    second = Searcher(planned())
    second.restore(str(tmp_path / "state"))
    for name, number in list(second._numbers.items()):  # what ran is run again, by Tune
        architecture = second._space.decode(second._genotypes[number])
        found = {"architecture": architecture.to_json(), "seed": first_seed(whole, number)}
        second.on_trial_complete(name, {"accuracy": accuracy(found)})
    drive(second)
    assert second._genotypes == whole._genotypes
    assert second._accuracies == whole._accuracies


def first_seed(searcher: Searcher, number: int) -> int:
    from mnas.engine.loop import job_seed

    return job_seed(searcher._settings.seed, number)


def test_a_trial_that_fails_teaches_accuracy_zero_and_no_number_is_refused() -> None:
    searcher = Searcher(planned())
    searcher.suggest("a")
    searcher.suggest("b")
    searcher.on_trial_complete("a", error=True)
    assert searcher._accuracies == {0: 0.0}
    with pytest.raises(InputError, match=r"accuracy: 93\.0; takes an accuracy from 0 to 1"):
        searcher.on_trial_complete("b", {"accuracy": 93.0})


def test_the_state_of_another_configuration_is_refused(tmp_path: Path) -> None:
    Searcher(planned()).save(str(tmp_path / "state"))
    with pytest.raises(InputError, match="written with another configuration"):
        Searcher(planned(trials=31)).restore(str(tmp_path / "state"))


def test_a_space_of_tunes_own_is_refused() -> None:
    with pytest.raises(InputError, match="takes mode max and no param_space"):
        Searcher(planned()).set_search_properties("accuracy", "min", {})


def test_the_example_with_asha_runs(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "examples" / "tune_asha.py", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert "2 trials, 0 failed" in ran.stdout
    assert "after 4 epochs" in ran.stdout  # of four: the best was not stopped


TUNED = """
import sys, time
import ray
from ray import tune
from mnas.config.config import Config
from mnas.engine.tune import Searcher
from tests.test_tune import accuracy, planned

def train(config):
    time.sleep(0.5)
    tune.report({"accuracy": accuracy(config)})

ray.init("local", num_cpus=2, include_dashboard=False)
storage, what = sys.argv[1:]
if what == "begin":
    tuner = tune.Tuner(
        train,
        tune_config=tune.TuneConfig(
            search_alg=Searcher(planned(trials=16)), num_samples=16,
            max_concurrent_trials=2, reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="it", storage_path=storage),
    )
else:
    tuner = tune.Tuner.restore(f"{storage}/it", train, resume_unfinished=True)
results = tuner.fit()
print("done", len(results), results.num_errors)
"""


def test_a_killed_tuner_that_is_restored_keeps_what_the_controller_learnt(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TUNE_GLOBAL_CHECKPOINT_S": "1"}
    command = [sys.executable, "-c", TUNED, str(tmp_path)]
    victim = subprocess.Popen(
        [*command, "begin"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    def state() -> dict[str, Any]:
        found = sorted((tmp_path / "it").glob("searcher-state*"))
        return json.loads(found[-1].read_text()) if found else {"accuracies": {}, "genotypes": []}

    def saved() -> bool:
        """Tune writes its states in place, each second: killed amid that, it would begin anew."""
        written = [path.stat().st_mtime for path in (tmp_path / "it").glob("*state-*")]
        return 0.2 < time.time() - max(written, default=0) < 0.6 and len(state()["accuracies"]) >= 3

    wait_for(saved)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    before = state()
    assert len(before["accuracies"]) < 16
    again = subprocess.run(
        [*command, "restore"], env=environment, capture_output=True, text=True, timeout=200
    )
    assert again.returncode == 0, again.stderr
    after = state()
    assert len(after["genotypes"]) == 16
    assert after["genotypes"][: len(before["genotypes"])] == before["genotypes"]
    assert before["accuracies"].items() <= after["accuracies"].items()
    # What Tune found is what the same search finds alone.
    alone = Searcher(planned(trials=16))
    drive(alone)
    assert [tuple(genotype) for genotype in after["genotypes"]] == alone._genotypes
