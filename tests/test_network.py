import copy
import logging
import warnings

import numpy as np
import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from search_space import Architecture, Stage
from search_space.cost import cost
from search_space.network.build import (
    BatchNorm2d,
    ChannelMeans,
    PointwiseConv2d,
    SqueezeExcite,
    build,
)
from search_space.public_benchmarks import BENCHMARKS
from search_space.scaling import EFFICIENTNET, scale
from search_space.zoo import ZOO
from tests import golden
from tests.test_space import SHIPPED


def counted(architecture: Architecture) -> tuple[int, int, int]:
    """MACs by fvcore, parameters and convolution outputs of the built module."""
    network = build(architecture).eval()
    outputs = 0

    def count(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal outputs
        outputs += output.numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(count)
    image = torch.zeros(
        1, architecture.in_channels, architecture.resolution, architecture.resolution
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore's tracing warns about itself
        flops = FlopCountAnalysis(network, image).unsupported_ops_warnings(False).by_operator()
    params = sum(parameter.numel() for parameter in network.parameters())
    return flops["conv"] + flops["linear"], params, outputs


@pytest.fixture(autouse=True)
def _quiet_fvcore() -> None:
    logging.getLogger("fvcore").setLevel(logging.ERROR)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_arithmetic_fvcore_and_module_agree_on_published_networks(name: str) -> None:
    assert counted(ZOO[name]) == cost(ZOO[name])


@pytest.mark.parametrize(
    ("name", "part"),
    [(name, part) for name in sorted(SHIPPED) for part in range(1 if name in BENCHMARKS else 3)],
)
def test_arithmetic_fvcore_and_module_agree_on_random_genotypes(name: str, part: int) -> None:
    space, rng = SHIPPED[name], np.random.default_rng(part)
    for _ in range(30 if name in BENCHMARKS else 40):
        architecture = space.decode(space.random(rng))
        assert counted(architecture) == cost(architecture), architecture.block_strings


@pytest.mark.parametrize("name", sorted(ZOO))
def test_published_networks_have_as_many_state_dict_keys_as_timm_gives_them(name: str) -> None:
    assert len(build(ZOO[name]).state_dict()) == golden.ZOO[name].keys


@pytest.mark.parametrize("name", ["b1", "b4"])
def test_scaled_networks_have_timms_key_count_too(name: str) -> None:
    with torch.device("meta"):
        network = build(scale(ZOO["efficientnet-b0"], EFFICIENTNET[name]))
    assert len(network.state_dict()) == golden.SCALED[name].keys


def test_parameters_have_timms_names() -> None:
    names = set(build(ZOO["efficientnet-b0"]).state_dict())
    assert {
        "conv_stem.weight",
        "bn1.running_var",
        "blocks.0.0.conv_dw.weight",
        "blocks.0.0.se.conv_reduce.bias",
        "blocks.0.0.conv_pw.weight",
        "blocks.0.0.bn2.weight",
        "blocks.3.2.conv_pwl.weight",
        "blocks.3.2.bn3.num_batches_tracked",
        "conv_head.weight",
        "bn2.bias",
        "classifier.weight",
    } <= names
    stage = Stage(op="conv", kernel=3, stride=1, channels=8, repeats=1, se_ratio=0.25)
    names = set(build(Architecture(stages=(stage,))).state_dict())
    assert {
        "blocks.0.0.conv.weight",
        "blocks.0.0.bn1.weight",
        "blocks.0.0.se.conv_expand.weight",
    } <= names


def one_block(**fields: object) -> torch.nn.Module:
    defaults: dict[str, object] = {
        "op": "sepconv",
        "kernel": 3,
        "stride": 1,
        "channels": 8,
        "repeats": 1,
    }
    architecture = Architecture(
        stages=(Stage(**(defaults | fields)),), stem_channels=8, resolution=8
    )  # type: ignore[arg-type]
    block = build(architecture).blocks[0][0]  # type: ignore[index]
    # Batch norm that lets nothing through: what comes out is the shortcut alone.
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.zeros_(module.weight)
    assert isinstance(block, torch.nn.Module)
    return block.eval()


def test_an_identity_shortcut_is_the_input() -> None:
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(one_block(skip="identity")(x), x)


def test_no_shortcut_is_nothing() -> None:
    assert one_block(skip="none")(torch.randn(2, 8, 4, 4)).abs().max() == 0


def test_a_pooling_shortcut_averages_three_by_three() -> None:
    x = torch.randn(1, 8, 4, 4)
    out = one_block(skip="pool")(x)
    assert torch.isclose(out[0, 3, 1, 1], x[0, 3, 0:3, 0:3].mean(), atol=1e-6)
    assert torch.isclose(
        out[0, 3, 0, 0], x[0, 3, 0:2, 0:2].mean(), atol=1e-6
    )  # the border is not averaged in


def test_a_pooling_shortcut_follows_the_stride_and_leaves_new_channels_empty() -> None:
    x = torch.randn(1, 8, 5, 5)
    out = one_block(skip="pool", stride=2, channels=12)(x)
    assert out.shape == (1, 12, 3, 3)
    assert torch.allclose(out[0, :8, 1, 1], x[0, :, 1:4, 1:4].mean((1, 2)), atol=1e-6)
    assert out[0, 8:].abs().max() == 0


def test_a_pooling_shortcut_to_fewer_channels_keeps_the_first() -> None:
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(one_block(skip="pool", channels=5)(x), one_block(skip="pool")(x)[:, :5])


def test_drop_connect_drops_the_residual_of_some_images_and_keeps_the_expectation() -> None:
    stage = Stage(op="sepconv", kernel=3, stride=1, channels=4, repeats=2)
    block = build(
        Architecture(stages=(stage,), stem_channels=4, drop_connect=0.8, resolution=4)
    ).blocks[0][1]  # type: ignore[index]
    assert isinstance(block, torch.nn.Module)
    assert block.block.drop_connect == pytest.approx(0.4)  # type: ignore[union-attr]
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    x = torch.randn(1, 4, 4, 4).repeat(4000, 1, 1, 1)
    torch.manual_seed(0)
    block.training = True
    dropped = block(x) - x
    block.training = False
    whole = block(x[:1]) - x[:1]
    assert torch.isclose(
        (dropped.abs().amax((1, 2, 3)) == 0).float().mean(), torch.tensor(0.4), atol=0.03
    )
    assert torch.allclose(dropped.mean(0), whole[0], atol=0.05 * whole.abs().max().item())


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_random_networks_train_one_step_on_every_parameter(name: str) -> None:
    space, rng = SHIPPED[name], np.random.default_rng(7)
    for _ in range(5):
        architecture = space.decode(space.random(rng))
        network = build(architecture)
        image = torch.randn(
            2, architecture.in_channels, architecture.resolution, architecture.resolution
        )
        logits = network(image)
        assert logits.shape == (2, architecture.classes)
        logits.square().mean().backward()
        assert all(
            p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters()
        )


def test_batch_norm_is_torchs_own_but_for_the_count() -> None:
    ours, theirs = BatchNorm2d(3, eps=1e-3, momentum=0.3), nn.BatchNorm2d(3, eps=1e-3, momentum=0.3)
    for train in (True, True, False):
        x = torch.randn(4, 3, 5, 5)
        assert torch.equal(ours.train(train)(x), theirs.train(train)(x))
    assert torch.equal(ours.running_mean, theirs.running_mean)
    assert torch.equal(ours.running_var, theirs.running_var)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_the_gradient_of_a_channels_mean_is_torchs_own() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ChannelMeans(), x)


@pytest.mark.parametrize("last", [False, True])
def test_the_gradient_of_a_channels_mean_in_bfloat16_has_the_inputs_memory_format(
    last: bool,
) -> None:
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(2, 24, 4, 4).bfloat16().contiguous(memory_format=layout).requires_grad_()
    weigh = torch.arange(48.0).bfloat16().view(2, 24, 1, 1)
    (found,) = torch.autograd.grad(ChannelMeans()(x), x, weigh)
    assert torch.equal(found, (weigh / 16).expand(x.shape))
    assert found.is_contiguous(memory_format=layout)


@pytest.mark.parametrize(
    ("height", "width", "linear"), [(1, 1, True), (2, 2, True), (2, 8, True), (5, 4, False)]
)
@pytest.mark.parametrize("bias", [False, True])
def test_a_pointwise_convolution_trains_a_small_map_as_a_linear_layer(
    height: int, width: int, linear: bool, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = PointwiseConv2d(6, 10, bias=bias)
    x = (
        torch.randn(3, 6, height, width)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
    )
    weigh = torch.randn(3, 10, height, width)
    trained, evaluated = layer.train()(x), layer.eval()(x)
    wanted = [x, *layer.parameters()]
    for ours, theirs in zip(
        (trained, *torch.autograd.grad(trained, wanted, weigh)),
        (evaluated, *torch.autograd.grad(evaluated, wanted, weigh)),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert trained.is_contiguous(memory_format=torch.channels_last)
    assert ("Convolution" not in type(trained.grad_fn).__name__) == linear


def test_squeeze_and_excite_trains_what_it_evaluates() -> None:
    torch.manual_seed(0)
    se, x = SqueezeExcite(12, 3, "silu"), torch.randn(4, 12, 5, 5)
    assert torch.allclose(se.train()(x), se.eval()(x), atol=1e-6)
    exact, wide = se.train().double(), x.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: exact(x), (wide, *exact.parameters()))


def test_squeeze_and_excite_in_bfloat16_finds_its_gate_in_float32() -> None:
    torch.manual_seed(0)
    se, x = (
        SqueezeExcite(12, 3, "relu").train(),
        torch.randn(4, 12, 5, 5).bfloat16().requires_grad_(),
    )
    exact, inside = copy.deepcopy(se).double(), []
    se.act1.register_forward_hook(lambda module, hidden, out: inside.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        out = se(x)
    assert (out.dtype, inside) == (torch.bfloat16, [torch.float32])
    weigh, wide = torch.randn(4, 12, 5, 5), x.detach().double().requires_grad_()
    found = torch.autograd.grad(out, [x, *se.parameters()], weigh.bfloat16())
    right = torch.autograd.grad(exact(wide), [wide, *exact.parameters()], weigh.double())
    for ours, theirs in zip(found, right, strict=True):
        assert (ours - theirs).norm() < 0.01 * theirs.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_squeeze_and_excite_trains_held_in_any_precision(dtype: torch.dtype) -> None:
    se, x = SqueezeExcite(12, 3, "relu").to(dtype).train(), torch.randn(4, 12, 5, 5, dtype=dtype)
    out = se(x)
    out.sum().backward()
    assert {out.dtype} == {p.grad.dtype for p in se.parameters() if p.grad is not None} == {dtype}
