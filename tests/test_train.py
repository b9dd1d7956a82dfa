"""A training's run directory, as a user of the command line meets it."""

import json
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mnas import training as train
from mnas.analysis import statistics
from mnas.config import Config
from mnas.engine.loop import search
from mnas.export import spec as export
from mnas.export import weights
from runners import checkpoint
from runners.checkpoint import Epoch
from runners.training import tensors
from runners.training.loop import Training
from runners.training.proxy import ProxyTask
from runners.training.task import made_for_bfloat16
from search_space import InputError
from search_space.zoo import ZOO
from tests.conftest import wait_for
from tests.test_cli import good
from tests.test_cli import mnas as ran
from tests.test_full import CHILD
from tests.test_search import config as small_config
from tests.test_search import mnas as start

# 800 digits to train on, 3,200 to measure the curve on.
SMALL = {
    "epochs": 6,
    "batch_size": 32,
    "optimizer": "sgd",
    "schedule": "cosine",
    "lr": 0.1,
    "warmup_epochs": 0.5,
    "bn_momentum": 0.1,
    "ema": 0.9,
}


def planned(**recipe: Any) -> Config:
    return Config({"train": {"data": "mnist-5k", "val_fraction": 0.8, "recipe": SMALL | recipe}})


def options(plan: Config) -> list[str]:
    said = plan.tables["train"]
    recipe = [f"--set=train.recipe.{key}={value}" for key, value in said["recipe"].items()]
    return [
        f"--set=train.data={said['data']}",
        f"--set=train.val_fraction={said['val_fraction']}",
        *recipe,
    ]


def quiet(name: str, moment: object) -> None:
    pass


def reached(epochs: tuple[Epoch, ...]) -> list[tuple[float, float]]:
    return [(epoch.loss, epoch.accuracy) for epoch in epochs]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "child.json"
    export.write(path, export.spec(CHILD, "child"))
    return path


