import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space import InputError
from search_space.cost import cost
from search_space.mnasnet import tiny
from search_space.scaling import EFFICIENTNET, Coefficients, Factors, round_channels, scale
from search_space.zoo import ZOO
from tests import golden

B0 = ZOO["efficientnet-b0"]


@pytest.mark.parametrize("name", sorted(golden.SCALED))
def test_the_released_table_gives_the_released_networks(name: str) -> None:
    scaled = scale(B0, EFFICIENTNET[name])
    assert cost(scaled)[:2] == (golden.SCALED[name].macs, golden.SCALED[name].params)


@given(st.floats(1, 5000))
def test_rounded_channels_are_multiples_of_eight_near_the_value(channels: float) -> None:
    rounded = round_channels(channels)
    assert rounded % 8 == 0
    assert rounded >= 0.9 * channels
    assert rounded <= max(8, channels + 8)


def test_phi_zero_changes_nothing() -> None:
    assert scale(B0, Coefficients().at(0)) == B0


@pytest.mark.parametrize("phi", [1, 2, 3])
def test_phi_doubles_the_multiply_adds_each_time_within_rounding(phi: int) -> None:
    # The paper's α·β²·γ² is 1.92, and repeats round up.
    ratio = cost(scale(B0, Coefficients().at(phi))).macs / cost(B0).macs
    assert 1.8**phi < ratio < 2.6**phi


def test_the_table_scales_the_resolution_of_small_images_in_proportion() -> None:
    assert [
        scale(tiny().template, EFFICIENTNET[name]).resolution for name in ("b0", "b1", "b7")
    ] == [28, 30, 75]


def test_dropout_is_the_tables_or_the_baselines_own() -> None:
    assert scale(B0, EFFICIENTNET["b7"]).dropout == 0.5
    assert scale(B0, Factors(width=1, depth=1, resolution=1)).dropout == B0.dropout


@pytest.mark.parametrize("phi", [-1, float("nan"), float("inf")])
def test_an_impossible_phi_is_refused(phi: float) -> None:
    with pytest.raises(InputError, match=r"phi: .*; takes a number from 0 to 20"):
        Coefficients().at(phi)
