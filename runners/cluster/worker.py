"""What runs on a node of a Ray cluster: an actor that carries out one job after the other."""

import contextlib
import importlib.metadata
import os
import pickle
import platform
from dataclasses import dataclass
from pathlib import Path

import ray

from runners.base import Evaluate, Job, Result, attempt
from search_space.errors import InputError


@dataclass(frozen=True, slots=True)
class Ready:
    """What an actor says when it is ready: where it is, and with what versions."""

    node: str  # Ray's id
    host: str
    versions: dict[str, str]
    bad_input: str | None  # why it can't be ready


def versions() -> dict[str, str]:
    """Return the versions that must agree between driver and workers."""
    found = {"python": platform.python_version()}
    for package in ("torch", "numpy", "ray"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


class Actor:
    """Carries out jobs, one at a time, in a process of its own on some node."""

    def __init__(self, evaluate: Evaluate, name: str, logs: Path | None) -> None:
        self._evaluate, self._name = evaluate, name
        # Where the run directory can be seen from this node, its worker's output goes there, else
        # to Ray's log.
        if logs and logs.is_dir() and not logs.is_symlink():
            with contextlib.suppress(OSError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
                sink = os.open(logs / f"{name}.log", flags, 0o666)
                os.dup2(sink, 1)
                os.dup2(sink, 2)

    def prepare(self) -> Ready:
        """Read what every job needs."""
        bad_input = None
        try:
            self._evaluate.prepare()
        except InputError as error:
            bad_input = str(error)
        return Ready(
            ray.get_runtime_context().get_node_id(), platform.node(), versions(), bad_input
        )

    def run(self, job: bytes) -> Result:
        """Carry out a pickled Job: the driver's own, which comes the way that this class itself
        did.
        """
        asked: Job = pickle.loads(job)
        return attempt(self._evaluate, asked, f"{self._name}@{platform.node()}")