@pytest.fixture(scope="module")
def finished(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> train.TrainingRun:
    return train.begin(
        planned(), [export.read(spec)], tmp_path_factory.mktemp("train") / "run", quiet
    )


def test_a_training_leaves_a_spec_with_its_accuracies_and_the_weights_that_have_them(
    finished: train.TrainingRun,
) -> None:
    (member,) = finished.members
    assert sorted(path.name for path in member.folder.iterdir()) == [
        "spec.json",
        "weights.safetensors",
    ]
    trained = export.read(member.folder / "spec.json")
    task = ProxyTask(val_fraction=0.8)
    task.prepare()
    network = weights.initialised(CHILD, member.weights)
    measured = Training(
        network,
        task.recipe,
        normalise=task._normalise,
        size=28,
        seed=0,
        precision="bfloat16" if made_for_bfloat16("cpu") else "float32",  # as it was trained
    )
    assert measured.accuracy(task.data.read("test")) == trained["accuracy"]["test"] > 0.6
    assert (
        measured.accuracy(task.images[1])
        == trained["accuracy"]["validation"]
        == trained["accuracy"]["curve"][-1]
    )
    assert trained["digest"] == CHILD.digest
    assert len(trained["accuracy"]["curve"]) == 6


def test_what_was_trained_can_be_exported_with_its_weights(
    finished: train.TrainingRun, tmp_path: Path
) -> None:
    out = good("export", finished.run, "--to", "weights", "-o", tmp_path / "w.safetensors")
    assert "test accuracy" in out
    ours, theirs = (
        weights.initialised(CHILD, path)
        for path in (finished.members[0].weights, tmp_path / "w.safetensors")
    )
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    good("export", finished.run, "-o", tmp_path / "spec.json")
    assert export.read(tmp_path / "spec.json") == export.read(finished.members[0].finished)


def test_a_killed_training_goes_on_to_the_same_curve_and_the_same_weights(
    finished: train.TrainingRun, spec: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    victim = start("train", spec, "quickstart", "--run", run, *options(planned()))
    wait_for(lambda: (run / "child" / checkpoint.NAME).exists())
    (first, *_) = train.read(run).members[0].record.epochs
    time.sleep(
        random.random() * first.seconds
    )  # anywhere in the next epoch, however fast the machine
    victim.kill()
    victim.communicate()
    stopped = train.read(run)
    assert 1 <= len(stopped.members[0].record.epochs) < 6
    assert f"Go on with: mnas resume {run}" in good("inspect", run)
    assert "finished, 1 of 1 networks trained" in good("resume", run)
    ours, theirs = finished.members[0], stopped.members[0]
    assert reached(ours.record.epochs) == reached(theirs.record.epochs)
    assert ours.record.test == theirs.record.test
    ends = [tensors.load(member.weights)[0] for member in (ours, theirs)]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
    assert good("resume", run) == good("inspect", run)  # a finished one is left as it is


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_says_how_to_go_on(spec: Path, tmp_path: Path, how: signal.Signals) -> None:
    run = tmp_path / "run"
    running = start("train", spec, "quickstart", "--run", run, *options(planned(epochs=1000)))
    wait_for(lambda: (run / "child" / checkpoint.NAME).exists())
    assert "child" in good("inspect", run)
    assert "running, 0 of 1 networks trained" in good("inspect", run)
    assert "is writing this run" in ran("resume", run).stderr
    os.kill(running.pid, how)
    _, errors = running.communicate(timeout=20)
    assert running.returncode == 130
    assert errors.rstrip().endswith(
        f"mnas: stopped; go on from the last epoch with: mnas resume {run}"
    )
    assert "Traceback" not in errors
    assert "images/s" in (run / "training.log").read_text()


def test_the_best_of_a_search_are_trained_and_their_order_is_compared(tmp_path: Path) -> None:
    log = search(small_config(trials=8), tmp_path / "search")
    shown = good(
        "train",
        log.run,
        "quickstart",
        "--top=3",
        "--run",
        tmp_path / "run",
        *options(planned(epochs=1, warmup_epochs=0.2)),
    )
    done = train.read(tmp_path / "run")
    chosen = [spec["name"] for spec in train.trials(log, 3)]
    assert [member.name for member in done.members] == chosen
    assert len(chosen) == 3
    assert "over 3 networks" in shown
    assert done.best.record.epochs[-1].accuracy == max(
        member.record.epochs[-1].accuracy for member in done.members
    )


def test_spearman_is_the_correlation_of_ranks() -> None:
    assert statistics.spearman([(0.1, 5.0), (0.2, 6.0), (0.3, 7.0)]) == pytest.approx(1)
    assert statistics.spearman([(0.1, 7.0), (0.2, 6.0), (0.3, 5.0)]) == pytest.approx(-1)
    # Ranks 1 2 3 4 against 1 3 2 4: 1 - 6·2 / (4·15).
    assert statistics.spearman([(1, 10), (2, 30), (3, 20), (4, 40)]) == pytest.approx(0.8)


def test_a_runs_own_data_are_taken_where_no_other_are_named() -> None:
    proxy = {"data": "fashion-mnist", "path": "/nowhere"}
    with pytest.raises(InputError, match=r"^train.path: /nowhere is no folder"):
        Config({"proxy": proxy}).training()
    assert Config({"proxy": proxy, "train": {"data": "mnist-5k"}}).training().epochs == 350


def test_a_published_network_is_trained_on_the_users_classes(tmp_path: Path) -> None:
    spec = export.spec(replace(ZOO["efficientnet-b0"], resolution=32), "b0")
    with pytest.raises(KeyboardInterrupt):
        train.begin(
            planned(),
            [spec],
            tmp_path / "run",
            lambda name, moment: signal.raise_signal(signal.SIGINT),
        )
    (member,) = train.read(tmp_path / "run").members
    assert (
        export.architecture(member.spec).classes,
        export.architecture(member.spec).in_channels,
    ) == (10, 1)


def test_a_training_that_diverges_says_so_in_one_line(spec: Path, tmp_path: Path) -> None:
    done = ran("train", spec, "quickstart", "--run", tmp_path / "run", *options(planned(lr=1e30)))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("mnas: child: loss is ")
    assert done.stderr.rstrip().endswith("begin again with a smaller recipe.lr")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["SPEC"], "child.json: not a run directory; takes a CONFIG, and no --top"),
        (
            ["SPEC", "quickstart", "--top=2"],
            "child.json: not a run directory; takes a CONFIG, and no --top",
        ),
        (
            ["SPEC", "quickstart", "--set=train.recipe.epoch=3"],
            "train.recipe.epoch: unknown (did you mean epochs?)",
        ),
        (
            ["SPEC", "quickstart", "--set=train.precision=half"],
            "train.precision: 'half'; takes auto or float32 or bfloat16",
        ),
        (
            ["SPEC", "quickstart", "--workers=0"],
            "Invalid value for '--workers': 0 is not in the range x>=1.",
        ),
        (["SPEC", "quickstart", "--set=train.data=fashion-mnist"], "train.path: missing"),
        (["RUN"], "a training; takes the run directory of a search"),
        (["missing.json", "quickstart"], "missing.json: no such file"),
    ],
)
def test_bad_input_is_one_line_and_begins_nothing(
    finished: train.TrainingRun, spec: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    given = [
        str(spec) if a == "SPEC" else str(finished.run) if a == "RUN" else a for a in arguments
    ]
    done = ran("train", *given, "--run", tmp_path / "run")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr
    assert not (tmp_path / "run").exists()


def test_more_trials_than_a_run_has_are_refused(tmp_path: Path) -> None:
    log = search(small_config(trials=3), tmp_path / "search")
    with pytest.raises(
        InputError, match=r"top: 9; takes 1 to \d, the networks of .*search that have an accuracy"
    ):
        train.trials(log, 9)


def test_a_search_and_a_training_do_not_share_a_directory(
    finished: train.TrainingRun, spec: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="a training was begun here; go on with it: mnas resume"):
        search(small_config(trials=3), finished.run)
    log = search(small_config(trials=3), tmp_path / "search")
    with pytest.raises(InputError, match="a search was begun here"):
        train.begin(planned(), [export.read(spec)], log.run, quiet)


def test_a_strangers_links_are_not_written_through(
    finished: train.TrainingRun, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "run" / "training.json").write_bytes((finished.run / "training.json").read_bytes())
    (tmp_path / "run" / "child").symlink_to(tmp_path / "mine")
    with pytest.raises(
        InputError, match="child: a link; a run directory's files may not lead elsewhere"
    ):
        train.resume(tmp_path / "run", quiet)
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "x"}, "no training that mnas"),
        ({"networks": [{"name": "../x"}]}, "networks: not a spec"),
        ({"epochs": None}, "takes config, epochs and networks"),
        ({"config": {"train": {"name": "my.code:Train"}}}, "my.code:Train is code outside mnas"),
        (
            {"config": {"train": {"address": "evil:6379"}}},
            "evil:6379 is a cluster whose answers are code",
        ),
    ],
)
def test_a_strangers_training_is_read_with_care(
    finished: train.TrainingRun, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    content = json.loads((finished.run / "training.json").read_text())
    (tmp_path / "training.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=says):
        train.resume(tmp_path, quiet)
