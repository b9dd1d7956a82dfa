from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space import Architecture, InputError, Stage
from search_space.zoo import ZOO

stages = st.builds(
    lambda op, expansion, **fields: Stage(
        op=op, expansion=expansion if op == "mbconv" else 1, **fields
    ),
    op=st.sampled_from(["conv", "sepconv", "mbconv"]),
    expansion=st.integers(2, 8),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 3),
    channels=st.integers(1, 400),
    repeats=st.integers(1, 6),
    se_ratio=st.one_of(
        st.sampled_from([0.0, 0.25, 1 / 24, 1e-5]), st.floats(0, 1, exclude_max=True)
    ),
    skip=st.sampled_from(["none", "identity", "pool"]),
)
architectures = st.builds(
    Architecture,
    stages=st.lists(stages, min_size=1, max_size=8).map(tuple),
    stem_channels=st.integers(1, 64),
    resolution=st.integers(1, 300),
    drop_connect=st.sampled_from([0.0, 0.2]),
)


@given(stages)
def test_a_stage_reads_back_from_its_block_string(stage: Stage) -> None:
    assert Stage.parse(str(stage)) == stage


def test_block_strings_are_timms_where_timm_can_say_it() -> None:
    assert ZOO["efficientnet-b0"].block_strings[2] == "ir_r2_k5_s2_e6_c40_se0.25"
    assert (
        str(Stage(op="conv", kernel=3, stride=1, channels=16, repeats=1, skip="none"))
        == "cn_r1_k3_s1_c16"
    )


@given(architectures)
def test_an_architecture_reads_back_from_its_json(architecture: Architecture) -> None:
    assert Architecture.from_json(architecture.to_json()) == architecture


@given(architectures)
def test_each_block_takes_what_the_one_before_gives(architecture: Architecture) -> None:
    channels, size = architecture.stem_channels, architecture.stem_size
    for block in architecture.blocks:
        assert (block.in_channels, block.in_size) == (channels, size)
        assert block.out_size == -(-size // block.stride)
        channels, size = block.out_channels, block.out_size


@given(architectures)
def test_an_identity_skip_is_only_where_shapes_allow_it(architecture: Architecture) -> None:
    for block in architecture.blocks:
        if block.skip == "identity":
            assert (block.stride, block.in_channels) == (1, block.out_channels)


def test_squeeze_width_counts_from_the_blocks_input_channels() -> None:
    # EfficientNet-B0: 32·0.25, then 16·0.25, then 24·0.25 (facts of the released network).
    assert [block.se_channels for block in ZOO["efficientnet-b0"].blocks[:3]] == [8, 4, 6]


def test_digests_stay_what_they_were() -> None:
    """They are in journals and specs: a change here makes those unreadable."""
    assert ZOO["efficientnet-b0"].digest == "e2c6b12b4867e35c"
    assert ZOO["mobilenet-v2"].digest == "3fb7e8a8c9c326b5"


def test_whole_numbers_written_as_such_do_not_change_the_digest() -> None:
    lite = ZOO["efficientnet-lite0"]
    assert replace(lite, dropout=0).digest == replace(lite, dropout=0.0).digest
    assert replace(lite, drop_connect=0).digest == replace(lite, drop_connect=0.0).digest


def test_drop_connect_grows_with_depth_from_zero() -> None:
    blocks = ZOO["efficientnet-b0"].blocks
    assert len(blocks) == 16
    assert blocks[0].drop_connect == 0
    assert blocks[10].drop_connect == pytest.approx(0.2 * 10 / 16)


def test_descriptions_that_build_the_same_network_share_a_digest() -> None:
    b0 = ZOO["efficientnet-b0"]
    # Stage 1 goes from 32 to 16 channels in one block: no identity can be there.
    without = replace(b0, stages=(replace(b0.stages[0], skip="none"), *b0.stages[1:]))
    assert without.digest == b0.digest
    pooled = replace(b0, stages=(replace(b0.stages[0], skip="pool"), *b0.stages[1:]))
    assert pooled.digest != b0.digest


def test_the_squeeze_activation_counts_only_where_there_is_a_squeeze() -> None:
    lite, b0 = ZOO["efficientnet-lite0"], ZOO["efficientnet-b0"]
    assert replace(lite, se_activation="silu").digest == lite.digest
    assert replace(b0, se_activation="relu").digest != b0.digest


@given(architectures, architectures)
def test_different_blocks_have_different_digests(one: Architecture, other: Architecture) -> None:
    same = [block[1:] for block in one.blocks] == [block[1:] for block in other.blocks]
    same &= (one.stem_channels, one.resolution) == (other.stem_channels, other.resolution)
    assert (one.digest == other.digest) == same


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("xx_r1", "xx: unknown; a block takes cn, ds, ir"),
        ("ir_r2_k5_s2_e6_c40_foo", "token 7 is 'foo'; takes rN"),
        ("ir_r2_k5_s2_e6_c40_r3", "token 7 is 'r3'; repeats was said before"),
        ("ir_r2_k5_s2_e6", "block.channels: missing"),
        ("ir_r2_k4_s2_e6_c40", "kernel: 4; takes an odd integer from 1 to 99"),
        ("ir_r2_k5_s2_e1_c40", "expansion: 1; takes an integer from 2 to 1,000"),
        ("ds_r2_k5_s2_e6_c40", "expansion: 6; takes 1 with op sepconv"),
        ("ir_r0_k5_s2_e6_c40", "repeats: 0; takes an integer from 1 to 1,000"),
        ("ir_r1_k5_s2_e6_c40_se1.5", "se_ratio: 1.5; takes a number from 0 to below 1"),
    ],
)
def test_a_bad_block_string_is_refused_by_its_token(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        Stage.parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": "ten"}, "architecture.classes: 'ten'; takes an integer"),
        ({"resolution": True}, "architecture.resolution: True"),
        ({"clases": 10}, "architecture.clases: unknown (did you mean classes?)"),
        ({"stages": []}, "stages: 0; takes 1 to 1,000 stages"),
        ({"stages": [{"op": "conv"}]}, "architecture.stage 1.kernel: missing"),
        (
            {"stages": [{"op": "cnov", "kernel": 3, "stride": 1, "channels": 8, "repeats": 1}]},
            "stage 1.op: 'cnov'",
        ),
        ({"stages": 7}, "takes a list of stages"),
        ({"activation": "gelu"}, "activation: 'gelu'; takes relu, relu6, silu"),
        ({"bn_eps": 0}, "bn_eps: 0"),
    ],
)
def test_bad_json_is_refused_by_its_place(change: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        Architecture.from_json(ZOO["mobilenet-v2"].to_json() | change)
    assert says in str(caught.value)
