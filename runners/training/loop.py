"""The one training loop, for the children of a search and for the networks that leave it.

Batches are cut from arrays of bytes; normalising and augmenting are tensor work on a whole batch.
Where torch.distributed is up, each process takes its share of every batch, and all come to the same
weights.
"""

import copy
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from runners.base import DivergenceError
from runners.data.images import Bytes, Images, Labels, batches
from runners.training.augment import Normalise, augment, partners, tensor_of
from runners.training.recipe import Recipe
from runners.training.vector import Precision, vectors
from search_space.errors import InputError, require

_EVALUATION_BATCH = 500


def rank_of() -> tuple[int, int]:
    """Return which of how many processes that train one network this is; (0, 1) where there is but
    one.
    """
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def same_everywhere(value: int) -> bool:
    """Say whether all processes that train one network have the same value."""
    _, world = rank_of()
    values: list[int | None] = [value] * world
    if world > 1:
        distributed.all_gather_object(values, value)
    return len(set(values)) == 1


class Training:
    """A network and what it is trained with, an epoch at a time, so that it can stop and go on
    between two.

    Random numbers are derived from seed and epoch and never carried on, so `tensors` and the number
    of epochs done are the whole state.

    Args:
        network: trained in place, on its device; channels last. It has weights and biases, and its
            output hangs on all.
        recipe: how.
        normalise: from bytes to numbers.
        size: pixels a side that the network takes.
        seed: fixes the order of the images, the augmentation and the dropout.
        precision: of the forward pass; the weights and their averages are float32 always.
        readers: threads that read batches ahead.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        *,
        normalise: Normalise,
        size: int,
        seed: int,
        precision: Precision = "float32",
        readers: int = 0,
    ) -> None:
        self._network, self._recipe, self._normalise = network, recipe, normalise
        self._size, self._seed, self._precision, self._readers = size, seed, precision, readers
        self._device = next(network.parameters()).device
        self._rank, self._world = rank_of()
        self._average = copy.deepcopy(network) if recipe.ema else None
        self._averaged = vectors(self._average) if self._average is not None else ()
        # DistributedDataParallel sums the gradients of the parameters that it was given, and of no
        # copies.
        self._vectors = self._weights, others = vectors(
            network, precision if self._world == 1 else "float32"
        )
        self._optimizers = [
            recipe.make_optimizer(self._weights.values, decays=True),
            recipe.make_optimizer(others.values, decays=False),
        ]
        self._forward = DistributedDataParallel(network) if self._world > 1 else network

    def epoch(
        self, number: int, images: Images, tell: Callable[[int], None] | None = None
    ) -> float:
        """Train for one epoch; return its mean loss.

        Args:
            number: of the epoch, counted from 0.
            images: what the network learns from.
            tell: called after each step with the number of images seen in the epoch, by all
                processes together; it must not look at the network, which then has copies of its
                weights in bfloat16.

        Raises:
            DivergenceError: when the loss is not finite.
        """
        order = torch.randperm(len(images), generator=self._generator(number, 0)).numpy()
        generator = self._generator(number, 1 + self._rank)
        torch.manual_seed(generator.initial_seed())  # for dropout and drop-connect
        self._network.train()
        batch, steps = self._recipe.batches(len(images))
        total = torch.zeros((), device=self._device)
        mine = (
            order[step * batch + self._rank : (step + 1) * batch : self._world]
            for step in range(steps)
        )
        with self._weights.at_work():
            for step, (pixels, labels) in enumerate(batches(images, mine, self._readers)):
                lr = self._recipe.lr_at(number + (step + 0.5) / steps)  # mid-step: never 0
                total += self._step(pixels, labels, generator, lr)
                self._update_average(number * steps + step)
                if tell:
                    tell((step + 1) * batch)
        if self._world > 1:
            distributed.all_reduce(total)
        loss = total.item() / (steps * self._world)
        if not math.isfinite(loss):
            raise DivergenceError(f"loss is {loss} in epoch {number + 1}")
        return loss

    def _generator(self, number: int, stream: int) -> torch.Generator:
        """Return an epoch's own random numbers: stream 0 is all processes', the others
        one's each.
        """
        seed = np.random.SeedSequence((self._seed, number, stream)).generate_state(1)[0]
        return torch.Generator().manual_seed(int(seed))

    def _step(self, pixels: Bytes, labels: Labels, generator: torch.Generator, lr: float) -> Tensor:
        recipe, images = self._recipe, tensor_of(pixels).to(self._device)
        images = augment(images, recipe.pad, recipe.flip, generator, recipe.cutout)
        inputs, targets = (
            self._normalise(images, self._size),
            torch.from_numpy(labels).to(self._device),
        )
        order, share = (
            partners(len(labels), recipe.mixup, generator) if recipe.mixup else (None, 1.0)
        )
        if order is not None:
            inputs = inputs.lerp(inputs[order.to(self._device)], 1 - share)
        for vector in self._vectors:
            vector.begin_step()
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self._precision == "bfloat16"
        ):
            logits = self._forward(inputs).float()
        loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
        if order is not None:
            others = targets[order.to(self._device)]
            other = functional.cross_entropy(logits, others, label_smoothing=recipe.label_smoothing)
            loss = loss.lerp(other, 1 - share)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [vector.gradient() for vector in self._vectors]  # all of them, or none is moved
        for optimizer, gradient in zip(self._optimizers, gradients, strict=True):
            optimizer.step(gradient, lr)
        return loss.detach()

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        """Move the running average towards the weights, batch norm's statistics included."""
        if self._average is None:
            return
        ours, theirs = (
            [
                *(vector.values for vector in parts),
                *(b for b in network.buffers() if b.is_floating_point()),
            ]
            for parts, network in ((self._averaged, self._average), (self._vectors, self._network))
        )
        torch._foreach_lerp_(ours, theirs, 1 - self._recipe.ema_at(step))

    @property
    def result(self) -> nn.Module:
        """The network to measure and to keep: the running average where the recipe has one."""
        return self._network if self._average is None else self._average

    def accuracy(self, images: Images) -> float:
        """Return the share of images that `result` gets right, in evaluation mode.

        Each process measures its part of them, all with the first one's batch norm statistics.
        """
        network, starts = self.result.eval(), range(0, len(images), _EVALUATION_BATCH)
        if self._world > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)
        right = torch.zeros((), dtype=torch.int64, device=self._device)
        mine = (
            np.arange(s, min(s + _EVALUATION_BATCH, len(images)))
            for s in starts[self._rank :: self._world]
        )
        for pixels, labels in batches(images, mine, self._readers):
            right += self._right(network, pixels, labels)
        if self._world > 1:
            distributed.all_reduce(right)
        return int(right) / len(images)

    @torch.inference_mode()
    def _right(self, network: nn.Module, pixels: Bytes, labels: Labels) -> Tensor:
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self._precision == "bfloat16"
        ):
            logits = network(self._normalise(tensor_of(pixels).to(self._device), self._size))
        right: Tensor = logits.argmax(1) == torch.from_numpy(labels).to(self._device)
        return right.sum()

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by name: `network.…`, `average.…`, the optimizers' of the weights and of
        all others.

        Those, `optimizer.0.…` and `optimizer.1.…`, are vectors in the order of a channels-last
        network's memory.
        """
        found = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        if self._average is not None:
            found |= {
                f"average.{name}": tensor for name, tensor in self._average.state_dict().items()
            }
        for number, optimizer in enumerate(self._optimizers):
            found |= {
                f"optimizer.{number}.{name}": tensor for name, tensor in optimizer.state.items()
            }
        return found

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take in what `tensors` returned.

        Raises:
            InputError: when they are not of this network and recipe.
        """
        wanted = self.tensors()
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        for name in sorted(wanted.keys() ^ tensors.keys()):
            state = "missing" if name in wanted else "not known"
            raise InputError(f"{name} is {state}; written by another recipe, or version of mnas")
        for name, tensor in wanted.items():
            require(
                shapes[name] == tensor.shape,
                name,
                list(shapes[name]),
                f"a tensor of shape {list(tensor.shape)}",
            )
            tensor.copy_(tensors[name])
