"""One network trained by several processes: Ray Train's TorchTrainer, DistributedDataParallel in
each.

The processes may be on other machines; what they write goes to the training's folder, which all
must see.
"""

import contextlib
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.train.torch
from ray.train import RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from runners import checkpoint
from runners.checkpoint import Moment, Tell
from runners.cluster.connect import connect
from search_space.architecture import Architecture
from search_space.errors import InputError, require

if TYPE_CHECKING:
    from runners.training.full import FullTraining

logger = logging.getLogger("mnas")

_RETRIES = 3
_NAME = "ray"  # the folder of Ray Train's own state
_EVERY = 0.5  # seconds between two words of progress


@dataclass(frozen=True, slots=True)
class _BadInput:
    """Why a process ends, where that is the user's to mend."""

    message: str


def _work(config: dict[str, Any]) -> None:
    """Be one of the processes; the first one's progress goes to the queue."""
    import torch

    queue = config["queue"]
    if config["use_gpu"]:
        torch.cuda.set_device(ray.train.torch.get_device())
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = (
            ""  # Ray leaves all cards visible to those that asked for none
        )
    last = 0.0

    def tell(moment: Moment) -> None:
        nonlocal last
        if moment.seen == 0 or time.monotonic() - last > _EVERY:
            queue.put(moment)
            last = time.monotonic()

    try:
        config["task"].train(config["architecture"], config["folder"], tell)
    except InputError as error:
        queue.put(_BadInput(str(error)))
        raise


@contextlib.contextmanager
def _listening(queue: Queue, tell: Tell) -> Iterator[list[str]]:
    """Call `tell` with the progress from the queue, in a thread: the trainer holds the main one.

    Yields:
        The messages of bad input; all of them when the context has ended.
    """
    stop = threading.Event()
    bad_input: list[str] = []

    def listen() -> None:
        while not stop.is_set() or not queue.empty():
            with contextlib.suppress(Empty):
                word = queue.get(timeout=_EVERY)
                if isinstance(word, _BadInput):
                    bad_input.append(word.message)
                else:
                    tell(word)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield bad_input
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
    require(
        not local or gpus >= task.workers,
        "workers",
        task.workers,
        f"one for each GPU here at most, {gpus}",
    )
    return True


def train(task: "FullTraining", architecture: Architecture, folder: Path, tell: Tell) -> None:
    """Train a network with `task.workers` processes, and start them again from the checkpoint when
    one dies.

    Raises:
        InputError: as `FullTraining.train` in one of the processes, or when they fail again and
            again.
    """
    use_gpu = _join(task)
    retries = _RETRIES
    done = len(checkpoint.read(folder, architecture.digest).epochs)
    while True:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        work = {
            "task": task,
            "architecture": architecture,
            "folder": folder.resolve(),
            "queue": queue,
        }
        trainer = TorchTrainer(
            _work,
            train_loop_config={**work, "use_gpu": use_gpu},
            scaling_config=ScalingConfig(num_workers=task.workers, use_gpu=use_gpu),
            run_config=RunConfig(name=_NAME, storage_path=str(folder.resolve())),
        )
        failure: Exception | None = None
        with _listening(queue, tell) as bad_input, _keeping_sigint():
            try:
                trainer.fit()
            except TrainingFailedError as error:
                failure = error
        queue.shutdown()
        if failure is None:
            shutil.rmtree(folder / _NAME)
            return
        if bad_input:
            raise InputError(bad_input[0])
        now = len(checkpoint.read(folder, architecture.digest).epochs)
        retries, done = (_RETRIES, now) if now > done else (retries - 1, done)
        why = str(failure).strip().splitlines()[-1]
        if retries < 0:
            raise InputError(
                f"its workers failed {_RETRIES + 1} times without an "
                f"epoch between; Ray's logs say why ({why})"
            )
        logger.warning(
            "a worker of the training failed; all go on from the last checkpoint (%s)", why
        )


@contextlib.contextmanager
def _keeping_sigint() -> Iterator[None]:
    """Make Ctrl-C what it was: the trainer ends the process without an error instead."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)
