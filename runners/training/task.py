"""What the proxy task and the full training share: the images, their cut, and the device."""

import os
from functools import cached_property
from typing import Literal

import torch

from runners.data.base import DataSet
from runners.data.datasets import open_data
from runners.data.images import Images, split
from runners.memory import keep_freed
from runners.training.augment import Normalise
from runners.training.loop import Training
from runners.training.recipe import Recipe
from search_space.architecture import Architecture
from search_space.errors import InputError, require
from search_space.network.build import build

AskedPrecision = Literal["auto", "float32", "bfloat16"]


def made_for_bfloat16(device: str) -> bool:
    """Say whether a processor multiplies matrices of bfloat16 faster than those of float32: `cpu`
    or `cuda`.
    """
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    has: dict[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # older versions of torch can't say
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


class ImageTask:
    """Images to train on, images to measure on that are cut from them, and a device.

    The data are read once and stay in the process. On a CPU a seed fixes a training bit for bit on
    one machine: threads are pinned, because sums depend on how they are divided. On a GPU it does
    so when `deterministic`, which keeps cuDNN and PyTorch from kernels that add in any order.

    A `precision` of `auto` takes bfloat16 on a GPU or a CPU that is made for it.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        data: str,
        path: str | None,
        val_fraction: float,
        size: int,
        device: Literal["auto", "cpu", "cuda"],
        threads: int,
        readers: int | None,
        precision: AskedPrecision = "auto",
        deterministic: bool = False,
        train_fraction: float = 1.0,
    ) -> None:
        require(0 < val_fraction < 1, "val_fraction", val_fraction, "a number between 0 and 1")
        require(size >= 1, "size", size, "1 pixel or more")
        require(1 <= threads <= 1024, "threads", threads, "1 to 1,024")
        require(
            readers is None or 0 <= readers <= 1024,
            "readers",
            readers,
            "0 (no thread of its own) to 1,024",
        )
        require(0 < train_fraction <= 1, "train_fraction", train_fraction, "a number above 0, to 1")
        self.recipe, self.val_fraction, self.threads = recipe, val_fraction, threads
        self.data: DataSet = open_data(data, path, size)
        self._name, self._device, self._readers, self._train_fraction = (
            data,
            device,
            readers,
            train_fraction,
        )
        self._precision, self._deterministic = precision, deterministic

    @property
    def takes_gpu(self) -> bool:
        """Whether it trains on a GPU where there is one."""
        return self._device != "cpu"

    @property
    def device(self) -> str:
        """Where this process trains: `cpu` or `cuda`."""
        return "cuda" if self.takes_gpu and torch.cuda.is_available() else "cpu"

    def check_device(self) -> None:
        """Refuse `cuda` in a process that has none."""
        require(
            self._device in ("auto", self.device),
            "device",
            self._device,
            "cpu or auto here: torch finds no GPU",
        )

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
        images, validation = split(self.data.read("train"), self.val_fraction)
        if self._train_fraction < 1:
            _, images = split(images, self._train_fraction)
        return images, validation

    @property
    def readers(self) -> int:
        """How many threads read ahead: unless said, four where pictures are decoded while a GPU
        trains.
        """
        if self._readers is None:
            return 4 if self.device == "cuda" and not self.data.in_memory else 0
        return self._readers

    def share(self) -> None:
        """Read the images now where they are arrays, so that they travel with the task when it is
        sent elsewhere.
        """
        if self.data.in_memory:
            _ = self.images

    @cached_property
    def _normalise(self) -> Normalise:
        return Normalise.of(self.images[0])

    def prepare(self) -> None:
        """Pin threads, memory and, where asked, the GPU's kernels; read the data.

        Raises:
            InputError: when the data can't be read.
        """
        self.check_device()
        keep_freed()
        torch.set_num_threads(self.threads)
        if self._deterministic and self.device == "cuda":
            os.environ.setdefault(
                "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
            )  # cuBLAS reads it when it starts
            torch.use_deterministic_algorithms(True)
        _ = self._normalise

    @property
    def _low_precision(self) -> bool:
        if self._precision == "auto":
            return made_for_bfloat16(self.device)
        return self._precision == "bfloat16"

    def begin(self, architecture: Architecture, seed: int) -> Training:
        """Build a network from `seed`, and what trains it."""
        torch.manual_seed(seed)
        network = build(architecture, bn_momentum=self.recipe.bn_momentum)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Training(
            network,
            self.recipe,
            normalise=self._normalise,
            size=architecture.resolution,
            seed=seed,
            precision="bfloat16" if self._low_precision else "float32",
            readers=self.readers,
        )
