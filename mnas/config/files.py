"""Configuration files: found, read, overridden."""

import copy
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mnas.config.config import _NAMED, Config
from search_space.errors import InputError

SHIPPED = Path(__file__).parent / "shipped"


def _assign(tables: dict[str, Any], override: str) -> None:
    """Carry out one `table.key=value`; the value is TOML, or else a plain string.

    Another `name` is another component: the keys of the old one go.
    """
    path, equals, text = override.partition("=")
    *parents, key = path.strip().split(".")
    if not equals or not parents or not key:
        raise InputError(f"--set {override}: takes table.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise InputError(f"--set {override}: {parent} is a value, not a table")
    if key == "name" and value != tables.get("name", _NAMED.get(parents[0], ({}, None))[1]):
        tables.clear()
    tables[key] = value


def find(name: str) -> Path:
    """Return the configuration file: a path, or the name of a shipped one.

    Raises:
        InputError: naming the shipped ones.
    """
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    if Path(name).is_file():
        return Path(name)
    if name.removesuffix(".toml") in shipped:
        return shipped[name.removesuffix(".toml")]
    raise InputError(f"{name}: no such file, and none of the shipped {', '.join(shipped)}")


def load(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration file and apply `table.key=value` overrides.

    Raises:
        InputError: naming the file and line, or the override, that can't be read.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML ({error})") from None
    try:
        config = Config(tables)
    except InputError as error:
        raise error.at(f"{path}: ") from None
    return override(config, overrides)


def override(config: Config, overrides: Iterable[str]) -> Config:
    """Return a configuration with `table.key=value` overrides applied, and the paths of its data
    absolute.

    Raises:
        InputError: naming the override that can't be read, or the table that is none.
    """
    tables = copy.deepcopy(config.tables)
    # Names first: they clear their tables.
    for each in sorted(overrides, key=lambda o: not o.partition("=")[0].rstrip().endswith(".name")):
        _assign(tables, each)
    # The data are found again when the run is gone on with from another folder.
    for table in (tables.get("proxy"), tables.get("train")):
        if isinstance(table, dict) and isinstance(data := table.get("path"), str):
            table["path"] = str(Path(data).expanduser().resolve())
    return Config(tables, config.trusted)
