"""How a network is trained: a recipe's numbers, its learning rate over time, its optimizer."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from runners.training.optimizers import SGD, Optimizer, RMSprop
from search_space.errors import require


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a network is trained. The defaults suit minutes, not days.

    The learning rate climbs linearly for `warmup_epochs`. Then it falls along a half cosine to 0,
    or is `lr_decay` times smaller after each `lr_decay_epochs`, counted from the start of the
    training. Weight decay spares biases and batch norm.
    """

    epochs: int = 2
    batch_size: int = 64  # of all workers together
    optimizer: Literal["sgd", "rmsprop"] = "sgd"
    lr: float = 0.1  # at the peak, for one batch
    schedule: Literal["cosine", "exponential"] = "cosine"
    lr_decay: float = 0.97
    lr_decay_epochs: float = 2.4
    momentum: float = 0.9  # Nesterov's with sgd
    weight_decay: float = 1e-4
    warmup_epochs: float = 0.5
    label_smoothing: float = 0.1
    pad: int = 2  # pixels: a random crop out of the image with so much black around
    flip: bool = False  # mirror every other image, by chance
    cutout: int = 0  # pixels a side of a square that is blackened in each image (arXiv 1708.04552)
    mixup: float = (
        0.0  # α of the beta distribution by which two images are mixed (arXiv 1710.09412); 0: none
    )
    bn_momentum: float = 0.1  # weight of the newest batch in batch norm's statistics
    ema: float = (
        0.0  # share that a running average of the weights keeps at a step; it is what is measured
    )

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "1 or more")
        require(
            self.batch_size >= 2,
            "batch_size",
            self.batch_size,
            "2 or more (batch norm needs two images)",
        )
        require(0 < self.lr < math.inf, "lr", self.lr, "a number above 0")
        require(0 < self.lr_decay <= 1, "lr_decay", self.lr_decay, "above 0, to 1")
        require(
            0 < self.lr_decay_epochs < math.inf,
            "lr_decay_epochs",
            self.lr_decay_epochs,
            "a number above 0",
        )
        require(0 <= self.momentum < 1, "momentum", self.momentum, "a number from 0 to below 1")
        require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "0 or more")
        require(
            0 <= self.warmup_epochs < self.epochs,
            "warmup_epochs",
            self.warmup_epochs,
            "0 to below epochs",
        )
        require(
            0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 to below 1"
        )
        require(self.pad >= 0, "pad", self.pad, "0 or more")
        require(self.cutout >= 0, "cutout", self.cutout, "0 (none) or more")
        require(0 <= self.mixup < math.inf, "mixup", self.mixup, "0 (none) or more")
        require(0 < self.bn_momentum <= 1, "bn_momentum", self.bn_momentum, "above 0, to 1")
        require(0 <= self.ema < 1, "ema", self.ema, "0 (none) to below 1")

    def batches(self, images: int) -> tuple[int, int]:
        """Return how many images a batch has, and how many batches an epoch; an incomplete last one
        is left out.
        """
        batch = min(self.batch_size, images)
        return batch, images // batch

    def lr_at(self, epoch: float) -> float:
        """Return the learning rate at a moment, in epochs from the start."""
        if epoch < self.warmup_epochs:
            return self.lr * epoch / self.warmup_epochs
        if self.schedule == "exponential":
            return self.lr * self.lr_decay ** math.floor(epoch / self.lr_decay_epochs)
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.lr * 0.5 * (1 + math.cos(math.pi * done))

    def ema_at(self, step: int) -> float:
        """Return the share that the average keeps after `step` steps: less at first, so that it
        catches up.

        As in the papers' release, whose average (TensorFlow's) is told how many steps were made.
        """
        return min(self.ema, (1 + step) / (10 + step))

    def make_optimizer(self, values: Tensor, *, decays: bool) -> Optimizer:
        """Return what trains a vector of parameters, with weight decay or without."""
        weight_decay = self.weight_decay if decays else 0.0
        if self.optimizer == "sgd":
            return SGD(values, momentum=self.momentum, weight_decay=weight_decay)
        return RMSprop(values, momentum=self.momentum, weight_decay=weight_decay)


# MnasNet §5.1 and EfficientNet §5.2: 0.016 a batch of 256 images, on ImageNet.
PAPER = Recipe(
    epochs=350,
    batch_size=256,
    optimizer="rmsprop",
    lr=0.016,
    schedule="exponential",
    weight_decay=1e-5,
    warmup_epochs=5.0,
    bn_momentum=0.01,
    ema=0.9999,
)
