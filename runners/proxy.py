"""The proxy task: the cheap training on real images that stands for the full one."""

import time
from functools import cached_property
from typing import Literal

import torch

from runners.base import Job, Result
from runners.data import DataSet, open_data
from runners.images import Images, split
from runners.training import Normalise, Recipe, accuracy, train
from search_space.architecture import Architecture
from search_space.errors import InputError, require
from search_space.network import build

_DEFAULT = Recipe()


class ProxyTask:
    """Train a child on the training images, measure it on validation images cut from them.

    The data are read once and stay in the process. On a CPU the job's seed fixes the result bit for
    bit on one machine: threads are pinned, because sums depend on how they are divided.
    """

    def __init__(
        self,
        *,
        recipe: Recipe = _DEFAULT,
        data: str = "mnist-5k",
        path: str | None = None,
        val_fraction: float = 0.2,
        size: int = 224,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        threads: int = 1,
    ) -> None:
        require(0 < val_fraction < 1, "val_fraction", val_fraction, "a number between 0 and 1")
        require(size >= 1, "size", size, "1 pixel or more")
        require(1 <= threads <= 1024, "threads", threads, "1 to 1,024")
        has_gpu = torch.cuda.is_available()
        require(device != "cuda" or has_gpu, "device", device, "cpu or auto here: torch finds no GPU")
        self.recipe, self.val_fraction, self.threads = recipe, val_fraction, threads
        self.data: DataSet = open_data(data, path, size)
        self._name, self._device = data, "cuda" if has_gpu and device != "cpu" else "cpu"

    def check(self, architecture: Architecture) -> None:
        """Refuse a space whose networks do not fit the data.

        Raises:
            InputError: naming the number of classes or input channels.
        """
        for field, asked, found in (
            ("classes", architecture.classes, self.data.classes),
            ("in_channels", architecture.in_channels, self.data.channels),
        ):
            if asked != found:
                raise InputError(f"space.{field}: {asked}, but {self._name} has {found}")

    @cached_property
    def images(self) -> tuple[Images, Images]:
        """The images to train on, and those to measure on; the data set's test part is not read."""
        return split(self.data.read("train"), self.val_fraction)

    @cached_property
    def _normalise(self) -> Normalise:
        return Normalise.of(self.images[0])

    def prepare(self) -> None:
        """Pin the threads and read the data.

        Raises:
            InputError: when the data can't be read.
        """
        torch.set_num_threads(self.threads)
        _ = self._normalise

    def __call__(self, job: Job) -> Result:
        """Train and measure one child.

        Raises:
            DivergenceError: when its loss is no longer finite.
        """
        self.prepare()  # threads may have been set since
        (images, validation), normalise = self.images, self._normalise
        start = time.perf_counter()
        torch.manual_seed(job.seed)
        size = job.architecture.resolution
        network = build(job.architecture, bn_momentum=self.recipe.bn_momentum)
        network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        curve = tuple(
            train(
                network,
                images,
                self.recipe,
                normalise=normalise,
                size=size,
                seed=job.seed,
                after_epoch=lambda: accuracy(network, validation, normalise=normalise, size=size),
            )
        )
        return Result(job.trial, curve[-1], curve, time.perf_counter() - start)
