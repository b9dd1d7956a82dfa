import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from runners.training.optimizers import SGD, RMSprop


def steps(gradients: list[float], *, lr: float, **options: float) -> float:
    """Return what RMSprop makes of 1 by a step with each of these gradients."""
    values = torch.ones(1, dtype=torch.float64)
    optimizer = RMSprop(values, **options)
    for gradient in gradients:
        optimizer.step(torch.tensor([gradient], dtype=torch.float64), lr)
    return values.item()


def test_the_first_step_is_the_one_worked_by_hand() -> None:
    # s = 0.9·1 + 0.1·2² = 1.3; m = 0.1·2/√(1.3 + 0.001); p = 1 - m
    assert steps([2.0], lr=0.1) == pytest.approx(1 - 0.2 / 1.301**0.5, rel=1e-12)


def test_the_second_step_carries_the_first_ones_momentum_with_the_first_ones_learning_rate() -> (
    None
):
    values, gradient = (
        torch.ones(1, dtype=torch.float64),
        torch.full((1,), 2.0, dtype=torch.float64),
    )
    optimizer = RMSprop(values)
    optimizer.step(gradient, 0.1)
    optimizer.step(gradient, 0.0)
    first = 0.2 / 1.301**0.5
    assert values.item() == pytest.approx(1 - first - 0.9 * first, rel=1e-12)


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


@pytest.mark.parametrize(
    ("momentum", "weight_decay"), [(0.0, 0.0), (0.0, 0.01), (0.9, 0.0), (0.9, 0.01)]
)
def test_sgd_is_that_of_torch(momentum: float, weight_decay: float) -> None:
    torch.manual_seed(0)
    values, gradients = torch.randn(9), torch.randn(3, 9)
    theirs = nn.Parameter(values.clone())
    options = {"momentum": momentum, "weight_decay": weight_decay}
    ours, optimizer = (
        SGD(values, **options),
        torch.optim.SGD([theirs], nesterov=momentum > 0, fused=True, **options),
    )
    for gradient, lr in zip(gradients, (0.1, 0.3, 0.2), strict=True):
        ours.step(gradient, lr)
        theirs.grad, optimizer.param_groups[0]["lr"] = gradient, lr
        optimizer.step()
    assert torch.equal(values, theirs.detach())
