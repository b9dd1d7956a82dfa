"""One network trained by several processes: Ray Train's TorchTrainer, DistributedDataParallel in each.

The processes may be on other machines; what they write goes to the training's folder, which all must see.
"""

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.train.torch
from ray.train import RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue

from runners.checkpoint import Moment, Tell
from runners.ray_cluster import connect
from search_space.architecture import Architecture
from search_space.errors import InputError, require

if TYPE_CHECKING:
    from runners.full import FullTraining

logger = logging.getLogger("mnas")

_RETRIES = 3
_NAME = "ray"  # the folder of Ray Train's own state
_EVERY = 0.5  # seconds between two words of progress


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a process says before it ends with an error."""

    rank: int
    bad_input: str | None  # the message, where that was the reason


def _work(config: dict[str, Any]) -> None:
    """Be one of the processes; the first one's progress goes to the queue."""
    import torch

    device, queue = ray.train.torch.get_device(), config["queue"]
    if device.type == "cuda":
        torch.cuda.set_device(device)
    last = 0.0

    def tell(moment: Moment) -> None:
        nonlocal last
        if moment.seen == 0 or time.monotonic() - last > _EVERY:
            queue.put(moment)
            last = time.monotonic()

    try:
        config["task"].train(config["architecture"], config["folder"], tell)
    except Exception as error:
        rank = ray.train.get_context().get_world_rank()
        queue.put(_Raised(rank, str(error) if isinstance(error, InputError) else None))
        raise


@contextlib.contextmanager
def _listening(queue: Queue, tell: Tell) -> Iterator[dict[int, _Raised]]:
    """Call `tell` with the progress from the queue, in a thread: the trainer holds the main one.

    Yields:
        What was raised, by rank; all of it when the context has ended.
    """
    stop = threading.Event()
    raised: dict[int, _Raised] = {}

    def listen() -> None:
        while not stop.is_set() or not queue.empty():
            with contextlib.suppress(Empty):
                word = queue.get(timeout=_EVERY)
                if isinstance(word, _Raised):
                    raised[word.rank] = word
                else:
                    tell(word)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield raised
    finally:
        stop.set()
        thread.join()


def _join(task: "FullTraining") -> bool:
    """Join the task's cluster.

    Returns:
        Whether the workers are to have a GPU each.
    """
    local = connect(task.address, task.workers)
    gpus = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
    if not task.takes_gpu or not gpus:
        return False
    # A cluster that grows may have them later.
    require(not local or gpus >= task.workers, "workers", task.workers, f"one for each GPU here at most, {gpus}")
    return True


def train(task: "FullTraining", architecture: Architecture, folder: Path, tell: Tell) -> None:
    """Train a network with `task.workers` processes, and start them again from the checkpoint when one dies.

    Raises:
        InputError: as `FullTraining.train` in one of the processes.
        RuntimeError: when a process raised something else, or processes died too often.
    """
    use_gpu = _join(task)
    queue = Queue(actor_options={"num_cpus": 0})
    for retries in range(_RETRIES, -1, -1):
        trainer = TorchTrainer(
            _work,
            train_loop_config={"task": task, "architecture": architecture, "folder": folder.resolve(), "queue": queue},
            scaling_config=ScalingConfig(num_workers=task.workers, use_gpu=use_gpu),
            run_config=RunConfig(name=_NAME, storage_path=str(folder.resolve())),
        )
        failures: Mapping[int, Exception] = {}
        with _listening(queue, tell) as raised:
            try:
                trainer.fit()
            except WorkerGroupError as error:
                failures = error.worker_failures
        if not failures:
            shutil.rmtree(folder / _NAME)
            return
        for word in raised.values():
            if word.bad_input is not None:
                raise InputError(word.bad_input)
        # One that died could say nothing; the others then fail at their next word with it.
        if not retries or failures.keys() <= raised.keys():
            raise RuntimeError("the training's workers failed; their logs are Ray's") from next(iter(failures.values()))
        logger.warning("a worker of the training died; all go on from the last checkpoint")
