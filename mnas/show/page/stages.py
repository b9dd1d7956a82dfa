"""A network as the papers' figures draw it: stage by stage, each block a box, the feature maps
between them.
"""

from dataclasses import dataclass

from search_space import Architecture, Block
from search_space.cost import blocks_cost, cost, ends_cost

BOXES = 6  # blocks drawn of a stage


@dataclass(frozen=True, slots=True)
class Box:
    """One block as a box."""

    name: str  # MBConv6
    kernel: int
    stride: int
    squeezed: bool
    skip: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A stage: what comes in, its boxes, what it costs."""

    name: str
    pixels: int  # a side, of what comes in
    channels_in: int
    channels: int
    boxes: tuple[Box, ...]
    more: int  # blocks not drawn
    share: float | None  # of the MACs


def _box(block: Block) -> Box:
    expansion = block.mid_channels // block.in_channels
    names = {
        "conv": "Conv",
        "sepconv": "SepConv",
        "mbconv": f"MBConv{expansion}",
        "identity": "Conv",
    }
    return Box(names[block.op], block.kernel, block.stride, block.se_channels > 0, block.skip)


def drawn(network: Architecture) -> list[Drawn]:
    """Return stem, stages and head of a network, from the image to the classes."""
    last, total = network.blocks[-1], cost(network).macs
    stem = Box("Conv", 3, network.stem_stride, False, "none")
    rows = [
        Drawn(
            "Stem", network.resolution, network.in_channels, network.stem_channels, (stem,), 0, None
        )
    ]
    pixels, channels = network.stem_size, network.stem_channels
    for number, stage in enumerate(network.stages):
        blocks = [block for block in network.blocks if block.stage == number]
        boxes = tuple(map(_box, blocks[:BOXES]))
        share = blocks_cost(blocks).macs / total
        more = max(len(blocks) - BOXES, 0)
        rows.append(
            Drawn(f"Stage {number + 1}", pixels, channels, stage.channels, boxes, more, share)
        )
        pixels, channels = -(-pixels // stage.stride), stage.channels
    ends = ends_cost(network, last.out_channels, last.out_size).macs / total
    head = Box("Conv", 1, 1, False, "none")
    return [*rows, Drawn("Head", pixels, channels, network.head_channels, (head,), 0, ends)]
