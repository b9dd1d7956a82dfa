"""Parameters as one vector, beside the same parameters one by one."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from runners.images import Images
from runners.recipe import Recipe
from runners.training import Normalise, Training
from runners.vector import Vector
from search_space import Architecture, Stage
from search_space.network import build

RECIPE = Recipe(epochs=1, batch_size=20, lr=0.05, weight_decay=1e-3, pad=0, warmup_epochs=0.0)


def network() -> nn.Module:
    """A network with layers of every kind: dense, depthwise, of single pixels, with biases and batch norms."""
    torch.manual_seed(0)
    stages = tuple(map(Stage.parse, ["ds_r1_k3_s1_c4_se0.25", "ir_r2_k5_s2_e3_c6_se0.25"]))
    ends = {"stem_channels": 4, "head_channels": 12, "resolution": 8, "classes": 3, "in_channels": 1}
    child = build(Architecture(stages=stages, dropout=0.0, drop_connect=0.0, **ends))
    return child.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def noise(count: int) -> Images:
    rng = np.random.default_rng(0)
    return Images(rng.integers(0, 256, (count, 1, 8, 8), np.uint8), rng.integers(0, 3, count), np.arange(count))


def all_weights(parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_is_the_one_that_autocast_and_the_optimizer_make_layer_by_layer(precision: str) -> None:
    ours, theirs, images = network(), network(), noise(20)
    normalise = Normalise.of(images)
    training = Training(ours, RECIPE, normalise=normalise, size=8, seed=0, precision=precision)  # type: ignore[arg-type]
    training.epoch(0, images)
    layers = list(theirs.parameters())
    optimizer = RECIPE.make_optimizer([p for p in layers if p.ndim > 1], [p for p in layers if p.ndim <= 1])
    for group in optimizer.param_groups:
        group["lr"] = RECIPE.lr_at(0.5)
    pixels, labels = images.batch(np.random.default_rng(1).permutation(20))  # in a sum the order counts little
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        logits = theirs.train()(normalise(torch.from_numpy(pixels), 8)).float()
    functional.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=RECIPE.label_smoothing).backward()
    optimizer.step()
    near = 1e-5 if precision == "float32" else 1e-2
    for name, tensor in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], tensor, rtol=near, atol=near), name


def test_parameters_are_views_of_the_vector_and_keep_their_layout() -> None:
    child = network()
    before = {name: (p.detach().clone(), p.stride()) for name, p in child.named_parameters()}
    vector = Vector(child, all_weights, "float32")
    assert len(vector.values) == sum(p.numel() for p in child.parameters() if p.ndim > 1)
    for name, parameter in child.named_parameters():
        assert torch.equal(parameter, before[name][0])
        assert parameter.stride() == before[name][1]
    with torch.no_grad():
        vector.values.fill_(2.0)
    assert {bool((p == 2).all()) for p in child.parameters() if p.ndim > 1} == {True}


def test_in_bfloat16_a_copy_is_at_work_and_float32_is_back_when_it_fails() -> None:
    child = network()
    parameters = dict(child.named_parameters())
    vector = Vector(child, all_weights, "bfloat16")

    def fail() -> None:
        with vector.at_work():
            assert {p.dtype for p in child.parameters() if p.ndim > 1} == {torch.bfloat16}
            assert {p.dtype for p in child.parameters() if p.ndim <= 1} == {torch.float32}
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        fail()
    assert all(parameter is parameters[name] for name, parameter in child.named_parameters())


def test_the_gradient_of_the_vector_is_that_of_its_parameters_in_their_order() -> None:
    child, plain = network(), network()
    x = torch.randn(4, 1, 8, 8)
    vector = Vector(child, all_weights, "float32")
    copied = copy.deepcopy(child)  # what a running average is made from
    for each in (child, plain):
        each(x).square().sum().backward()
    vector.take_gradient()
    assert all(p.grad is None for p in child.parameters() if p.ndim > 1)
    with torch.no_grad():
        vector.values.copy_(vector.values.grad)  # type: ignore[arg-type]
    for ours, theirs in zip(child.parameters(), plain.parameters(), strict=True):
        if ours.ndim > 1:
            assert torch.allclose(ours, theirs.grad, rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]
    assert all(map(torch.equal, copied.parameters(), plain.parameters()))
