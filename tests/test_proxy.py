import gzip
import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from runners import Job
from runners.base import DivergenceError
from runners.training.proxy import ProxyTask
from runners.training.recipe import Recipe
from search_space import InputError, Stage
from search_space.mnasnet import tiny
from search_space.zoo import ZOO
from tests.test_data import fashion  # noqa: F401  # a fixture

QUICK = Recipe(epochs=1, batch_size=64, lr=0.1)
# The cheapest stages of the tiny space: a child in about two seconds.
CHILD = replace(
    tiny().template,
    stages=tuple(map(Stage.parse, ("ds_r1_k3_s1_c8", "ds_r1_k3_s2_c16", "ds_r1_k3_s2_c32"))),
)


def test_a_real_child_learns_real_digits() -> None:
    result = ProxyTask(recipe=replace(QUICK, epochs=3))(Job(0, CHILD, seed=1))
    assert len(result.curve) == 3
    assert result.accuracy == result.curve[-1] > 0.6  # chance is 0.1
    assert result.seconds > 0


def test_a_child_ends_after_the_epoch_that_leaves_it_without_hope() -> None:
    task = ProxyTask(recipe=replace(QUICK, epochs=3), train_fraction=0.2)
    whole = task(Job(0, CHILD, seed=1)).curve
    # Just met after the first epoch, just missed after the second.
    ended = task(Job(0, CHILD, seed=1, thresholds=(whole[0], whole[1] + 0.001)))
    assert ended.curve == whole[:2]


def test_children_may_see_fewer_pixels_than_their_networks_are_made_for() -> None:
    task = ProxyTask(recipe=QUICK, train_fraction=0.2, resolution_fraction=0.5)
    small = ProxyTask(recipe=QUICK, train_fraction=0.2)(
        Job(0, replace(CHILD, resolution=14), seed=1)
    )
    whole = ProxyTask(recipe=QUICK, train_fraction=0.2)(Job(0, CHILD, seed=1))
    assert task(Job(0, CHILD, seed=1)).curve == small.curve != whole.curve


def test_networks_that_differ_in_pixels_still_do_when_their_children_see_fewer() -> None:
    task = ProxyTask(recipe=QUICK, resolution_fraction=0.5)  # as in a coefficient search
    assert [task.child(replace(CHILD, resolution=pixels)).resolution for pixels in (1, 28, 34)] == [
        1,
        14,
        17,
    ]


@pytest.mark.parametrize("part", [0.0, -0.5, 1.5, math.nan])
def test_an_impossible_part_of_the_pixels_is_refused(part: float) -> None:
    with pytest.raises(InputError, match=r"resolution_fraction: .*; takes a number above 0, to 1"):
        ProxyTask(resolution_fraction=part)


def test_the_seed_fixes_the_accuracy_bit_for_bit_whatever_ran_before() -> None:
    torch.set_num_threads(2)  # whoever set it, before the data are read or after
    task = ProxyTask(recipe=QUICK)
    first = task(Job(0, CHILD, seed=5)).curve
    torch.rand(3)
    torch.set_num_threads(2)
    task(Job(1, CHILD, seed=6))
    assert task(Job(2, CHILD, seed=5)).curve == first
    assert ProxyTask(recipe=QUICK)(Job(0, CHILD, seed=5)).curve == first


def test_a_child_that_diverges_says_so() -> None:
    with pytest.raises(DivergenceError):
        ProxyTask(recipe=replace(QUICK, lr=1e30))(Job(0, CHILD, seed=0))


def test_the_test_part_is_never_opened(fashion: Path) -> None:  # noqa: F811
    # The folder has no test files at all, and a training that needed them would end here.
    assert not list(fashion.glob("t10k*"))
    result = ProxyTask(
        recipe=replace(QUICK, batch_size=8), data="fashion-mnist", path=str(fashion)
    )(Job(0, CHILD, 0))
    assert 0 <= result.accuracy <= 1


def test_the_reward_is_measured_on_images_that_were_not_trained_on(
    fashion: Path,  # noqa: F811
) -> None:
    task = ProxyTask(recipe=replace(QUICK, batch_size=8), data="fashion-mnist", path=str(fashion))
    trained, measured = task.images
    assert not set(trained.indices) & set(measured.indices)
    assert len(trained) + len(measured) == 50


