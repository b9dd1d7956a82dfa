"""Published networks, stage by stage: baselines to beat, and golden rows for the arithmetic.

Sources: MobileNetV2 (arXiv 1801.04381, Table 2), MnasNet-A1 and -B1 (arXiv 1807.11626, Fig. 7 and
the tensorflow/tpu release), EfficientNet-B0 (arXiv 1905.11946, Table 1), EfficientNet-Lite0
(tensorflow/tpu, efficientnet/lite).
"""

from search_space.architecture import Architecture, Stage
from search_space.errors import require_known


def _stages(strings: str) -> tuple[Stage, ...]:
    return tuple(Stage.parse(text) for text in strings.split())


_B0 = (
    "ds_r1_k3_s1_c16_se0.25 ir_r2_k3_s2_e6_c24_se0.25 "
    "ir_r2_k5_s2_e6_c40_se0.25 ir_r3_k3_s2_e6_c80_se0.25 "
    "ir_r3_k5_s1_e6_c112_se0.25 ir_r4_k5_s2_e6_c192_se0.25 ir_r1_k3_s1_e6_c320_se0.25"
)

ZOO: dict[str, Architecture] = {
    "mobilenet-v2": Architecture(
        stages=_stages(
            "ds_r1_k3_s1_c16 ir_r2_k3_s2_e6_c24 ir_r3_k3_s2_e6_c32 ir_r4_k3_s2_e6_c64 "
            "ir_r3_k3_s1_e6_c96 ir_r3_k3_s2_e6_c160 ir_r1_k3_s1_e6_c320"
        ),
        activation="relu6",
    ),
    "mnasnet-a1": Architecture(
        stages=_stages(
            "ds_r1_k3_s1_c16 ir_r2_k3_s2_e6_c24 ir_r3_k5_s2_e3_c40_se0.25 ir_r4_k3_s2_e6_c80 "
            "ir_r2_k3_s1_e6_c112_se0.25 ir_r3_k5_s2_e6_c160_se0.25 ir_r1_k3_s1_e6_c320"
        ),
    ),
    "mnasnet-b1": Architecture(
        stages=_stages(
            "ds_r1_k3_s1_c16 ir_r3_k3_s2_e3_c24 ir_r3_k5_s2_e3_c40 ir_r3_k5_s2_e6_c80 "
            "ir_r2_k3_s1_e6_c96 ir_r4_k5_s2_e6_c192 ir_r1_k3_s1_e6_c320"
        ),
    ),
    "efficientnet-b0": Architecture(
        stages=_stages(_B0),
        activation="silu",
        se_activation="silu",
        drop_connect=0.2,
        bn_eps=1e-3,
    ),
    "efficientnet-lite0": Architecture(
        stages=_stages(_B0.replace("_se0.25", "")),
        activation="relu6",
        drop_connect=0.2,
        bn_eps=1e-3,
    ),
}


def zoo(name: str) -> Architecture:
    """Return the published network of that name.

    Raises:
        InputError: with the nearest name and all of them.
    """
    require_known(name, ZOO, place="network ", owner="the zoo")
    return ZOO[name]
