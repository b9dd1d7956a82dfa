"""RMSProp as TensorFlow has it, which MnasNet and EfficientNet were trained with.

torch.optim.RMSprop is another algorithm: it adds epsilon outside the root, begins the mean square at 0
and not at 1, and multiplies by the learning rate after the momentum and not before.
"""

from collections.abc import Iterable
from typing import Any

import torch


class RMSprop(torch.optim.Optimizer):
    """At each step, for a gradient g: s = decay·s + (1 - decay)·g², m = momentum·m + lr·g/√(s + eps), p = p - m.

    Args:
        params: parameters or groups of them, as any optimizer of torch takes.
        lr: learning rate.
        decay: share of the mean square that is kept.
        momentum: share of the last step that is made again.
        eps: under the root.
        weight_decay: times the parameter, added to its gradient (L2).
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        decay: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "decay": decay, "momentum": momentum, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # torch's may take a closure
        """Make one step, with the gradients that are there."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            for parameter in parameters:
                if not self.state[parameter]:
                    self.state[parameter]["square"] = torch.ones_like(parameter)
                    self.state[parameter]["momentum"] = torch.zeros_like(parameter)
            squares = [self.state[p]["square"] for p in parameters]
            momenta = [self.state[p]["momentum"] for p in parameters]
            gradients = [p.grad for p in parameters]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
            torch._foreach_mul_(squares, group["decay"])
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["decay"])
            roots = torch._foreach_add(squares, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_addcdiv_(momenta, gradients, roots, group["lr"])
            torch._foreach_sub_(parameters, momenta)