def test_random_labels_are_not_learnt(fashion: Path) -> None:  # noqa: F811
    """With labels that mean nothing, accuracy on held-out images stays at chance: nothing leaks."""
    rng = np.random.default_rng(0)
    for name, array in (
        ("train-images-idx3-ubyte.gz", rng.integers(0, 256, (1000, 28, 28), np.uint8)),
        ("train-labels-idx1-ubyte.gz", rng.integers(0, 2, 1000, np.uint8)),
    ):
        header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
        with gzip.open(fashion / name, "wb") as file:
            file.write(header + array.tobytes())
    task = ProxyTask(
        recipe=replace(QUICK, epochs=3), data="fashion-mnist", path=str(fashion), val_fraction=0.5
    )
    assert 0.4 < task(Job(0, CHILD, 0)).accuracy < 0.6


def test_a_space_that_does_not_fit_the_data_is_refused_before_the_search() -> None:
    task = ProxyTask(data="mnist-5k")
    task.check(tiny().template)
    with pytest.raises(InputError, match=r"space.classes: 1000, but mnist-5k has 10"):
        task.check(ZOO["efficientnet-b0"])
    with pytest.raises(InputError, match=r"space.in_channels: 3, but mnist-5k has 1"):
        task.check(replace(ZOO["efficientnet-b0"], classes=10))


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"val_fraction": 1.0}, "val_fraction: 1.0; takes a number between 0 and 1"),
        ({"threads": 0}, "threads: 0; takes 1 to 1,024"),
        ({"size": 0}, "size: 0; takes 1 pixel or more"),
    ],
)
def test_impossible_settings_are_refused(keywords: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ProxyTask(**keywords)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="device: 'cuda'; takes cpu or auto here"):
        ProxyTask(device="cuda").prepare()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="takes a GPU")
def test_on_a_gpu_the_seed_fixes_the_accuracy_bit_for_bit_when_asked() -> None:
    task = ProxyTask(recipe=QUICK, device="cuda", deterministic=True)
    task.prepare()
    try:
        assert task(Job(0, CHILD, seed=5)).curve == task(Job(1, CHILD, seed=5)).curve
    finally:
        torch.use_deterministic_algorithms(False)


def test_lower_precision_is_used_when_asked_for() -> None:
    few = {"recipe": QUICK, "train_fraction": 0.1, "val_fraction": 0.5}
    task, whole = ProxyTask(**few, precision="bfloat16"), ProxyTask(**few, precision="float32")
    assert task(Job(0, CHILD, 3)).curve != whole(Job(0, CHILD, 3)).curve
    assert task(Job(0, CHILD, 3)).curve == task(Job(1, CHILD, 3)).curve


@pytest.mark.parametrize(
    ("capability", "precision"),
    [("avx512_bf16", "bfloat16"), ("amx_bf16", "bfloat16"), ("avx2", "float32")],
)
def test_lower_precision_is_taken_where_the_processor_is_made_for_it(
    capability: str, precision: Literal["bfloat16", "float32"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {capability: True, "avx512_fp16": False}
    )
    few = {"recipe": QUICK, "train_fraction": 0.1, "val_fraction": 0.5}
    named = ProxyTask(**few, precision=precision)
    assert ProxyTask(**few)(Job(0, CHILD, 3)).curve == named(Job(0, CHILD, 3)).curve


def test_a_part_of_the_images_is_trained_on_and_all_the_others_measured_as_before() -> None:
    whole, part = ProxyTask().images, ProxyTask(train_fraction=0.25).images
    assert len(part[0]) == len(whole[0]) / 4
    assert set(part[0].indices) < set(whole[0].indices)
    assert len(set(np.bincount(part[0].labels))) == 1  # of every class as many
    assert np.array_equal(part[1].indices, whole[1].indices)


def test_readers_change_no_result() -> None:
    few = {"recipe": QUICK, "train_fraction": 0.1, "val_fraction": 0.5}
    assert (
        ProxyTask(**few, readers=2)(Job(0, CHILD, 3)).curve
        == ProxyTask(**few)(Job(0, CHILD, 3)).curve
    )
