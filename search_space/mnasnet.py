"""The factorized hierarchical search space of MnasNet (arXiv 1807.11626, §4.1 and Fig. 4), as data.

Around a reference network, MobileNetV2, each stage chooses for all its blocks alike: the op, the
kernel, the SE ratio, the skip, its channels (0.75, 1, 1.25 × the reference) and its repeats (the
reference's −1, +0, +1): 4·2·2·3·3·3 = 432 answers a stage.

Differs from the paper:
- Channels from 96 up are multiples of 16, ties going down, below that multiples of 8. With
  multiples of 8 alone the published winners' 112 and 192 would lie outside the space.
- A choice of channels that rounds to the reference moves on by one step, so that there are three.
- The pooling skip is defined in `architecture.Stage`; the paper only names it.
- `repeats` −1 of a one-block stage leaves one block: a duplicate of +0.
"""

from dataclasses import replace

from search_space.architecture import Activation, Architecture, Stage
from search_space.errors import require
from search_space.scaling import Factors, scale
from search_space.space import Decision, Space
from search_space.zoo import ZOO

OPS = ("conv", "sepconv", "mbconv3", "mbconv6")
KERNELS = (3, 5)
SE_RATIOS = (0.0, 0.25)
SKIPS = ("pool", "identity", "none")


def _step(channels: float) -> int:
    return 16 if channels >= 96 else 8


def _nearest(channels: float) -> int:
    """Round to the nearest step, ties down."""
    step = _step(channels)
    return -int(-(channels / step - 0.5) // 1) * step


def channel_choices(reference: int) -> tuple[int, int, int]:
    """Return 0.75, 1 and 1.25 × the reference, rounded and distinct: 96 gives 72, 96, 112.

    Raises:
        InputError: for a reference under 16, which has nothing below it.
    """
    require(reference >= 16, "channels", reference, "16 or more in a reference network")
    low = min(_nearest(0.75 * reference), reference - 8)
    high = max(_nearest(1.25 * reference), reference + 8)
    return low, reference, high


def repeat_choices(reference: int) -> tuple[int, int, int]:
    """Return the reference's repeats −1, +0, +1, at least one."""
    return max(1, reference - 1), reference, reference + 1


def factorized(reference: Architecture) -> Space:
    """Make the factorized hierarchical space around a reference network."""
    decisions = []
    for number, stage in enumerate(reference.stages, start=1):
        decisions += [
            Decision(number, "op", OPS),
            Decision(number, "kernel", KERNELS),
            Decision(number, "se_ratio", SE_RATIOS),
            Decision(number, "skip", SKIPS),
            Decision(number, "channels", channel_choices(stage.channels)),
            Decision(number, "repeats", repeat_choices(stage.repeats)),
        ]
    return Space(reference, tuple(decisions))


def imagenet(
    *,
    resolution: int = 224,
    in_channels: int = 3,
    classes: int = 1000,
    activation: Activation = "silu",
    dropout: float = 0.2,
    drop_connect: float = 0.2,
    bn_eps: float = 1e-3,
) -> Space:
    """Return MnasNet's own space: seven stages around MobileNetV2, 432⁷ genotypes.

    The defaults are EfficientNet's, whose B0 was found in this space; MnasNet's networks use ReLU.
    """
    return factorized(
        replace(
            ZOO["mobilenet-v2"],
            resolution=resolution,
            in_channels=in_channels,
            classes=classes,
            activation=activation,
            se_activation=activation,
            dropout=dropout,
            drop_connect=drop_connect,
            bn_eps=bn_eps,
        )
    )


def _with_strides(reference: Architecture, strides: tuple[int, ...]) -> tuple[Stage, ...]:
    return tuple(
        replace(stage, stride=stride)
        for stage, stride in zip(reference.stages, strides, strict=True)
    )


def small(
    *,
    resolution: int = 32,
    in_channels: int = 3,
    classes: int = 10,
    activation: Activation = "silu",
    dropout: float = 0.1,
    drop_connect: float = 0.0,
    width: float = 1.0,
) -> Space:
    """Return the seven-stage space for images of about 32 pixels.

    The stem and stage 2 keep the resolution that ImageNet's halve, so 32 pixels end at 4 as 224 do
    at 7. With `width` below 1 all channels are fewer, but 16 at least in a stage, and the genotypes
    are the same: children cheap enough for CPUs, or a proxy of the wide ones.
    """
    require(0 < width <= 8, "width", width, "a number above 0, to 8")
    reference = imagenet(
        resolution=resolution,
        in_channels=in_channels,
        classes=classes,
        activation=activation,
        dropout=dropout,
        drop_connect=drop_connect,
    ).template
    reference = replace(
        reference, stem_stride=1, stages=_with_strides(reference, (1, 1, 2, 2, 1, 2, 1))
    )
    reference = scale(reference, Factors(width=width, depth=1, resolution=1))
    stages = (replace(stage, channels=max(16, stage.channels)) for stage in reference.stages)
    return factorized(replace(reference, stages=tuple(stages)))


_TINY = (
    "ds_r1_k3_s1_c16",
    "ir_r2_k3_s2_e6_c24",
    "ir_r2_k3_s1_e6_c32",
    "ir_r2_k3_s2_e6_c48",
    "ir_r1_k3_s1_e6_c64",
)


def tiny(
    *,
    resolution: int = 28,
    in_channels: int = 1,
    classes: int = 10,
    activation: Activation = "relu",
) -> Space:
    """Return a five-stage space whose networks train in seconds on one CPU core: the
    quick start's.
    """
    reference = Architecture(
        stages=tuple(map(Stage.parse, _TINY)),
        stem_channels=16,
        head_channels=256,
        in_channels=in_channels,
        resolution=resolution,
        classes=classes,
        activation=activation,
        se_activation=activation,
        dropout=0.1,
    )
    return factorized(reference)
