"""The spaces of two public benchmarks, whose networks were all trained by others:
`runners.surrogate` reads them.

- Accel-NASBench (Ahmad et al., DAC 2024, arXiv 2404.08005): around EfficientNet-B0 on ImageNet,
  seven stages choose expansion 1, 4 or 6, kernel 3 or 5, one to three repeats (to four in stage 6)
  and SE or none; 10¹¹ genotypes.
- NAS-Bench-Macro (Su et al., CVPR 2021, arXiv 2103.11922): eight layers on CIFAR-10 choose
  identity, MBConv3 3×3 or MBConv6 5×5; 6,561 genotypes. An identity that changes nothing is no
  layer, so many build the same network.
"""

from search_space.architecture import Architecture, Stage
from search_space.space import Decision, Space
from search_space.zoo import ZOO


def accel_nasbench() -> Space:
    """Return Accel-NASBench's space; decisions in the order of its table: e, k, l, se of each
    block.
    """
    decisions = []
    for stage in range(1, 8):
        decisions += [
            Decision(stage, "op", ("sepconv", "mbconv4", "mbconv6")),
            Decision(stage, "kernel", (3, 5)),
            Decision(stage, "repeats", (1, 2, 3, 4) if stage == 6 else (1, 2, 3)),
            Decision(stage, "se_ratio", (0.0, 0.25)),
        ]
    return Space(ZOO["efficientnet-b0"], tuple(decisions))


_WIDTHS = (64, 64, 128, 128, 128, 256, 256, 256)


def nas_bench_macro() -> Space:
    """Return NAS-Bench-Macro's space, a stage for each of its layers."""
    stages = tuple(
        Stage(
            op="identity",
            kernel=1,
            stride=2 if number in (0, 2, 5) else 1,
            channels=width,
            repeats=1,
        )
        for number, width in enumerate(_WIDTHS)
    )
    template = Architecture(
        stages=stages,
        stem_channels=32,
        stem_stride=1,
        resolution=32,
        classes=10,
        activation="relu6",
        dropout=0.0,
    )
    ops = ("identity", "mbconv3_k3", "mbconv6_k5")
    return Space(template, tuple(Decision(stage, "op", ops) for stage in range(1, 9)))


BENCHMARKS = {"accel-nasbench": accel_nasbench, "nas-bench-macro": nas_bench_macro}
