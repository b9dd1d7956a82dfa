"""Parameters of a network as one vector, which is cast, and moved by an optimizer, in one call and not one a layer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

Computing = Literal["float32", "bfloat16"]


class Vector:
    """Some of a network's parameters, which become views of one vector, and what they are trained by.

    In bfloat16 that is a copy, of which the gradients are taken, so that autocast need not cast each parameter and
    each gradient for itself: with the optimizer's that was a fifteenth of a small child's step on a CPU. What is
    computed is the same, but for the last bit where the optimizer's loop ended with a layer and does no more.

    Args:
        network: its parameters are float32, and are views of `values` from here on.
        chosen: tells which of them.
        precision: that a step computes with.
    """

    def __init__(self, network: nn.Module, chosen: Callable[[nn.Parameter], bool], precision: Computing) -> None:
        self._owners, self._parameters = [], []
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if chosen(parameter):
                    self._owners.append((module, name))
                    self._parameters.append(parameter)
        self.values = nn.Parameter(_joined([parameter.detach() for parameter in self._parameters]))
        for parameter, view in zip(self._parameters, self._views(self.values.detach()), strict=True):
            parameter.data = view
        self._copy, self._leaves = None, self._parameters
        if precision == "bfloat16":
            self._copy = self.values.detach().bfloat16()
            self._leaves = list(map(nn.Parameter, self._views(self._copy)))

    def _views(self, vector: Tensor) -> Iterator[Tensor]:
        """Yield each parameter's part, in its shape and its memory layout."""
        start = 0
        for parameter in self._parameters:
            yield vector.as_strided(parameter.shape, parameter.stride(), start)
            start += parameter.numel()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Put what steps compute with in the parameters' place, for as long as nobody else looks at the network."""
        try:
            self._place(self._leaves)
            yield
        finally:
            self._place(self._parameters)

    def _place(self, parameters: list[nn.Parameter]) -> None:
        for (module, name), parameter in zip(self._owners, parameters, strict=True):
            setattr(module, name, parameter)

    def refresh(self) -> None:
        """Bring what a step computes with to the values as they are now."""
        if self._copy is not None:
            self._copy.copy_(self.values.detach())

    def take_gradient(self) -> None:
        """Make `values.grad` of the gradients that a backward pass left, and clear those."""
        self.values.grad = _joined([leaf.grad for leaf in self._leaves if leaf.grad is not None]).float()
        for leaf in self._leaves:
            leaf.grad = None


def vectors(network: nn.Module, precision: Computing = "float32") -> tuple[Vector, Vector]:
    """Return a network's weights, and its biases and batch norms, which weight decay spares and which stay float32."""
    return Vector(network, lambda p: p.ndim > 1, precision), Vector(network, lambda p: p.ndim <= 1, "float32")


def _joined(tensors: list[Tensor]) -> Tensor:
    """Return the numbers of some tensors in the order in which they lie in memory, which autograd keeps, too."""
    return torch.cat([tensor.as_strided((tensor.numel(),), (1,)) for tensor in tensors])
