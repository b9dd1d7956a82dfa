"""How a gradient moves a vector of parameters: SGD as torch has it, and RMSProp as TensorFlow has
it.

They are no `torch.optim.Optimizer`: making one loads torch's compiler, which takes as long as
loading torch itself, in every process that trains.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.optim.sgd import sgd


class Optimizer(Protocol):
    """What moves one vector of parameters, in place."""

    @property
    def state(self) -> dict[str, Tensor]:
        """What it keeps between steps: tensors like the vector, by name, that change in place."""
        ...

    def step(self, gradient: Tensor, lr: float) -> None:
        """Make one step at a learning rate."""
        ...


class SGD:
    """Stochastic gradient descent, with Nesterov's momentum unless that is 0.

    Args:
        values: the vector.
        momentum: share of the sum of earlier gradients that is kept.
        weight_decay: times the values, added to their gradient (L2).
    """

    def __init__(self, values: Tensor, *, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        self._values, self._momentum, self._weight_decay = values, momentum, weight_decay
        self.state = {"momentum_buffer": torch.zeros_like(values)} if momentum else {}

    def step(self, gradient: Tensor, lr: float) -> None:
        """Make one step at a learning rate."""
        sgd(
            [self._values],
            [gradient],
            [self.state.get("momentum_buffer")],
            fused=True,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=lr,
            dampening=0.0,
            nesterov=self._momentum > 0,
            maximize=False,
        )


class RMSprop:
    """At each step, for a gradient g: s = decay·s + (1 - decay)·g², m = momentum·m + lr·g/√(s +
    eps), p = p - m.

    MnasNet and EfficientNet were trained with it. torch.optim.RMSprop is another algorithm: it adds
    epsilon outside the root, begins the mean square at 0 and not at 1, and multiplies by the
    learning rate after the momentum, not before.

    Args:
        values: the vector p.
        decay: share of the mean square that is kept.
        momentum: share of the last step that is made again.
        eps: under the root.
        weight_decay: times the values, added to their gradient (L2).
    """

    def __init__(
        self,
        values: Tensor,
        *,
        decay: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        self._values, self._decay, self._momentum = values, decay, momentum
        self._eps, self._weight_decay = eps, weight_decay
        self.state = {"square": torch.ones_like(values), "momentum": torch.zeros_like(values)}

    def step(self, gradient: Tensor, lr: float) -> None:
        """Make one step at a learning rate."""
        if self._weight_decay:
            gradient = gradient.add(self._values, alpha=self._weight_decay)
        root = (
            self.state["square"]
            .mul_(self._decay)
            .addcmul_(gradient, gradient, value=1 - self._decay)
        )
        root = root.add(self._eps).sqrt_()
        self._values.sub_(
            self.state["momentum"].mul_(self._momentum).addcdiv_(gradient, root, value=lr)
        )
