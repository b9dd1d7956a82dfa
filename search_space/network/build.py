"""From an architecture to a `torch.nn.Module` whose parameters have timm's names and shapes.

Reads `Architecture.blocks` and computes no width of its own.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_space.architecture import Activation, Architecture, Block
from search_space.network.depthwise import DepthwiseConv2d
from search_space.network.padding import pad_same

_SMALL_MAP = 16  # pixels

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "relu6": partial(nn.ReLU6, inplace=True),
    "silu": nn.SiLU,  # in place it would be copied first: its gradient takes the input
}


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to `[N, C', ⌈H/s⌉, ⌈W/s⌉]`."""
        return super().forward(pad_same(x, self.kernel_size[0], self.stride[0]))


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm that does not count its batches, for its momentum does not hang on them.

    Counting, and finding out whether to, was 1 to 2 % of a small child's step.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to the same shape."""
        running, weights = (self.running_mean, self.running_var), (self.weight, self.bias)
        assert self.momentum is not None
        return functional.batch_norm(x, *running, *weights, self.training, self.momentum, self.eps)


class _ChannelMeans(torch.autograd.Function):
    """The mean of each channel, `[N, C, H, W]` to `[N, C, 1, 1]`, whose gradient is not written out
    channels first.

    torch's own is: where the network is channels-last, that and adding it to the other gradients
    took a tenth of a child's step. It is spread over the pixels where it is added; but in bfloat16
    on a CPU that takes up to eight times as long as adding its copy, unless the channels are a
    multiple of 32, and so it is written out as the input lies.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        last = x.is_contiguous(memory_format=torch.channels_last)
        ctx.shape, ctx.format = x.shape, torch.channels_last if last else torch.contiguous_format
        if (
            last
            and x.device.type == "cpu"
            and x.dtype == torch.bfloat16
            and x.shape[2:].numel() > 1
        ):
            return functional.avg_pool2d(
                x, x.shape[2:]
            )  # the same numbers, in a half to a third of the time
        return x.mean((2, 3), keepdim=True)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        *_, height, width = ctx.shape
        each: Tensor = (gradient / (height * width)).expand(ctx.shape)
        written = each.device.type == "cpu" and each.dtype == torch.bfloat16
        return each.contiguous(memory_format=ctx.format) if written else each


class ChannelMeans(nn.Module):
    """The mean of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to `[N, C, 1, 1]`."""
        if not self.training:
            return x.mean((2, 3), keepdim=True)
        means: Tensor = _ChannelMeans.apply(x)  # type: ignore[no-untyped-call]
        return means


class PointwiseConv2d(nn.Conv2d):
    """A convolution of single pixels, which trains on a small map as the linear layer that it is.

    A matrix product starts at once, where oneDNN's convolution first lays its operands out anew: on
    maps of 2 to 4 pixels a side that took up to twice the time of a layer, in bfloat16 more than in
    float32.
    """

    def __init__(self, ins: int, outs: int, *, bias: bool = False) -> None:
        super().__init__(ins, outs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to `[N, C', H, W]`."""
        pixels = x.shape[2] * x.shape[3]
        small = _SMALL_MAP if x.device.type == "cpu" else 1  # more was not tried on a GPU
        if not self.training or pixels > small:
            return super().forward(x)
        return functional.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(
            0, 3, 1, 2
        )


class SqueezeExcite(nn.Module):
    """Gate each channel by a sigmoid of the image's own channel means (arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int, activation: Activation) -> None:
        super().__init__()
        self.pool = ChannelMeans()
        self.conv_reduce = PointwiseConv2d(channels, squeezed, bias=True)
        self.act1 = _ACTIVATIONS[activation]()
        self.conv_expand = PointwiseConv2d(squeezed, channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, H, W]` to the same shape."""
        means: Tensor = self.pool(x)
        if self.training and x.device.type == "cpu":
            return x * self._gate_in_float32(means)
        gate: Tensor = self.conv_expand(self.act1(self.conv_reduce(means)))
        return x * gate.sigmoid()

    def _gate_in_float32(self, means: Tensor) -> Tensor:
        """Return the gate, by the weights as they are in the means' precision.

        So small a product takes a CPU longer to begin in bfloat16 than to carry out in float32.
        """
        low, wide = means.dtype, torch.promote_types(means.dtype, torch.float32)

        def linear(layer: nn.Conv2d, x: Tensor) -> Tensor:
            assert layer.bias is not None
            return functional.linear(
                x, layer.weight.flatten(1).to(low).to(wide), layer.bias.to(wide)
            )

        with torch.autocast("cpu", enabled=False):
            gate = linear(
                self.conv_expand, self.act1(linear(self.conv_reduce, means.flatten(1).to(wide)))
            )
            return gate.sigmoid().to(low)[:, :, None, None]


