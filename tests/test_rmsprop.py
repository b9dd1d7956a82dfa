import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runners.rmsprop import RMSprop


def steps(gradients: list[float], start: float = 1.0, **options: float) -> float:
    """Return a parameter's value after a step with each of these gradients."""
    parameter = torch.tensor([start], dtype=torch.float64, requires_grad=True)
    optimizer = RMSprop([parameter], **options)  # type: ignore[arg-type]
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    return parameter.item()


def test_the_first_step_is_the_one_worked_by_hand() -> None:
    # s = 0.9·1 + 0.1·2² = 1.3; m = 0.1·2/√(1.3 + 0.001); p = 1 - m
    assert steps([2.0], lr=0.1) == pytest.approx(1 - 0.2 / 1.301**0.5, rel=1e-12)


def test_the_second_step_carries_the_first_ones_momentum_with_the_first_ones_learning_rate() -> None:
    parameter = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = RMSprop([parameter], lr=0.1)
    parameter.grad = torch.full((1,), 2.0, dtype=torch.float64)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    first = 0.2 / 1.301**0.5
    assert parameter.item() == pytest.approx(1 - first - 0.9 * first, rel=1e-12)


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=6),
    st.floats(0.001, 1),
    st.floats(0, 0.99),
    st.floats(1e-8, 0.1),
    st.floats(0, 0.1),
)
def test_it_is_tensorflows_formula(
    gradients: list[float], lr: float, momentum: float, eps: float, weight_decay: float
) -> None:
    value, square, step = 1.0, 1.0, 0.0
    for gradient in gradients:
        gradient += weight_decay * value
        square = 0.9 * square + 0.1 * gradient**2
        step = momentum * step + lr * gradient / np.sqrt(square + eps)
        value -= step
    found = steps(gradients, lr=lr, momentum=momentum, eps=eps, weight_decay=weight_decay)
    assert found == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_a_parameter_without_a_gradient_stays() -> None:
    parameter = torch.ones(1, requires_grad=True)
    RMSprop([parameter], lr=0.1).step()
    assert parameter.item() == 1
