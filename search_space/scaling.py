"""Compound scaling (EfficientNet, arXiv 1905.11946, §3.3): one network to a family.

Depth grows by `depth_base`^φ, width by `width_base`^φ, resolution by `resolution_base`^φ (the
paper's α, β, γ), with depth_base · width_base² · resolution_base² ≈ 2, so that MACs grow by 2^φ
(Eq. 3).

The *released* B1 to B7 are not these powers: they are a table set by hand (tensorflow/tpu,
efficientnet_builder.py), which `EFFICIENTNET` holds.
"""

import math
from dataclasses import dataclass, replace

from search_space.architecture import Architecture
from search_space.errors import require

DIVISOR = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Factors:
    """How much wider, deeper and larger than the baseline a network is, and its dropout."""

    width: float
    depth: float
    resolution: float  # of the baseline's pixels a side
    dropout: float | None = None  # None: the baseline's own
    fixed_ends: bool = (
        False  # leave stem and head, and the repeats of the first and last stage, as they are
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Coefficients:
    """The compound coefficients; the defaults are the paper's for EfficientNet-B0."""

    depth_base: float = 1.2
    width_base: float = 1.1
    resolution_base: float = 1.15

    def at(self, phi: float) -> Factors:
        """Return the factors for the compound coefficient φ (Eq. 3).

        Raises:
            InputError: when φ is negative or not a number.
        """
        require(0 <= phi <= 20, "phi", phi, "a number from 0 to 20")
        return Factors(
            width=self.width_base**phi,
            depth=self.depth_base**phi,
            resolution=self.resolution_base**phi,
        )


EFFICIENTNET: dict[str, Factors] = {
    name: Factors(width=width, depth=depth, resolution=pixels / 224, dropout=dropout)
    for name, width, depth, pixels, dropout in (
        ("b0", 1.0, 1.0, 224, 0.2),
        ("b1", 1.0, 1.1, 240, 0.2),
        ("b2", 1.1, 1.2, 260, 0.3),
        ("b3", 1.2, 1.4, 300, 0.3),
        ("b4", 1.4, 1.8, 380, 0.4),
        ("b5", 1.6, 2.2, 456, 0.4),
        ("b6", 1.8, 2.6, 528, 0.5),
        ("b7", 2.0, 3.1, 600, 0.5),
    )
}
# Released later: B8 (arXiv 1911.09665) and L2 (arXiv 1911.04252).
EFFICIENTNET_LARGE: dict[str, Factors] = {
    "b8": Factors(width=2.2, depth=3.6, resolution=672 / 224, dropout=0.5),
    "l2": Factors(width=4.3, depth=5.3, resolution=800 / 224, dropout=0.5),
}
# tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py; the baseline is B0 without SE.
EFFICIENTNET_LITE: dict[str, Factors] = {
    name: Factors(
        width=width, depth=depth, resolution=pixels / 224, dropout=dropout, fixed_ends=True
    )
    for name, width, depth, pixels, dropout in (
        ("lite0", 1.0, 1.0, 224, 0.2),
        ("lite1", 1.0, 1.1, 240, 0.2),
        ("lite2", 1.1, 1.2, 260, 0.3),
        ("lite3", 1.2, 1.4, 280, 0.3),
        ("lite4", 1.4, 1.8, 300, 0.3),
    )
}
TABLES = {
    "efficientnet": EFFICIENTNET,
    "efficientnet-large": EFFICIENTNET_LARGE,
    "efficientnet-lite": EFFICIENTNET_LITE,
}


def round_channels(channels: float) -> int:
    """Round to the nearest multiple of 8 that is not below 0.9 of the value (the
    release's rule).
    """
    rounded = max(DIVISOR, int(channels + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded if rounded >= 0.9 * channels else rounded + DIVISOR


def scale(architecture: Architecture, factors: Factors) -> Architecture:
    """Return the architecture made wider, deeper and larger by `factors`.

    Channels of stem, stages and head go through `round_channels`, repeats are rounded up, the
    resolution goes to the nearest pixel.
    """

    def widen(channels: int) -> int:
        # The release leaves channels alone at width 1, whatever they are a multiple of.
        return channels if factors.width == 1 else round_channels(channels * factors.width)

    def deepen(repeats: int, number: int) -> int:
        at_an_end = number in (0, len(architecture.stages) - 1)
        return repeats if factors.fixed_ends and at_an_end else math.ceil(repeats * factors.depth)

    stages = tuple(
        replace(stage, channels=widen(stage.channels), repeats=deepen(stage.repeats, number))
        for number, stage in enumerate(architecture.stages)
    )
    stem, head = architecture.stem_channels, architecture.head_channels
    return replace(
        architecture,
        stages=stages,
        stem_channels=stem if factors.fixed_ends else widen(stem),
        head_channels=head if factors.fixed_ends else widen(head),
        resolution=round(architecture.resolution * factors.resolution),
        dropout=architecture.dropout if factors.dropout is None else factors.dropout,
    )
