"""Folders to read from, and files that are there whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from search_space.errors import InputError


def folder(path: str | None) -> Path:
    """Return the folder that a user's `path` names.

    Raises:
        InputError: when it is missing or no folder.
    """
    if path is None:
        raise InputError("path: missing; this data set is read from a folder of yours")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise InputError(f"path: {path} is no folder")
    return root


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, whose file takes `path`'s place when all went well, and is gone if
    not.

    It is on the disk before it takes the place.

    Raises:
        InputError: when something else than a file is there, or it can't be written.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a file; takes the name of one to write")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # whoever left a link there
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
