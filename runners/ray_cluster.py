"""Joining a Ray cluster, or starting one on this machine. Imported by what runs on Ray, when it runs."""

import importlib.util
import logging
import os
from pathlib import Path
from typing import Any

import ray

from search_space.errors import InputError

OURS = ("mnas", "search_space", "controllers", "runners")


def connect(address: str | None, cpus: int) -> bool:
    """Join the cluster at `address`; this process stays in it until it ends.

    Args:
        address: `local` starts a cluster on this machine, `auto` joins the one that runs on it, and `HOST:PORT`
            or `ray://HOST:PORT` another. None takes RAY_ADDRESS, which `ray job submit` sets, or else `local`.
        cpus: logical cores that a cluster of this machine is to have, at least: more than there are is slow,
            but fewer than the workers ask for would be waiting for ever.

    Returns:
        Whether the cluster was started here, so that no node will ever join it.

    Raises:
        InputError: when there is no cluster at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if ray.is_initialized():
        return address == "local"
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        ray.init("local", num_cpus=max(cpus, os.cpu_count() or 1), include_dashboard=False, **quiet)
        return True
    try:
        # Our code travels along: a cluster need not have it, and can't have another version of it.
        ray.init(address, runtime_env={"py_modules": _packages()}, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"address: {address}: no Ray cluster there ({' '.join(str(error).split())[:200]})") from None
    return False


def _packages() -> list[str]:
    specs = (importlib.util.find_spec(name) for name in OURS)
    return [str(Path(spec.origin).parent) for spec in specs if spec and spec.origin]
