"""The one training loop, for the children of a search and for anything else that is trained.

Batches are cut from arrays of bytes; normalising and augmenting are tensor work on a whole batch.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from runners.base import DivergenceError
from runners.images import Images
from search_space.errors import require

_EVALUATION_BATCH = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a network is trained. The defaults suit minutes, not days.

    The learning rate climbs linearly for `warmup_epochs`, then falls along a half cosine to 0. Weight
    decay spares biases and batch norm. RMSProp is MnasNet's: decay 0.9, momentum as given.
    """

    epochs: int = 2
    batch_size: int = 64
    optimizer: Literal["sgd", "rmsprop"] = "sgd"
    lr: float = 0.1  # at the peak, for one batch
    momentum: float = 0.9  # Nesterov's with sgd
    weight_decay: float = 1e-4
    warmup_epochs: float = 0.5
    label_smoothing: float = 0.1
    pad: int = 2  # pixels: a random crop out of the image with so much black around
    flip: bool = False  # mirror every other image, by chance
    bn_momentum: float = 0.1  # weight of the newest batch in batch norm's statistics

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "1 or more")
        require(self.batch_size >= 2, "batch_size", self.batch_size, "2 or more (batch norm needs two images)")
        require(0 < self.lr < math.inf, "lr", self.lr, "a number above 0")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "a number from 0 to below 1")
        require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "0 or more")
        require(0 <= self.warmup_epochs < self.epochs, "warmup_epochs", self.warmup_epochs, "0 to below epochs")
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 to below 1")
        require(self.pad >= 0, "pad", self.pad, "0 or more")
        require(0 < self.bn_momentum <= 1, "bn_momentum", self.bn_momentum, "above 0, to 1")

    def lr_at(self, epoch: float) -> float:
        """Return the learning rate at a moment, in epochs from the start."""
        if epoch < self.warmup_epochs:
            return self.lr * epoch / self.warmup_epochs
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.lr * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True, slots=True)
class Normalise:
    """Bytes to numbers of mean 0 and deviation 1, by the training images' own channels."""

    mean: Tensor  # [C]
    std: Tensor  # [C]

    @classmethod
    def of(cls, images: Images) -> "Normalise":
        """Measure up to 2,000 images, spread over the set."""
        some = np.unique(np.linspace(0, len(images) - 1, 2000).astype(np.int64))
        pixels = torch.from_numpy(images.batch(some)[0]).float().div_(255)
        return cls(pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)).clamp_min(1e-3))

    def __call__(self, images: Tensor, size: int) -> Tensor:
        """Map bytes `[B, C, H, W]` to floats `[B, C, size, size]`, channels last in memory."""
        mean, std = (t.to(images.device)[:, None, None] for t in (self.mean, self.std))
        floats = images.float().div_(255).sub_(mean).div_(std)
        if floats.shape[-1] != size:
            floats = functional.interpolate(floats, (size, size), mode="bilinear", antialias=True, align_corners=False)
        return floats.contiguous(memory_format=torch.channels_last)


def augment(images: Tensor, pad: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Crop each image out of its padded self at a place of its own, and mirror half of them.

    Args:
        images: bytes `[B, C, H, W]`.
        pad: black pixels on each side before the crop.
        flip: whether to mirror.
        generator: on the CPU; decides.
    """
    count, _, height, width = images.shape
    if pad:
        padded = functional.pad(images, (pad, pad, pad, pad))
        top, left = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=generator)  # [B, 1] each
        rows = (top + torch.arange(height)).to(images.device)  # [B, H]
        columns = (left + torch.arange(width)).to(images.device)  # [B, W]
        which = torch.arange(count, device=images.device)[:, None, None]
        images = padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if flip:
        mirrored = torch.rand(count, generator=generator).to(images.device) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    spared = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True)
    return torch.optim.RMSprop(groups, lr=recipe.lr, alpha=0.9, eps=1e-3, momentum=recipe.momentum, foreach=True)


def train(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    *,
    normalise: Normalise,
    size: int,
    seed: int,
    after_epoch: Callable[[], float],
) -> Iterator[float]:
    """Train in place; after each epoch yield what `after_epoch` returns.

    Args:
        network: on the device it is trained on, channels last.
        images: what it learns from.
        recipe: how.
        normalise: from bytes to numbers.
        size: pixels a side that the network takes.
        seed: fixes the order of the images and the augmentation. Dropout uses torch's global state.
        after_epoch: called after each epoch; it may leave the network in evaluation mode.

    Raises:
        DivergenceError: when an epoch's loss is not finite.
    """
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    optimizer = _optimizer(network, recipe)
    batch = min(recipe.batch_size, len(images))
    steps = len(images) // batch
    for epoch in range(recipe.epochs):
        network.train()
        order = torch.randperm(len(images), generator=generator).numpy()
        total = torch.zeros((), device=device)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr_at(epoch + (step + 0.5) / steps)  # mid-step: never 0
            pixels, labels = images.batch(order[step * batch : (step + 1) * batch])
            inputs = augment(torch.from_numpy(pixels).to(device), recipe.pad, recipe.flip, generator)
            loss = functional.cross_entropy(
                network(normalise(inputs, size)),
                torch.from_numpy(labels).to(device),
                label_smoothing=recipe.label_smoothing,
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach()
        if not torch.isfinite(total):
            raise DivergenceError(f"loss is {total.item()} in epoch {epoch + 1}")
        yield after_epoch()


@torch.inference_mode()
def accuracy(network: nn.Module, images: Images, *, normalise: Normalise, size: int) -> float:
    """Return the share of images that the network gets right, in evaluation mode."""
    device = next(network.parameters()).device
    network.eval()
    right = torch.zeros((), dtype=torch.int64, device=device)
    for start in range(0, len(images), _EVALUATION_BATCH):
        pixels, labels = images.batch(np.arange(start, min(start + _EVALUATION_BATCH, len(images))))
        logits = network(normalise(torch.from_numpy(pixels).to(device), size))
        right += (logits.argmax(1) == torch.from_numpy(labels).to(device)).sum()
    return int(right) / len(images)
