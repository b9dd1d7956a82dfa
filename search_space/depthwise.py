"""A depthwise convolution that trains as fast on a CPU with 5×5 kernels and small maps as with 3×3 on large ones.

oneDNN has no kernel of its own for a depthwise convolution's weight gradient where the kernel is wider than 3 or the
map smaller than the kernel, and falls back to one that took 2.5 to 25 times as long (single layers, batch 64). But the
gradient of a few columns of the kernel is that of a narrower convolution, over an input that is padded beforehand:
so it is computed in strips of at most three columns, which oneDNN is fast at.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_STRIP = 3  # columns of the kernel


class _Strips(torch.autograd.Function):
    """The convolution as it is, but for how its weight gradient is computed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = _gradients(gradient, x, weight, stride, padding, which=0)
        channels, _, height, width = weight.shape
        span = (gradient.shape[3] - 1) * stride  # between the first and the last place of a column
        strips = []
        for column in range(0, width, _STRIP):
            columns = min(_STRIP, width - column)
            left = padding - column  # below 0 this cuts off
            right = span + columns - left - x.shape[3]
            strip = weight.new_zeros(channels, 1, height, columns)
            if min(left, right) > -x.shape[3]:  # else these columns meet nothing but padding
                seen = functional.pad(x, (left, right, padding, padding))
                strip = _gradients(gradient, seen, strip, stride, 0, which=1)  # of the strip only its shape counts
            strips.append(strip)
        return to_x, torch.cat(strips, 3), None, None


def _gradients(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, *, which: int) -> Tensor:
    """Return the gradient with respect to the input (0) or the weight (1)."""
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [stride, stride],
        [padding, padding],
        [1, 1],
        False,
        [0, 0],
        len(weight),
        [which == 0, which == 1, False],
    )[which]
    return found


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel by itself, square, without bias."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__(channels, channels, kernel, stride, padding=kernel // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to `[N, C, ⌈H/s⌉, ⌈W/s⌉]`."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        slow = kernel > _STRIP or min(x.shape[2:]) < kernel
        if slow and self.training and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            convolved: Tensor = _Strips.apply(x, self.weight, stride, kernel // 2)  # type: ignore[no-untyped-call]
            return convolved
        return super().forward(x)
