"""A depthwise convolution whose gradients are fast on a CPU: 5×5 kernels, small maps, strides in
bfloat16.

oneDNN has no kernel of its own for a depthwise convolution's weight gradient where the kernel is
wider than 3 or the map smaller than the kernel, and falls back to one that took 2.5 to 25 times as
long (single layers, batch 64). But the gradient of a few columns of the kernel is that of a
narrower convolution, over an input that is padded beforehand: so it is computed in strips of at
most three columns, which oneDNN is fast at. The input's gradient is, at stride 1, a convolution
itself, and computed as one: half the time of oneDNN's kernel for it. It has none in bfloat16 where
the stride s is not 1 (40 times as long): every s-th row and column of that gradient is a
convolution of stride 1 of the output's gradient, by every s-th row and column of the kernel. Where
the map is so small that calls count for more than pixels, it is computed in float32 instead.
"""

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_space.architecture import Padding
from search_space.network.padding import pad_same

_STRIP = 3  # columns of the kernel
_SMALL = 10  # pixels a side
_LOW = (torch.bfloat16, torch.float16)


def _needs_strips(x: Tensor, kernel: int) -> bool:
    return kernel > _STRIP or min(x.shape[2:]) < kernel


class _Depthwise(torch.autograd.Function):
    """The convolution as it is, but for how its gradients are computed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        to_x = (
            _to_input(gradient, x, weight, ctx.stride, ctx.padding)
            if ctx.needs_input_grad[0]
            else None
        )
        if _needs_strips(x, weight.shape[3]):
            return to_x, _to_weight(gradient, x, weight, ctx.stride, ctx.padding), None, None
        return (
            to_x,
            _gradients(gradient, x, weight, ctx.stride, (ctx.padding, ctx.padding), which=1),
            None,
            None,
        )


def _to_input(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Return the gradient with respect to the input."""
    if stride == 1:
        return functional.conv2d(
            gradient, weight.flip(2, 3), None, 1, weight.shape[2] - 1 - padding, groups=len(weight)
        )
    if x.dtype not in _LOW:
        return _gradients(gradient, x, weight, stride, (padding, padding), which=0)
    if max(x.shape[2:]) <= _SMALL:
        like_x = torch.empty_like(x, dtype=torch.float32)  # only its shape and layout count
        wide = _gradients(
            gradient.float(), like_x, weight.float(), stride, (padding, padding), which=0
        )
        return wide.to(x.dtype)
    kernel = weight.shape[2]
    reach = [(size - 1) * stride + kernel - padding for size in gradient.shape[2:]]
    covered = kernel >= stride and reach[0] >= x.shape[2] and reach[1] >= x.shape[3]
    found = torch.empty_like(x) if covered else torch.zeros_like(x)
    for row, column in itertools.product(range(min(stride, kernel)), repeat=2):
        taps = weight[:, :, row::stride, column::stride].flip(2, 3)
        spread = functional.conv2d(
            gradient, taps, None, 1, (taps.shape[2] - 1, taps.shape[3] - 1), groups=len(weight)
        )
        before, top = divmod(
            row - padding, stride
        )  # these taps see the padding, then row `top` and every next
        aside, left = divmod(column - padding, stride)
        phase = found[:, :, top::stride, left::stride]
        seen = spread[:, :, -before : phase.shape[2] - before, -aside : phase.shape[3] - aside]
        phase[:, :, : seen.shape[2], : seen.shape[3]] = seen
    return found


def _to_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Return the gradient with respect to the weight, strip by strip."""
    channels, _, height, width = weight.shape
    above = (
        padding if x.shape[2] < height else 0
    )  # elsewhere oneDNN itself pads above and below, in less time
    span = (gradient.shape[3] - 1) * stride  # between the first and the last place of a column
    strips = []
    for column in range(0, width, _STRIP):
        columns = min(_STRIP, width - column)
        left = padding - column  # below 0 this cuts off
        right = span + columns - left - x.shape[3]
        strip = weight.new_zeros(channels, 1, height, columns)
        if min(left, right) > -x.shape[3]:  # else these columns meet nothing but padding
            seen = functional.pad(x, (left, right, above, above))
            # Of the strip only its shape counts.
            strip = _gradients(gradient, seen, strip, stride, (padding - above, 0), which=1)
        strips.append(strip)
    return torch.cat(strips, 3)


def _gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    padding: tuple[int, int],
    *,
    which: int,
) -> Tensor:
    """Return the gradient with respect to the input (0) or the weight (1)."""
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [stride, stride],
        list(padding),
        [1, 1],
        False,
        [0, 0],
        len(weight),
        [which == 0, which == 1, False],
    )[which]
    return found


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel by itself, square, without bias."""

    def __init__(
        self, channels: int, kernel: int, stride: int, padding: Padding = "symmetric"
    ) -> None:
        self._same = padding == "same" and stride > 1  # at stride 1 both are one
        pixels = 0 if self._same else kernel // 2
        super().__init__(
            channels, channels, kernel, stride, padding=pixels, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to `[N, C, ⌈H/s⌉, ⌈W/s⌉]`."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if self._same:
            x = pad_same(x, kernel, stride)
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        weight, padding = self.weight, int(self.padding[0])
        unmet = padding - max(x.shape[2:]) + 1
        if (
            unmet > 0
        ):  # the kernel's outermost rows and columns meet nothing but padding on so small a map
            weight, padding = weight[:, :, unmet:-unmet, unmet:-unmet], padding - unmet
        if (
            torch.is_autocast_enabled("cpu") and x.dtype != torch.float64
        ):  # which autocast leaves as it is
            low = torch.get_autocast_dtype("cpu")
            x, weight = x.to(low), weight.to(low)
        if _needs_strips(x, weight.shape[3]) or (stride > 1 and x.dtype in _LOW):
            convolved: Tensor = _Depthwise.apply(x, weight, stride, padding)  # type: ignore[no-untyped-call]
            return convolved
        return functional.conv2d(x, weight, None, stride, padding, groups=len(weight))
