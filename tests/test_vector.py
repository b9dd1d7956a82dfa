"""Parameters as one vector, beside the same parameters one by one."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks.plain import optimizer_of
from runners.data.images import Images
from runners.training.augment import Normalise, tensor_of
from runners.training.loop import Training
from runners.training.recipe import Recipe
from runners.training.vector import Precision, vectors
from search_space import Architecture, Stage
from search_space.network.build import build

RECIPE = Recipe(epochs=1, batch_size=20, lr=0.05, weight_decay=1e-3, pad=0, warmup_epochs=0.0)


def network() -> nn.Module:
    """A network with layers of every kind: dense, depthwise, of single pixels, with biases and
    batch norms.
    """
    torch.manual_seed(0)
    stages = tuple(map(Stage.parse, ["ds_r1_k3_s1_c4_se0.25", "ir_r2_k5_s2_e3_c6_se0.25"]))
    ends = {
        "stem_channels": 4,
        "head_channels": 12,
        "resolution": 8,
        "classes": 3,
        "in_channels": 1,
    }
    child = build(
        Architecture(stages=stages, dropout=0.0, activation="silu", se_activation="silu", **ends)
    )
    return child.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def noise(count: int) -> Images:
    rng = np.random.default_rng(0)
    return Images(
        rng.integers(0, 256, (count, 8, 8, 1), np.uint8),
        rng.integers(0, 3, count),
        np.arange(count),
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_is_bit_for_bit_the_one_that_autocast_and_the_optimizer_make_layer_by_layer(
    precision: Precision,
) -> None:
    ours, theirs, images = network(), network(), noise(20)
    normalise = Normalise.of(images)
    training = Training(ours, RECIPE, normalise=normalise, size=8, seed=0, precision=precision)
    training.epoch(0, images)
    optimizer = optimizer_of(theirs, RECIPE, fused=True)
    for group in optimizer.param_groups:
        group["lr"] = RECIPE.lr_at(0.5)
    pixels, labels = images.batch(torch.randperm(20, generator=training._generator(0, 0)).numpy())
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        logits = theirs.train()(normalise(tensor_of(pixels), 8)).float()
    functional.cross_entropy(
        logits, torch.from_numpy(labels), label_smoothing=RECIPE.label_smoothing
    ).backward()
    optimizer.step()
    before = network().state_dict()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
        assert name.endswith("num_batches_tracked") or not torch.equal(before[name], tensor), name


def test_parameters_are_views_of_the_vector_and_keep_their_layout() -> None:
    child = network()
    before = {name: (p.detach().clone(), p.stride()) for name, p in child.named_parameters()}
    weights, others = vectors(child)
    assert len(weights.values) == sum(p.numel() for p in child.parameters() if p.ndim > 1)
    assert len(others.values) == sum(p.numel() for p in child.parameters() if p.ndim <= 1)
    for name, parameter in child.named_parameters():
        assert torch.equal(parameter, before[name][0])
        assert parameter.stride() == before[name][1]
    weights.values.fill_(2.0)
    others.values.fill_(3.0)
    assert all((p == (2 if p.ndim > 1 else 3)).all() for p in child.parameters())


def test_in_bfloat16_a_copy_is_at_work_and_float32_is_back_when_it_fails() -> None:
    child = network()
    parameters = dict(child.named_parameters())
    weights, _ = vectors(child, "bfloat16")

    def fail() -> None:
        with weights.at_work():
            assert {p.dtype for p in child.parameters() if p.ndim > 1} == {torch.bfloat16}
            assert {p.dtype for p in child.parameters() if p.ndim <= 1} == {torch.float32}
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        fail()
    assert all(parameter is parameters[name] for name, parameter in child.named_parameters())


def test_the_gradient_of_a_vector_is_that_of_its_parameters_in_their_order() -> None:
    child, plain = network(), network()
    x = torch.randn(4, 1, 8, 8)
    both = vectors(child)
    copied = copy.deepcopy(child)  # what a running average is made from
    for each in (child, plain):
        each(x).square().sum().backward()
    for vector in both:
        vector.values.copy_(vector.gradient())
    for ours, theirs in zip(child.parameters(), plain.parameters(), strict=True):
        assert theirs.grad is not None
        assert torch.equal(ours, theirs.grad)
    assert all(map(torch.equal, copied.parameters(), plain.parameters()))
