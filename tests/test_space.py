from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space import SPACES, InputError, Space
from search_space.cost import cost
from search_space.mnasnet import channel_choices, imagenet, repeat_choices, small, tiny
from search_space.pricing import Pricing
from search_space.public_benchmarks import BENCHMARKS, accel_nasbench, nas_bench_macro
from search_space.zoo import ZOO

SHIPPED = {"mnasnet": imagenet(), "mnasnet-small": small(), "mnasnet-tiny": tiny()}
SHIPPED |= {name: make() for name, make in BENCHMARKS.items()}


@st.composite
def genotypes(draw: st.DrawFn) -> tuple[Space, tuple[int, ...]]:
    space = SHIPPED[draw(st.sampled_from(sorted(SHIPPED)))]
    return space, tuple(draw(st.integers(0, size - 1)) for size in space.sizes)


def test_all_shipped_spaces_are_tested() -> None:
    assert SHIPPED.keys() | {"scaling"} == SPACES.keys()  # which has tests of its own


def test_each_stage_has_432_answers_as_in_the_paper() -> None:
    space = imagenet()
    for stage in range(1, 8):
        assert np.prod([len(d.choices) for d in space.decisions if d.stage == stage]) == 432
    assert space.size == 432**7


def test_channels_round_so_that_the_published_winners_are_choices() -> None:
    assert [channel_choices(c) for c in (16, 24, 32, 64, 96, 160, 320)] == [
        (8, 16, 24),
        (16, 24, 32),
        (24, 32, 40),
        (48, 64, 80),
        (72, 96, 112),
        (112, 160, 192),
        (240, 320, 400),
    ]


def test_a_reference_too_narrow_to_shrink_is_refused() -> None:
    with pytest.raises(InputError, match="channels: 8; takes 16 or more"):
        channel_choices(8)


def test_one_repeat_less_of_one_is_one() -> None:
    assert repeat_choices(1) == (1, 1, 2)


@pytest.mark.parametrize(
    "name", ["mobilenet-v2", "mnasnet-a1", "mnasnet-b1", "efficientnet-b0", "efficientnet-lite0"]
)
def test_published_networks_lie_inside_and_decode_back(name: str) -> None:
    known = ZOO[name]
    space = imagenet(
        activation=known.activation, drop_connect=known.drop_connect, bn_eps=known.bn_eps
    )
    back = space.decode(space.encode(known))
    assert replace(back, se_activation=known.se_activation).digest == known.digest


@given(genotypes())
def test_encode_finds_a_genotype_of_the_same_network(case: tuple[Space, tuple[int, ...]]) -> None:
    space, genotype = case
    first = space.encode(space.decode(genotype))
    assert space.decode(first).digest == space.decode(genotype).digest
    assert first <= genotype
    assert space.encode(space.decode(first)) == first


@given(genotypes(), st.data())
def test_genotypes_one_answer_apart_share_a_digest_just_where_encode_makes_them_one(
    case: tuple[Space, tuple[int, ...]], data: st.DataObject
) -> None:
    space, one = case
    index = data.draw(st.integers(0, len(one) - 1))
    other = (*one[:index], data.draw(st.integers(0, space.sizes[index] - 1)), *one[index + 1 :])
    same = space.decode(one).digest == space.decode(other).digest
    assert same == (space.encode(space.decode(one)) == space.encode(space.decode(other)))


def test_blocks_moved_over_a_stage_boundary_that_changes_nothing_are_the_same_network() -> None:
    space = small()
    wide, short = (
        {
            f"stage{s}.{f}": v
            for s, r in ((1, a), (2, b))
            for f, v in (("channels", 16), ("repeats", r))
        }
        for a, b in ((1, 2), (2, 1))
    )
    genotypes = [
        tuple(d.choices.index(given[d.name]) if d.name in given else 0 for d in space.decisions)
        for given in (wide, short)
    ]
    one, other = map(space.decode, genotypes)
    assert one != other
    assert one.digest == other.digest


@given(genotypes())
def test_every_choice_is_in_the_architecture_it_decodes_to(
    case: tuple[Space, tuple[int, ...]],
) -> None:
    space, genotype = case
    stages = space.decode(genotype).stages
    for decision, index in zip(space.decisions, genotype, strict=True):
        stage, choice = stages[decision.stage - 1], decision.choices[index]
        if decision.field == "op":
            op = f"mbconv{stage.expansion}" if stage.op == "mbconv" else stage.op
            assert choice in (op, f"{op}_k{stage.kernel}")
        else:
            assert getattr(stage, decision.field) == choice


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_space_reads_back_from_its_json(name: str) -> None:
    assert Space.from_json(SHIPPED[name].to_json()) == SHIPPED[name]


