"""Gradients of depthwise convolutions, against those of float64."""

import copy
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from search_space.architecture import Padding
from search_space.network.build import build
from search_space.network.depthwise import DepthwiseConv2d
from search_space.zoo import ZOO


def gradients(layer: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of a loss that weighs every output differently: the outputs, and the gradients of weight and
    input.
    """
    x = x.detach().clone().requires_grad_()
    layer.zero_grad()
    out = layer(x)
    weigh = torch.linspace(-1, 1, out.numel(), dtype=x.dtype).view_as(out)
    (out * weigh).sum().backward()
    assert layer.weight.grad is not None
    assert x.grad is not None
    return out.detach(), layer.weight.grad.clone(), x.grad


@settings(deadline=None, max_examples=60)
@given(
    channels=st.integers(1, 9),
    kernel=st.sampled_from([1, 3, 5, 7, 9]),
    stride=st.integers(1, 3),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    images=st.integers(1, 3),
    last=st.booleans(),
)
def test_gradients_are_those_of_a_plain_convolution_in_float64(
    channels: int, kernel: int, stride: int, height: int, width: int, images: int, last: bool
) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(channels, kernel, stride)
    exact = nn.Conv2d(
        channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False
    ).double()
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(images, channels, height, width)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    for ours, theirs in zip(gradients(layer, x), gradients(exact, x.double()), strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours.double(), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kernel", "size"), [(5, 16), (3, 2)])
def test_the_strips_are_used_where_onednn_has_no_kernel(kernel: int, size: int) -> None:
    layer = DepthwiseConv2d(8, kernel, 1)
    out = layer(torch.randn(2, 8, size, size))
    assert type(out.grad_fn).__name__ == "_DepthwiseBackward"
    assert (
        type(layer.eval()(torch.randn(2, 8, size, size)).grad_fn).__name__ != "_DepthwiseBackward"
    )


def test_taps_that_meet_only_padding_are_not_trained() -> None:
    layer = DepthwiseConv2d(8, 5, 1)
    shapes = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda saved: shapes.append(saved.shape) or saved, lambda saved: saved
    ):
        out = layer(torch.randn(2, 8, 2, 2))
    assert (8, 1, 3, 3) in shapes
    assert (8, 1, 5, 5) not in shapes
    out.sum().backward()
    assert layer.weight.grad is not None
    assert torch.count_nonzero(layer.weight.grad.sum(0)) == 9


@settings(deadline=None, max_examples=60)
@given(
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 3),
    padding=st.sampled_from(get_args(Padding)),
    height=st.integers(1, 14),
    width=st.integers(1, 14),
)
def test_gradients_in_bfloat16_are_those_of_float64_as_near_as_bfloat16_goes(
    kernel: int, stride: int, padding: Padding, height: int, width: int
) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(6, kernel, stride, padding)
    exact = copy.deepcopy(layer).double()
    x = torch.randn(4, 6, height, width).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(layer, x)
    assert found[0].dtype == torch.bfloat16
    assert found[1].dtype == torch.float32  # as the weight
    for ours, theirs in zip(found, gradients(exact, x.double()), strict=True):
        assert (ours.double() - theirs).norm() < 0.01 * theirs.norm()


def test_a_stride_in_bfloat16_has_its_gradient_from_here() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        out = DepthwiseConv2d(8, 3, 2)(torch.randn(2, 8, 16, 16))
    assert type(out.grad_fn).__name__ == "_DepthwiseBackward"


@pytest.mark.parametrize(
    ("kernel", "size", "before", "after"), [(3, 8, 0, 1), (3, 7, 1, 1), (5, 8, 1, 2), (5, 3, 2, 2)]
)
def test_tensorflows_padding_lays_what_is_odd_right_and_down(
    kernel: int, size: int, before: int, after: int
) -> None:
    torch.manual_seed(0)
    layer, plain = (
        DepthwiseConv2d(3, kernel, 2, "same"),
        nn.Conv2d(3, 3, kernel, 2, groups=3, bias=False),
    )
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, size, size)
    padded = functional.pad(x, (before, after, before, after))
    for ours, theirs in zip(gradients(layer, x)[:2], gradients(plain, padded)[:2], strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_3x3_on_a_large_map_is_left_as_it_is() -> None:
    out = DepthwiseConv2d(8, 3, 1)(torch.randn(2, 8, 16, 16))
    assert type(out.grad_fn).__name__ == "ConvolutionBackward0"


def test_no_gradient_of_the_input_is_computed_where_none_is_wanted() -> None:
    x = torch.randn(2, 4, 8, 8)
    layer = DepthwiseConv2d(4, 5, 1)
    layer(x).sum().backward()
    assert x.grad is None
    assert layer.weight.grad is not None


def test_every_depthwise_layer_of_a_network_is_one() -> None:
    layers = [
        m
        for m in build(ZOO["efficientnet-b0"]).modules()
        if isinstance(m, nn.Conv2d) and m.groups > 1
    ]
    assert len(layers) == 16
    assert all(isinstance(layer, DepthwiseConv2d) for layer in layers)
