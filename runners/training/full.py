"""The full training of a network that leaves the search: the paper's recipe, checkpoints, the test
images.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from runners import checkpoint
from runners.base import Failure, FailureKind
from runners.checkpoint import Epoch, Moment, Tell
from runners.training import tensors
from runners.training.loop import rank_of, same_everywhere
from runners.training.recipe import PAPER, Recipe
from runners.training.task import AskedPrecision, ImageTask
from search_space.architecture import Architecture
from search_space.errors import InputError, require

_REMEDIES: dict[FailureKind, str] = {"diverged": "lr", "out-of-memory": "batch_size"}


class FullTraining(ImageTask):
    """Train a network by the paper's recipe, and measure it on the test images once, at the end.

    Args:
        recipe: how; MnasNet's and EfficientNet's, unless said otherwise.
        data: the data set.
        path: where it lies.
        val_fraction: share of the training images that the curve is measured on.
        size: pixels a side that pictures are decoded to.
        seed: fixes weights, order, augmentation and dropout.
        device: `auto` takes a GPU where there is one.
        precision: of the forward pass.
        deterministic: whether a GPU gives the same bits each time, too.
        threads: of each worker on the CPU.
        readers: threads of each worker that read pictures ahead; 4 beside a GPU, unless said.
        workers: processes that share each batch, each with a GPU of its own where there are any.
            More than one are Ray Train's.
        address: of their Ray cluster; see `ray_cluster.connect`.
    """

    def __init__(
        self,
        *,
        data: str,
        recipe: Recipe = PAPER,
        path: str | None = None,
        val_fraction: float = 0.1,
        size: int = 224,
        seed: int = 0,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        precision: AskedPrecision = "auto",
        deterministic: bool = False,
        threads: int = 1,
        readers: int | None = None,
        workers: int = 1,
        address: str | None = None,
    ) -> None:
        require(0 <= seed < 2**63, "seed", seed, "0 to below 2^63")
        most = recipe.batch_size // 2
        require(
            1 <= workers <= most,
            "workers",
            workers,
            f"1 to {most}: two images of recipe.batch_size each",
        )
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
        )
        self._seed = seed
        self.workers, self.address = workers, address
        if workers == 1:
            self.check_device()

    @property
    def epochs(self) -> int:
        """How many in all."""
        return self.recipe.epochs

    def fitted(self, architecture: Architecture) -> Architecture:
        """Return the architecture with as many classes and input channels as the data have."""
        return replace(architecture, classes=self.data.classes, in_channels=self.data.channels)

    def __call__(self, architecture: Architecture, folder: Path, tell: Tell) -> None:
        """Train a network from where its checkpoint in `folder` stands to the end.

        Raises:
            InputError: when the data or the checkpoint can't be read, the disk is full, the loss is
                no longer finite, or the memory does not suffice.
        """
        if self.workers == 1:
            self.train(architecture, folder, tell)
        else:
            from runners.training.distributed import train  # ray: seconds

            train(self, architecture, folder, tell)

    def train(self, architecture: Architecture, folder: Path, tell: Tell) -> None:
        """Be the one process that trains, or one of those that torch.distributed joined.

        Raises:
            InputError: as above.
        """
        try:
            self._train(architecture, folder, tell)
        except Exception as error:
            failure = Failure.of(error)
            if failure.kind not in _REMEDIES:
                raise
            remedy = f"begin again with a smaller recipe.{_REMEDIES[failure.kind]}"
            raise InputError(f"{error}; {remedy}") from None

    def _train(self, architecture: Architecture, folder: Path, tell: Tell) -> None:
        self.prepare()
        training = self.begin(architecture, self._seed)
        record = checkpoint.read(folder, architecture.digest)
        if not same_everywhere(len(record.epochs)):
            raise InputError(
                f"{folder}: not the same for all workers; takes storage that all of them see"
            )
        if record.epochs:
            training.load(tensors.load(folder / checkpoint.NAME)[0])
        images, validation = self.images
        batch, steps = self.recipe.batches(len(images))
        first = rank_of()[0] == 0

        def say(seen: int) -> None:
            if first:
                tell(Moment(seen=seen, of=batch * steps, epochs=self.recipe.epochs, record=record))

        def keep() -> None:
            if first:
                head = {checkpoint.KEY: checkpoint.to_json(record)}
                tensors.save(training.tensors(), folder / checkpoint.NAME, head)
            say(0)

        for number in range(len(record.epochs), self.recipe.epochs):
            start = time.perf_counter()
            loss = training.epoch(number, images, say)
            seconds = time.perf_counter() - start
            epoch = Epoch(
                loss=loss,
                accuracy=training.accuracy(validation),
                seconds=seconds,
                images=batch * steps,
            )
            record = replace(record, epochs=(*record.epochs, epoch))
            keep()
        if record.test is None:
            record = replace(record, test=training.accuracy(self.data.read("test")))
            keep()
