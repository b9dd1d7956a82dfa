import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search_space import Architecture, InputError, Stage
from search_space.block_strings import from_tf, from_timm, to_tf, to_timm
from search_space.cost import cost
from search_space.mnasnet import imagenet, small
from search_space.scaling import TABLES, scale
from search_space.zoo import ZOO
from tests import golden

# The released strings (tensorflow/tpu): MnasNet-A1's and EfficientNet-B0's.
A1 = [
    "r1_k3_s11_e1_i32_o16_noskip",
    "r2_k3_s22_e6_i16_o24",
    "r3_k5_s22_e3_i24_o40_se0.25",
    "r4_k3_s22_e6_i40_o80",
    "r2_k3_s11_e6_i80_o112_se0.25",
    "r3_k5_s22_e6_i112_o160_se0.25",
    "r1_k3_s11_e6_i160_o320",
]
B0 = [
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
]


def fields(architecture: Architecture) -> dict[str, object]:
    """What TensorFlow's strings do not say: everything but the stages."""
    return {name: value for name, value in vars(architecture).items() if name in _FIELDS}


_FIELDS = Architecture.__dataclass_fields__.keys() - {"stages"}


def both_ways(architecture: Architecture) -> list[Architecture | str]:
    """The architecture written and read back in both grammars, or why it can't be."""
    found: list[Architecture | str] = []
    for there_and_back in (
        lambda a: from_timm(**to_timm(a)),
        lambda a: from_tf(to_tf(a), **fields(a)),
    ):
        try:
            found.append(there_and_back(architecture))
        except InputError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("name", sorted(ZOO))
def test_published_networks_round_trip_through_both_grammars(name: str) -> None:
    for found in both_ways(ZOO[name]):
        assert isinstance(found, Architecture)
        assert found.stages == ZOO[name].stages
        assert (found.digest, cost(found)) == (ZOO[name].digest, cost(ZOO[name]))


def test_padding_goes_through_timms_keywords() -> None:
    same = replace(ZOO["efficientnet-lite0"], padding="same")
    assert to_timm(same)["pad_type"] == "same"
    assert from_timm(**to_timm(same)).digest == same.digest


def test_the_released_strings_are_the_networks_of_the_zoo() -> None:
    a1, b0 = ZOO["mnasnet-a1"], ZOO["efficientnet-b0"]
    assert from_tf(A1, **fields(a1)).digest == a1.digest
    assert from_tf(B0, **fields(b0)) == b0
    assert to_tf(b0) == B0


def test_random_networks_round_trip_or_are_refused_for_what_cannot_be_said() -> None:
    space, rng = imagenet(), np.random.default_rng(0)
    counts = {"said": 0, "refused": 0}
    for number in range(1200):
        architecture = space.decode(space.random(rng))
        if (
            number % 2
        ):  # half of them as a search for export would have them: no pooling, no plain conv
            stages = [
                replace(s, skip="identity") if s.skip == "pool" else s for s in architecture.stages
            ]
            stages = [replace(s, op="sepconv") if s.op == "conv" else s for s in stages]
            architecture = replace(architecture, stages=tuple(stages))
        pooled = any(s.skip == "pool" for s in architecture.stages)
        conv = any(s.op == "conv" for s in architecture.stages)
        squeezed_conv = any(s.op == "conv" and s.se_ratio for s in architecture.stages)
        timm, tf = both_ways(architecture)
        for found, sayable in (
            (timm, not pooled and not squeezed_conv),
            (tf, not pooled and not conv),
        ):
            counts["said" if sayable else "refused"] += 1
            if sayable:
                assert isinstance(found, Architecture), found
                assert found == architecture
                assert cost(found) == cost(architecture)
            else:
                assert isinstance(found, str)
                assert found.startswith("stage ")
                assert "can't be said in" in found
    assert min(counts.values()) >= 200


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stem_stride": 1}, "stem_stride: 1 can't be said in timm's strings; they take 2"),
        (
            {"se_activation": "relu"},
            "se_activation: relu can't be said in timm's strings; they take the network's",
        ),
        (
            {"stem_channels": 30},
            "stem_channels: 30 can't be said in timm's strings; they take what its rounding",
        ),
    ],
)
def test_what_timm_would_build_otherwise_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        to_timm(replace(ZOO["efficientnet-b0"], **change))  # type: ignore[arg-type]
    assert str(caught.value).startswith(says)


