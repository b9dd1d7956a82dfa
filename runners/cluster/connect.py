"""Joining a Ray cluster, or starting one on this machine. Imported by what runs on Ray, when it
runs.
"""

import contextlib
import importlib.util
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from runners.memory import allocator
from search_space.errors import InputError

OURS = ("mnas", "search_space", "controllers", "runners")


def connect(address: str | None, cpus: int) -> bool:
    """Join the cluster at `address`; this process stays in it until it ends.

    Args:
        address: `local` starts a cluster on this machine, `auto` joins the one that runs on it, and
            `HOST:PORT` or `ray://HOST:PORT` another. None takes RAY_ADDRESS, which `ray job submit`
            sets, or else `local`.
        cpus: logical cores that a cluster of this machine is to have, at least: more than there are
            is slow, but fewer than the workers ask for would be waiting for ever.

    Returns:
        Whether the cluster was started here, so that no node will ever join it.

    Raises:
        InputError: when there is no cluster at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if ray.is_initialized():
        return address == "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
        options["runtime_env"] = {
            "env_vars": allocator()
        }  # elsewhere nodes have paths of their own
    else:
        _check(address)
        # Our code travels along: a cluster need not have it, and can't have another version of it.
        options["runtime_env"] = {"py_modules": _packages()}
    with _keeping_sigterm():
        try:
            ray.init(address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"address: {address}: {' '.join(str(error).split())[:300]}") from None
    return address == "local"


def _check(address: str) -> None:
    """Knock at the address: Ray itself would for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise InputError(f"address: {address}: no Ray cluster there ({error})") from None


@contextlib.contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Take back the handling of SIGTERM, which Ray takes: a search that is told to stop says how to
    go on.
    """
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _packages() -> list[str]:
    specs = (importlib.util.find_spec(name) for name in OURS)
    return [str(Path(spec.origin).parent) for spec in specs if spec and spec.origin]
