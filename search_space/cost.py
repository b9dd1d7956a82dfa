"""What a network costs, by arithmetic over its resolved blocks: microseconds, and no torch.

`macs` are the multiply-adds of convolutions and linears for one image: what the papers call FLOPS
and fvcore reports in its `conv` and `linear` rows. Batch norm, activations and pooling count 0.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from search_space.architecture import Architecture, Block
from search_space.space import Genotype, Space

Metric = Literal["macs", "params"]


class Cost(NamedTuple):
    """Cost of one network on one image."""

    macs: int  # multiply-adds
    params: int  # trainable numbers: weights, biases, batch-norm scales and shifts
    activations: (
        int  # elements that convolutions and linears put out (pycls' measure of memory traffic)
    )

    @classmethod
    def total(cls, costs: Iterable["Cost"]) -> "Cost":
        """Add up one or more."""
        return cls(*map(sum, zip(*costs, strict=True)))


# Weights, each used once a pixel; biases, or batch norm's scales and shifts; channels and pixels
# that come out. A plain tuple: naming the four took as long as all the arithmetic.
_Layer = tuple[int, int, int, int]


def _conv(kernel: int, ins: int, outs: int, size: int, groups: int = 1) -> _Layer:
    """Describe a k×k convolution without bias to `size`×`size` pixels, and the batch norm behind
    it.
    """
    return kernel * kernel * ins // groups * outs, 2 * outs, outs, size * size


def _linear(ins: int, outs: int) -> _Layer:
    """Describe a linear layer with bias (a 1×1 convolution on one pixel is one)."""
    return ins * outs, outs, outs, 1


def _layers(block: Block) -> Iterator[_Layer]:
    mid = block.mid_channels
    if block.op in ("conv", "identity"):
        yield _conv(block.kernel, block.in_channels, block.out_channels, block.out_size)
        gated = block.out_channels
    else:
        if block.op == "mbconv":
            yield _conv(1, block.in_channels, mid, block.in_size)
        yield _conv(block.kernel, mid, mid, block.out_size, groups=mid)
        yield _conv(1, mid, block.out_channels, block.out_size)
        gated = mid
    if block.se_channels:
        yield _linear(gated, block.se_channels)
        yield _linear(block.se_channels, gated)


def _total(layers: Iterable[_Layer]) -> Cost:
    macs = params = activations = 0
    for weights, others, channels, pixels in layers:
        macs += weights * pixels
        params += weights + others
        activations += channels * pixels
    return Cost(macs, params, activations)


def blocks_cost(blocks: Iterable[Block]) -> Cost:
    """Price some blocks of a network; of none, nothing."""
    return _total(layer for block in blocks for layer in _layers(block))


def _stem(architecture: Architecture) -> _Layer:
    return _conv(3, architecture.in_channels, architecture.stem_channels, architecture.stem_size)


def _head(architecture: Architecture, channels: int, size: int) -> tuple[_Layer, _Layer]:
    """Describe the head's convolution, to which so many channels and pixels a side come, and the
    classifier.
    """
    head = _conv(1, channels, architecture.head_channels, size)
    return head, _linear(architecture.head_channels, architecture.classes)


def ends_cost(architecture: Architecture, channels: int, size: int) -> Cost:
    """Price stem, head and classifier around blocks that end with so many channels and pixels a
    side.
    """
    return _total([_stem(architecture), *_head(architecture, channels, size)])


def stage_costs(architecture: Architecture) -> list[Cost]:
    """Price the stem, each stage, and the head with the classifier; they add up to
    `cost(architecture)`.
    """
    last = architecture.blocks[-1]
    stages = [
        blocks_cost(block for block in architecture.blocks if block.stage == number)
        for number in range(len(architecture.stages))
    ]
    return [
        _total([_stem(architecture)]),
        *stages,
        _total(_head(architecture, last.out_channels, last.out_size)),
    ]


def cost(architecture: Architecture) -> Cost:
    """Price a whole network: stem, blocks, head, classifier."""
    last = architecture.blocks[-1]
    ends = [_stem(architecture), *_head(architecture, last.out_channels, last.out_size)]
    return _total(itertools.chain(ends, *map(_layers, architecture.blocks)))


def cheapest(space: Space, metric: Metric) -> Genotype:
    """Find the genotype of least cost, one decision at a time until none gets cheaper.

    Exact where a decision's cheapest choice does not hang on the others, as in every factorized
    space: fewer channels, fewer repeats, a smaller kernel are cheaper whatever surrounds them.
    """

    def price(genotype: Genotype) -> int:
        value: int = getattr(cost(space.decode(genotype)), metric)
        return value

    best = tuple(0 for _ in space.decisions)
    while True:
        before = best
        for index, decision in enumerate(space.decisions):
            best = min(
                (
                    (*best[:index], choice, *best[index + 1 :])
                    for choice in range(len(decision.choices))
                ),
                key=price,
            )
        if price(best) == price(before):
            return best