class ResidualBlock(nn.Sequential):
    """A block's layers in a row, with its shortcut and drop-connect around them."""

    def __init__(self, block: Block, layers: "OrderedDict[str, nn.Module]") -> None:
        super().__init__(layers)
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, in_channels, in_size, in_size]` to `[N, out_channels, out_size, out_size]`."""
        residual: Tensor = super().forward(x)  # type: ignore[no-untyped-call]  # torch has no types there
        if self.block.skip == "none":
            return residual
        if self.training and self.block.drop_connect:
            keep = 1 - self.block.drop_connect
            residual = residual * torch.empty_like(residual[:, :1, :1, :1]).bernoulli_(keep).div_(
                keep
            )
        return residual + self._shortcut(x)

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.block.skip == "identity":
            return x
        pooled = functional.avg_pool2d(x, 3, self.block.stride, padding=1, count_include_pad=False)
        missing = self.block.out_channels - self.block.in_channels
        # A negative pad trims: the first channels keep their shortcut.
        return functional.pad(pooled, (0, 0, 0, 0, 0, missing)) if missing else pooled


class Network(nn.Module):
    """Stem, stages of blocks, head and classifier."""

    def __init__(self, architecture: Architecture, *, bn_momentum: float = 0.1) -> None:
        super().__init__()
        self.architecture = architecture
        self._bn_momentum = bn_momentum
        blocks, ends = architecture.blocks, architecture
        self.conv_stem = self._conv(3, ends.in_channels, ends.stem_channels, ends.stem_stride)
        self.bn1 = self._bn(ends.stem_channels)
        self.act1 = self._act()
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    *(
                        ResidualBlock(block, self._layers(block))
                        for block in blocks
                        if block.stage == stage
                    )
                )
                for stage in range(len(architecture.stages))
            )
        )
        self.conv_head = self._conv(1, blocks[-1].out_channels, ends.head_channels)
        self.bn2 = self._bn(ends.head_channels)
        self.act2 = self._act()
        self.pool = ChannelMeans()
        self.dropout = nn.Dropout(architecture.dropout)
        self.classifier = nn.Linear(ends.head_channels, ends.classes)
        self.apply(_initialise)

    def _conv(
        self, kernel: int, ins: int, outs: int, stride: int = 1, *, depthwise: bool = False
    ) -> nn.Conv2d:
        if depthwise:
            return DepthwiseConv2d(ins, kernel, stride, self.architecture.padding)
        if kernel == stride == 1:
            return PointwiseConv2d(ins, outs)
        # At stride 1 both paddings are one: an odd kernel has as much on either side.
        if self.architecture.padding == "same" and stride > 1:
            return SameConv2d(ins, outs, kernel, stride, bias=False)
        return nn.Conv2d(ins, outs, kernel, stride, padding=kernel // 2, bias=False)

    def _bn(self, channels: int) -> nn.BatchNorm2d:
        return BatchNorm2d(channels, eps=self.architecture.bn_eps, momentum=self._bn_momentum)

    def _act(self) -> nn.Module:
        return _ACTIVATIONS[self.architecture.activation]()

    def _layers(self, block: Block) -> "OrderedDict[str, nn.Module]":
        """Return a block's layers in order, under timm's names."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()

        def add(conv: str, number: int, layer: nn.Conv2d, *, act: bool = True) -> None:
            layers[conv] = layer
            layers[f"bn{number}"] = self._bn(layer.out_channels)
            if act:
                layers[f"act{number}"] = self._act()

        def add_se(channels: int) -> None:
            if block.se_channels:
                layers["se"] = SqueezeExcite(
                    channels, block.se_channels, self.architecture.se_activation
                )

        ins, mid, outs = block.in_channels, block.mid_channels, block.out_channels
        if block.op == "conv":
            add("conv", 1, self._conv(block.kernel, ins, outs, block.stride))
            add_se(outs)
        elif block.op == "identity":
            add("conv", 1, self._conv(1, ins, outs, block.stride), act=False)
        elif block.op == "sepconv":
            add("conv_dw", 1, self._conv(block.kernel, mid, mid, block.stride, depthwise=True))
            add_se(mid)
            add("conv_pw", 2, self._conv(1, mid, outs), act=False)
        else:
            add("conv_pw", 1, self._conv(1, ins, mid))
            add("conv_dw", 2, self._conv(block.kernel, mid, mid, block.stride, depthwise=True))
            add_se(mid)
            add("conv_pwl", 3, self._conv(1, mid, outs), act=False)
        return layers

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[N, in_channels, resolution, resolution]` to logits `[N, classes]`."""
        x = self.act1(self.bn1(self.conv_stem(x)))
        x = self.blocks(x)
        x = self.act2(self.bn2(self.conv_head(x)))
        logits: Tensor = self.classifier(self.dropout(self.pool(x).flatten(1)))
        return logits


def _initialise(module: nn.Module) -> None:
    """EfficientNet's release: He normal over the fan out for convolutions, uniform ±1/√classes."""
    if isinstance(module, nn.Conv2d):
        fan_out = (
            module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        )
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        bound = 1.0 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)


def build(architecture: Architecture, *, bn_momentum: float = 0.1) -> Network:
    """Build the network, freshly initialised from torch's global random state.

    Args:
        architecture: what to build.
        bn_momentum: weight of the newest batch in the running statistics. 0.1 suits short training;
            EfficientNet's full training has 0.01 (TensorFlow writes it 0.99).
    """
    return Network(architecture, bn_momentum=bn_momentum)
