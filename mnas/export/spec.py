"""Specs: an architecture as a JSON file, with what it costs, what it reached and where it comes
from.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnas.export.strings import from_strings
from mnas.formatting import millions
from mnas.version import __version__
from runners.files import replacing
from search_space import Architecture, InputError
from search_space.cost import cost

FORMAT = "mnas-spec"
VERSION = 1
_MEASURED = ("validation", "test")  # parts of the data


def spec(architecture: Architecture, name: str, **more: Any) -> dict[str, Any]:
    """Return an architecture's spec; `more` (accuracy, provenance) goes behind what follows from
    it.
    """
    price = cost(architecture)
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "digest": architecture.digest,
        "macs": price.macs,
        "params": price.params,
        "blocks": list(architecture.block_strings),
        "architecture": architecture.to_json(),
        **more,
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON to `path`, whole or not at all; see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def architecture(content: Mapping[str, Any]) -> Architecture:
    """Return the architecture of a spec."""
    return Architecture.from_json(content["architecture"])


def headline(content: Mapping[str, Any]) -> str:
    """Say in one line what a spec is."""
    words = [str(content["name"])]
    words += [
        f"{millions(content[field])} {unit}"
        for field, unit in (("macs", "MACs"), ("params", "params"))
    ]
    if "accuracy" in content:
        words += [
            f"{part} accuracy {value:.4f}"
            for part, value in content["accuracy"].items()
            if part in _MEASURED
        ]
    return ", ".join(words)


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file that is to be `what`.

    Raises:
        InputError: when it is no such file.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(
            f"{path}: a folder; takes {what}, which mnas export makes of a run"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not {what}, not even JSON ({error})") from None


def read(path: Path) -> dict[str, Any]:
    """Read a spec, or make one of a file of block strings that `strings` wrote.

    Raises:
        InputError: when it is neither; see `checked`.
    """
    data = read_json(path, "a spec")
    if isinstance(data, dict) and ("arch_def" in data or "blocks_args" in data):
        try:
            return spec(
                from_strings(data), re.sub(r"[^\w-]+", "-", path.stem).strip("-") or "network"
            )
        except InputError as error:
            raise error.at(f"{path}: ") from None
        except (TypeError, AttributeError) as error:
            raise InputError(f"{path}: no block strings that can be read ({error})") from None
    try:
        return checked(data)
    except InputError as error:
        raise error.at(f"{path}: ") from None


def checked(data: Any) -> dict[str, Any]:
    """Return `data` when it is a spec.

    Raises:
        InputError: when it is none, is of another version, or its figures are not its
            architecture's.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError("not a spec; takes what mnas export or mnas zoo writes")
    if data.get("version") != VERSION:
        raise InputError(
            f"spec version {data.get('version')!r}; mnas {__version__} reads version {VERSION}"
        )
    found = Architecture.from_json(data.get("architecture"))
    name = data.get("name")
    # It becomes part of file names: it must not lead out of a folder.
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"name is {name!r}; takes letters, digits, '.', '_' and '-'")
    # Not the architecture itself, to which a later version may have added a field with its default.
    for field, true in spec(found, name).items():
        if field != "architecture" and data.get(field) != true:
            raise InputError(
                f"{field} is {data.get(field)!r}, its architecture's is {true!r}; edited by hand?"
            )
    accuracy = data.get("accuracy", {"validation": 0.0})
    if not isinstance(accuracy, dict) or not all(
        isinstance(accuracy.get(part, 0.0), float) for part in _MEASURED
    ):
        raise InputError("accuracy: takes an object with validation and test, numbers")
    return data
