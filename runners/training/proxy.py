"""The proxy task: the cheap training on real images that stands for the full one."""

import dataclasses
import time
from typing import Literal

from runners.base import Job, Result
from runners.training.recipe import Recipe
from runners.training.task import AskedPrecision, ImageTask
from search_space.architecture import Architecture
from search_space.errors import require

_DEFAULT = Recipe()


class ProxyTask(ImageTask):
    """Train a child on the training images, measure it on validation images cut from them."""

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
        readers: int | None = None,
        precision: AskedPrecision = "auto",
        deterministic: bool = False,  # the same bits each time on a GPU, too; slower
        # of the images that are not measured on, the same of every class
        train_fraction: float = 1.0,
        # of their networks' pixels a side that children see; cost counts them all
        resolution_fraction: float = 1.0,
    ) -> None:
        require(
            0 < resolution_fraction <= 1,
            "resolution_fraction",
            resolution_fraction,
            "a number above 0, to 1",
        )
        self._resolution_fraction = resolution_fraction
        super().__init__(
            recipe=recipe,
            data=data,
            path=path,
            val_fraction=val_fraction,
            size=size,
            device=device,
            threads=threads,
            readers=readers,
            precision=precision,
            deterministic=deterministic,
            train_fraction=train_fraction,
        )

    def child(self, architecture: Architecture) -> Architecture:
        """Return what is trained for an architecture: itself, or its like that takes
        fewer pixels.
        """
        pixels = max(1, round(self._resolution_fraction * architecture.resolution))
        return dataclasses.replace(architecture, resolution=pixels)

    def __call__(self, job: Job) -> Result:
        """Train and measure one child, to its end or until it is hopeless.

        Raises:
            DivergenceError: when its loss is no longer finite.
        """
        self.prepare()  # threads may have been set since
        images, validation = self.images
        start = time.perf_counter()
        training = self.begin(self.child(job.architecture), job.seed)
        curve: list[float] = []
        for epoch in range(self.recipe.epochs):
            training.epoch(epoch, images)
            curve.append(training.accuracy(validation))
            if job.hopeless(curve):
                break
        return Result(job.trial, curve[-1], tuple(curve), time.perf_counter() - start)
