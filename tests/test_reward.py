import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.reward import Reward, absolute, power
from search_space import Cost, InputError

ratios = st.floats(0.01, 100)
accuracies = st.floats(0, 1)


def test_the_papers_example_five_percent_accuracy_for_twice_the_cost() -> None:
    # MnasNet §3: doubling the latency is worth about 5 % relative accuracy at w = −0.07.
    assert power(0.5 * 1.05, 2.0) == pytest.approx(power(0.5, 1.0), rel=0.01)


def test_a_reward_by_hand() -> None:
    assert power(0.75, 0.5) == pytest.approx(0.75 * 1.0497, rel=1e-4)
    assert absolute(0.75, 1.5) == pytest.approx(0.75 - 0.035)


@given(accuracies, ratios)
def test_the_hard_constraint_leaves_accuracy_alone_up_to_the_target(
    accuracy: float, ratio: float
) -> None:
    value = power(accuracy, ratio, alpha=0, beta=-1)
    assert value == pytest.approx(accuracy if ratio <= 1 else accuracy / ratio)


@given(accuracies, ratios)
def test_the_absolute_reward_is_highest_at_the_target(accuracy: float, ratio: float) -> None:
    assert absolute(accuracy, ratio) <= absolute(accuracy, 1.0) == accuracy


@given(accuracies, accuracies, ratios)
def test_more_accuracy_at_the_same_cost_is_never_worth_less(
    one: float, other: float, ratio: float
) -> None:
    low, high = sorted((one, other))
    assert power(low, ratio) <= power(high, ratio)
    assert absolute(low, ratio) <= absolute(high, ratio)


def test_the_reward_counts_the_cost_it_is_told_to() -> None:
    cost = Cost(macs=400, params=100, activations=1)
    assert Reward(target=400.0)(0.5, cost) == 0.5
    assert Reward(target=100.0, cost="params")(0.5, cost) == 0.5
    assert Reward(target=200.0, kind="absolute", beta=-0.1)(0.5, cost) == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_a_reward_for_being_dearer_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: 0.07; takes -10 to 0"):
        Reward(target=1.0, **{name: 0.07})


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_an_impossible_target_is_refused(target: float) -> None:
    with pytest.raises(InputError, match=r"target: .*; takes a number of macs above 0"):
        Reward(target=target)


@given(ratios)
def test_failing_is_never_worth_more_than_training(ratio: float) -> None:
    for reward in (Reward(target=1e6), Reward(target=1e6, kind="absolute")):
        cost = Cost(macs=max(1, round(ratio * 1e6)), params=1, activations=1)
        assert reward(0.0, cost) <= 0
        assert reward(0.0, cost) < reward(0.01, cost)


@given(accuracies, ratios)
def test_the_accuracy_that_a_reward_takes_earns_it(accuracy: float, ratio: float) -> None:
    for reward in (
        Reward(target=1e6),
        Reward(target=1e6, alpha=0.0, beta=-1.0),
        Reward(target=1e6, kind="absolute"),
    ):
        cost = Cost(macs=max(1, round(ratio * 1e6)), params=1, activations=1)
        assert reward.accuracy(reward(accuracy, cost), cost) == pytest.approx(accuracy)
