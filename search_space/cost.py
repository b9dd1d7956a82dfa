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
    activations: int  # elements that convolutions and linears put out (pycls' measure of memory traffic)

    @classmethod
    def total(cls, costs: Iterable["Cost"]) -> "Cost":
        """Add up one or more."""
        return cls(*map(sum, zip(*costs, strict=True)))


def _conv(kernel: int, ins: int, outs: int, size: int, groups: int = 1) -> Cost:
    """Price a k×k convolution without bias to `size`×`size` pixels, and the batch norm behind it."""
    weights = kernel * kernel * ins // groups * outs
    return Cost(weights * size * size, weights + 2 * outs, outs * size * size)


def _linear(ins: int, outs: int) -> Cost:
    """Price a linear layer with bias (a 1×1 convolution on one pixel is one)."""
    return Cost(ins * outs, ins * outs + outs, outs)


def _layers(block: Block) -> Iterator[Cost]:
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


def blocks_cost(blocks: Iterable[Block]) -> Cost:
    """Price some blocks of a network; of none, nothing."""
    return Cost.total(itertools.chain([Cost(0, 0, 0)], *map(_layers, blocks)))


def _stem_cost(architecture: Architecture) -> Cost:
    return _conv(3, architecture.in_channels, architecture.stem_channels, architecture.stem_size)


def _head_cost(architecture: Architecture, channels: int, size: int) -> Cost:
    """Price the head's convolution, to which so many channels and pixels a side come, and the classifier."""
    head = _conv(1, channels, architecture.head_channels, size)
    return Cost.total([head, _linear(architecture.head_channels, architecture.classes)])


def ends_cost(architecture: Architecture, channels: int, size: int) -> Cost:
    """Price stem, head and classifier around blocks that end with so many channels and pixels a side."""
    return Cost.total([_stem_cost(architecture), _head_cost(architecture, channels, size)])


def stage_costs(architecture: Architecture) -> list[Cost]:
    """Price the stem, each stage, and the head with the classifier; they add up to `cost(architecture)`."""
    last = architecture.blocks[-1]
    stages = [
        blocks_cost(block for block in architecture.blocks if block.stage == number)
        for number in range(len(architecture.stages))
    ]
    return [_stem_cost(architecture), *stages, _head_cost(architecture, last.out_channels, last.out_size)]


def cost(architecture: Architecture) -> Cost:
    """Price a whole network: stem, blocks, head, classifier."""
    last = architecture.blocks[-1]
    return Cost.total([ends_cost(architecture, last.out_channels, last.out_size), blocks_cost(architecture.blocks)])


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
                ((*best[:index], choice, *best[index + 1 :]) for choice in range(len(decision.choices))), key=price
            )
        if price(best) == price(before):
            return best
