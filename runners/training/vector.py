"""Parameters of a network as one vector, which is cast, and moved by an optimizer, in one call and
not one a layer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]


class Vector:
    """Some of a network's parameters, which become views of one vector, and what they are trained
    by.

    In bfloat16 a step computes with a copy, and takes the gradients of that, so that autocast need
    not cast each parameter and each gradient for itself: those casts and the optimizer's calls were
    a fifteenth of a small child's step on a CPU. The results are the same, but perhaps for a last
    bit: the optimizer's vectorised loop ends elsewhere.

    Args:
        network: its parameters are float32, and are views of `values` from here on.
        chosen: tells which of them, one at least; the loss hangs on all of these.
        precision: that a step computes with.
    """

    def __init__(
        self, network: nn.Module, chosen: Callable[[nn.Parameter], bool], precision: Precision
    ) -> None:
        self._owners, self._parameters = [], []
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if chosen(parameter):
                    self._owners.append((module, name))
                    self._parameters.append(parameter)
        self.values = _joined([parameter.detach() for parameter in self._parameters])
        for parameter, view in zip(self._parameters, self._views(self.values), strict=True):
            parameter.data = view
        self._copy, self._leaves = None, self._parameters
        if precision == "bfloat16":
            self._copy = self.values.bfloat16()
            self._leaves = list(map(nn.Parameter, self._views(self._copy)))

    def _views(self, vector: Tensor) -> Iterator[Tensor]:
        """Yield each parameter's part, in its shape and its memory layout."""
        start = 0
        for parameter in self._parameters:
            yield vector.as_strided(parameter.shape, parameter.stride(), start)
            start += parameter.numel()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Put what steps compute with in the parameters' place: until then the network's state is
        not to be read.
        """
        try:
            self._place(self._leaves)
            yield
        finally:
            self._place(self._parameters)

    def _place(self, parameters: list[nn.Parameter]) -> None:
        for (module, name), parameter in zip(self._owners, parameters, strict=True):
            setattr(module, name, parameter)

    def begin_step(self) -> None:
        """Bring what a step computes with to the values as they are now, and forget the last
        gradients.
        """
        if self._copy is not None:
            self._copy.copy_(self.values)
        for leaf in self._leaves:
            leaf.grad = None

    def gradient(self) -> Tensor:
        """Return the gradients that a backward pass left, as a vector like `values`."""
        return _joined([_gradient(leaf) for leaf in self._leaves]).float()


def is_weight(parameter: nn.Parameter) -> bool:
    """Say whether weight decay is for a parameter: it spares biases and batch norms."""
    return parameter.ndim > 1


def vectors(network: nn.Module, precision: Precision = "float32") -> tuple[Vector, Vector]:
    """Return a network's weights, and its other parameters, which stay float32."""
    return Vector(network, is_weight, precision), Vector(
        network, lambda p: not is_weight(p), "float32"
    )


def _gradient(leaf: nn.Parameter) -> Tensor:
    assert leaf.grad is not None, "the loss does not hang on a parameter"
    return leaf.grad


def _joined(tensors: list[Tensor]) -> Tensor:
    """Return the numbers of some tensors in the order in which they lie in memory, which autograd
    keeps, too.
    """
    return torch.cat([tensor.as_strided((tensor.numel(),), (1,)) for tensor in tensors])
