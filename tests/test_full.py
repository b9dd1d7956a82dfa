import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from runners import checkpoint
from runners.checkpoint import Moment, Record
from runners.data.datasets import open_data
from runners.training import tensors
from runners.training.full import FullTraining
from runners.training.recipe import PAPER, Recipe
from search_space import Architecture, InputError, Stage
from search_space.zoo import ZOO
from tests.test_data import idx
from tests.test_proxy import CHILD as PLAIN

# Dropout and drop-connect, which draw random numbers in every step, are part of the recipe.
CHILD = replace(
    PLAIN, stages=(*PLAIN.stages[:2], Stage.parse("ir_r2_k3_s2_e2_c32_se0.25")), drop_connect=0.2
)
# Every part of the paper's recipe, made for minutes.
RECIPE = replace(
    PAPER, epochs=3, batch_size=32, lr=0.004, warmup_epochs=0.5, bn_momentum=0.1, ema=0.9
)


def write_digits(folder: Path, part: str, count: int) -> None:
    """Write real digits as Fashion-MNIST's two files of a part."""
    digits = open_data("mnist-5k", None, 28).read("train" if part == "train" else "test")
    pixels, labels = digits.batch(np.arange(count) * (len(digits) // count))
    stem = "train" if part == "train" else "t10k"
    idx(folder / f"{stem}-images-idx3-ubyte.gz", pixels[..., 0])
    idx(folder / f"{stem}-labels-idx1-ubyte.gz", labels.astype(np.uint8))


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """800 real digits to train on, and no test part."""
    folder = tmp_path / "digits"
    folder.mkdir()
    write_digits(folder, "train", 800)
    return folder


def full(data: Path, recipe: Recipe = RECIPE, **options: object) -> FullTraining:
    return FullTraining(
        recipe=recipe, data="fashion-mnist", path=str(data), val_fraction=0.25, **options
    )  # type: ignore[arg-type]


def run(task: FullTraining, folder: Path, stop_after: int = 1000) -> list[Moment]:
    """Train; stop as Ctrl-C does in the middle of an epoch."""
    moments: list[Moment] = []

    def tell(moment: Moment) -> None:
        moments.append(moment)
        if len(moment.record.epochs) == stop_after and moment.seen:
            raise KeyboardInterrupt

    task.train(CHILD, folder, tell)
    return moments


def record(folder: Path) -> Record:
    return checkpoint.read(folder, CHILD.digest)


def test_no_test_image_is_read_before_the_last_epoch_is_done(digits: Path, tmp_path: Path) -> None:
    # The folder has no test part at all: a training that opened it earlier would end there.
    with pytest.raises(InputError, match="t10k-images-idx3-ubyte"):
        run(full(digits), tmp_path / "run")
    assert len(record(tmp_path / "run").epochs) == 3
    assert record(tmp_path / "run").test is None
    write_digits(digits, "test", 200)
    moments = run(full(digits), tmp_path / "run")
    assert not [moment for moment in moments if moment.seen]  # nothing was trained again
    assert record(tmp_path / "run").test == moments[-1].record.test is not None


def test_a_network_learns_by_the_papers_recipe(digits: Path, tmp_path: Path) -> None:
    write_digits(digits, "test", 200)
    run(full(digits, replace(RECIPE, epochs=10)), tmp_path)
    found = record(tmp_path)
    assert found.test is not None
    assert found.test > 0.6  # chance is 0.1
    assert found.epochs[-1].accuracy > found.epochs[0].accuracy
    assert found.epochs[-1].loss < found.epochs[0].loss
    assert found.epochs[0].images == 576  # 18 batches of 32 out of 600
    assert found.epochs[0].images_per_second > 0


def test_a_training_that_stops_in_any_epoch_comes_to_the_same_end(
    digits: Path, tmp_path: Path
) -> None:
    write_digits(digits, "test", 200)
    task = full(digits)
    run(task, tmp_path / "whole")
    for stop_after in (0, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            run(task, tmp_path / "stopped", stop_after)
        assert len(record(tmp_path / "stopped").epochs) == stop_after
    run(task, tmp_path / "stopped")
    whole, stopped = (record(tmp_path / name) for name in ("whole", "stopped"))
    assert [(e.loss, e.accuracy) for e in whole.epochs] == [
        (e.loss, e.accuracy) for e in stopped.epochs
    ]
    assert whole.test == stopped.test
    ends = [tensors.load(tmp_path / name / checkpoint.NAME)[0] for name in ("whole", "stopped")]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_a_full_disk_ends_the_training_and_keeps_the_last_checkpoint(
    digits: Path, tmp_path: Path
) -> None:
    task, before = full(digits), resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(KeyboardInterrupt):
        run(task, tmp_path / "run", 1)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(InputError, match=r"checkpoint.safetensors: File too large"):
            run(task, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(record(tmp_path / "run").epochs) == 1
    assert [path.name for path in (tmp_path / "run").iterdir()] == [checkpoint.NAME]


def test_a_checkpoint_that_is_none_or_another_networks_is_refused(
    digits: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(full(digits), tmp_path / "run", 1)
    with pytest.raises(InputError, match=rf"of the network {CHILD.digest}; this one is"):
        checkpoint.read(tmp_path / "run", ZOO["efficientnet-b0"].digest)
    path = tmp_path / "run" / checkpoint.NAME
    content = path.read_bytes()
    for broken in (b"", content[:100], content[:-1], b"\x10\0\0\0\0\0\0\0" + b"{}" * 8):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="no checkpoint of a training"):
            record(tmp_path / "run")


def test_a_network_is_fitted_to_the_datas_classes_and_channels(digits: Path) -> None:
    fitted = full(digits).fitted(ZOO["efficientnet-b0"])
    assert isinstance(fitted, Architecture)
    assert (fitted.classes, fitted.in_channels) == (10, 1)
    assert fitted.stages == ZOO["efficientnet-b0"].stages


def test_the_recipe_is_the_papers_unless_said_otherwise(digits: Path) -> None:
    assert FullTraining(data="fashion-mnist", path=str(digits)).recipe == PAPER


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seed": -1}, "seed: -1; takes 0 to below 2"),
        ({"workers": 0}, "workers: 0; takes 1 to 16"),
        ({"workers": 17}, "workers: 17; takes 1 to 16: two images of recipe.batch_size each"),
    ],
)
def test_impossible_trainings_are_refused(digits: Path, options: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        full(digits, **options)