def test_a_squeeze_that_timm_rounds_otherwise_is_refused() -> None:
    stage = Stage(
        op="mbconv", kernel=3, stride=1, channels=24, repeats=1, expansion=6, se_ratio=0.17
    )
    with pytest.raises(InputError, match=r"stage 2.se_ratio: 0.17 can't be said in timm's strings"):
        to_timm(
            Architecture(stages=(Stage.parse("ds_r1_k3_s1_c16"), stage))
        )  # 2.72 channels: 2 here, 3 there


def test_a_stem_that_contradicts_the_first_string_is_refused() -> None:
    with pytest.raises(InputError, match="stem_channels: 16; the first string takes i32"):
        from_tf(["r1_k3_s11_e1_i32_o16"], stem_channels=16)


def test_small_image_networks_have_a_stem_that_no_string_can_say() -> None:
    with pytest.raises(InputError, match="stem_stride: 1 can't be said in TensorFlow's strings"):
        to_tf(small().template)


@pytest.mark.parametrize(
    ("strings", "says"),
    [
        (["r1_k3_s11_e1_i32"], "stage 1, 'r1_k3_s11_e1_i32': o: missing"),
        (["r1_k3_s11_e1_i32_o16_x9"], "token 7 is 'x9'; takes rN, kN"),
        (["r1_k3_s12_e1_i32_o16"], "stride 12; takes the same both ways"),
        (["r1_k4_s11_e1_i32_o16"], "kernel: 4; takes an odd integer"),
        (["r1_r5_k3_s11_e1_i32_o16"], "token 2 is 'r5'; repeats was said before"),
        ([f"r{'1' * 5000}_k3_s11_e1_i32_o16"], "token 1 is 'r111"),
        (
            ["r1_k3_s11_e1_i32_o16", "r1_k3_s11_e6_i24_o16"],
            "stage 2, 'r1_k3_s11_e6_i24_o16': i24; takes i16",
        ),
        ([], "stages: 0; takes 1 to 1,000 stages"),
    ],
)
def test_a_malformed_tensorflow_string_is_refused_by_stage_and_token(
    strings: list[str], says: str
) -> None:
    with pytest.raises(InputError) as caught:
        from_tf(strings)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("arch_def", "says"),
    [
        (
            [["ds_r1_k3_s1_e1_c16"], ["ir_r1_k3_s1_e6_c16", "ir_r1_k5_s1_e6_c16"]],
            "stage 2: 2 block strings; takes one",
        ),
        (["er_r1_k3_s1_c16"], "stage 1: 'er_r1_k3_s1_c16': er: unknown"),
        (["ir_r1_k3_s1_e6_c16_nre"], "stage 1: 'ir_r1_k3_s1_e6_c16_nre': token 7 is 'nre'"),
    ],
)
def test_a_malformed_timm_string_is_refused_by_stage_and_token(
    arch_def: list[str], says: str
) -> None:
    with pytest.raises(InputError) as caught:
        from_timm(arch_def)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["b0", "b1", "b4", "b7"])
def test_the_family_from_the_released_strings_costs_what_was_published(name: str) -> None:
    b0 = from_tf(B0, activation="silu", se_activation="silu")
    assert cost(scale(b0, TABLES["efficientnet"][name]))[:2] == (
        golden.SCALED[name].macs,
        golden.SCALED[name].params,
    )


def test_every_network_of_the_reference_file_comes_out_of_its_own_strings(shared: Path) -> None:
    reference = json.loads((shared / "reference.json").read_text())
    factors = {f"efficientnet-{name}": f for table in TABLES.values() for name, f in table.items()}
    assert factors.keys() == reference["coefficients"].keys()
    for name, wanted in reference["coefficients"].items():
        found = factors[name]
        assert (found.width, found.depth, found.dropout) == (
            wanted["width"],
            wanted["depth"],
            wanted["dropout"],
        )
        assert round(224 * found.resolution) == wanted["resolution"]
        assert found.fixed_ends == wanted["fix_head_stem"]
    for name, model in reference["models"].items():
        for strings, read in (
            (model["tf_block_strings"], from_tf),
            (model["timm_arch_def"], from_timm),
        ):
            if strings is None:
                continue
            if (
                "lite" in name
            ):  # its TensorFlow strings still have the SE that the builder leaves out
                strings = [text.replace("_se0.25", "") for text in strings]
            base = read(strings)
            price = cost(
                scale(base, factors[name]) if read is from_tf and name in factors else base
            )
            if read is from_tf or name in (
                "mobilenet_v2",
                "mnasnet-a1",
                "mnasnet-b1",
                "efficientnet-b0",
            ):
                assert price[:2] == (model["macs"]["total_conv_linear"], model["params"]), name