@pytest.mark.parametrize(
    ("stage", "field", "value", "says"),
    [
        (3, "channels", 56, "stage 4.channels: 56 is outside the space; it takes 48, 64, 80"),
        (2, "kernel", 7, "stage 3.kernel: 7 is outside the space; it takes 3, 5"),
        (4, "stride", 2, "stage 5.stride: 2 is outside the space; it takes 1"),
        (5, "repeats", 6, "stage 6.repeats: 6 is outside the space; it takes 2, 3, 4"),
        (6, "se_ratio", 0.5, "stage 7.se_ratio: 0.5 is outside the space; it takes 0.0, 0.25"),
        (
            1,
            "expansion",
            4,
            "stage 2.op: mbconv4 is outside the space; it takes conv, sepconv, mbconv3, mbconv6",
        ),
    ],
)
def test_encode_names_the_stage_and_field_that_is_outside(
    stage: int, field: str, value: object, says: str
) -> None:
    known = ZOO["efficientnet-b0"]
    stages = list(known.stages)
    stages[stage] = replace(stages[stage], **{field: value})
    with pytest.raises(InputError) as caught:
        imagenet().encode(replace(known, stages=tuple(stages)))
    assert str(caught.value) == says


def test_encode_refuses_another_stem_and_another_number_of_stages() -> None:
    known = ZOO["efficientnet-b0"]
    with pytest.raises(InputError, match="stem_channels: 48 is outside the space; it takes 32"):
        imagenet().encode(replace(known, stem_channels=48))
    with pytest.raises(InputError, match="stages: 6 is outside the space; it takes 7"):
        imagenet().encode(replace(known, stages=known.stages[:6]))


@pytest.mark.parametrize(
    ("genotype", "says"),
    [((0, 0), "2 numbers; this space asks 30"), ((9,) + (0,) * 29, "stage1.op: 9; takes 0 to 3")],
)
def test_decode_refuses_what_is_no_genotype(genotype: tuple[int, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        tiny().decode(genotype)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"decisions": 3}, "takes an object with template and decisions"),
        (
            {"decisions": [{"stage": 1}]},
            r"decisions\[0\]: takes an object with stage, field and choices",
        ),
        (
            {"decisions": [{"stage": 9, "field": "op", "choices": ["conv"]}]},
            "stage: 9; takes 1 to 5",
        ),
        ({"decisions": [{"stage": 1, "field": "kernal", "choices": [3]}]}, "did you mean kernel"),
        ({"decisions": [{"stage": 1, "field": "kernel", "choices": []}]}, "at least one choice"),
        ({"template": None}, "architecture: NoneType found"),
    ],
)
def test_a_bad_space_is_refused_by_its_place(change: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Space.from_json(tiny().to_json() | change)


@given(genotypes(), st.data())
def test_pricing_agrees_with_the_arithmetic_in_whatever_order_it_meets_genotypes(
    drawn: tuple[Space, tuple[int, ...]], data: st.DataObject
) -> None:
    space, genotype = drawn
    others = [tuple(data.draw(st.integers(0, size - 1)) for size in space.sizes) for _ in range(3)]
    pricing = Pricing(space)
    for batch in (others, [genotype], [*others, genotype]):
        assert [tuple(row) for row in pricing(batch).tolist()] == [
            cost(space.decode(each)) for each in batch
        ]


def test_efficientnet_b0_is_a_point_of_accel_nasbench() -> None:
    space = accel_nasbench()
    assert (
        space.decode(space.encode(ZOO["efficientnet-b0"])).digest == ZOO["efficientnet-b0"].digest
    )


def test_layers_that_change_nothing_are_none_so_macros_networks_are_3969() -> None:
    """As its paper counts them (arXiv 2103.11922, §5)."""
    space = nas_bench_macro()
    assert len({space.decode(genotype).digest for genotype in space.genotypes()}) == 3969


@pytest.mark.parametrize("width", [0.1, 0.5, 1.5])
def test_a_narrower_small_space_asks_the_same_and_costs_less(width: float) -> None:
    whole, narrow = small(), small(width=width)
    assert [(d.name, len(d.choices)) for d in narrow.decisions] == [
        (d.name, len(d.choices)) for d in whole.decisions
    ]
    assert (cost(narrow.template).macs < cost(whole.template).macs) == (width < 1)
    assert min(stage.channels for stage in narrow.template.stages) >= 16
    assert small(width=1.0) == whole
