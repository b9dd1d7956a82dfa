"""The run directory: its files, its lock, and links refused."""

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO

from search_space.errors import InputError

NAME = "journal.jsonl"


TRAINING = "training.json"  # what a training's run directory has in its place; see mnas.training


def has_begun(run: Path) -> bool:
    """Say whether a search was begun in `run`: whether its journal has a whole line."""
    path = run / NAME
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline().endswith(b"\n")


def no_follow(path: str, flags: int) -> int:
    """Open a run directory's file, for `open`'s `opener`, but never through a link.

    A stranger's run directory could hold links to the user's own files.
    """
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def refuse_begun(run: Path) -> None:
    """Raise InputError when a search or a training was begun in `run`, or it is a file."""
    if run.exists() and not run.is_dir():
        raise InputError(f"{run}: not a folder; takes the name of a new one")
    for begun, what in ((has_begun(run), "search"), ((run / TRAINING).exists(), "training")):
        if begun:
            raise InputError(f"{run}: a {what} was begun here; go on with it: mnas resume {run}")


def locked(run: Path) -> IO[str]:
    """Take the run's lock, which the system releases when this process ends, however it ends."""
    lock = open(run / "lock", "a+", opener=no_follow)  # noqa: SIM115  # held until the journal is closed
    for patience in (0.1, 0.2, None):  # `is_running` may hold it for an instant
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if patience is None:
                lock.seek(0)
                holder = lock.read().strip()
                lock.close()
                raise InputError(f"{run}: process {holder} is writing this run") from None
            time.sleep(patience)
    # Who holds it, for people; on a full disk nobody is told.
    with contextlib.suppress(OSError):
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {socket.gethostname()}")
        lock.flush()
    return lock


def is_running(run: Path) -> bool:
    """Say whether some process holds the run's lock. Takes it for no longer than the question."""
    try:
        with (run / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
