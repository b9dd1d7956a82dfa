"""The best triple of a coefficient search, as a file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mnas.analysis.ranking import Row, best
from mnas.export import spec as export
from mnas.journal.log import Log
from mnas.version import __version__
from search_space.errors import InputError
from search_space.scaling import Coefficients
from search_space.scaling_space import ScalingSpace

FORMAT = "mnas-coefficients"


def is_one(log: Log) -> bool:
    """Say whether a run is a coefficient search."""
    return isinstance(log.space, ScalingSpace)


def space_of(log: Log) -> ScalingSpace:
    """Return the space of a coefficient search.

    Raises:
        InputError: when the run is another search.
    """
    space = log.space
    if not isinstance(space, ScalingSpace):
        raise InputError(f"{log.run}: no coefficient search; mnas scale-search begins one")
    return space


def triple_of(log: Log, row: Row) -> Coefficients:
    """Return the triple that a trial was scaled by."""
    return space_of(log).triples[log.asks[row.trial].genotype[0]]


def best_triple(log: Log) -> dict[str, Any]:
    """Return the best triple as plain data, with where it is from.

    Raises:
        InputError: when the run is no coefficient search, or is not finished.
    """
    space_of(log)
    if len(log.outcomes) < log.trials:
        raise InputError(
            f"{log.run}: {len(log.outcomes)} of {log.trials} trials "
            f"done; go on with: {log.resume_command}"
        )
    top = best(log, 1)
    if not top:
        raise InputError(f"{log.run}: every network failed; there is no best triple")
    provenance = {
        "run": str(log.run.resolve()),
        "trial": top[0].trial,
        "config_digest": log.header.config_digest,
    }
    found = asdict(triple_of(log, top[0]))
    return {
        "format": FORMAT,
        "mnas": __version__,
        **found,
        "accuracy": top[0].accuracy,
        "provenance": provenance,
    }


def read(path: Path) -> Coefficients:
    """Read a coefficients file.

    Raises:
        InputError: when it is none.
    """
    data = export.read_json(path, "a coefficients file")
    names = Coefficients.__dataclass_fields__
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path}: no coefficients file; takes what mnas scale-search writes")
    for name in names:
        value = data.get(name)
        if not isinstance(value, int | float) or not 1 <= value <= 10:
            raise InputError(f"{path}: {name}: {json.dumps(value)}; takes a number from 1 to 10")
    return Coefficients(**{name: data[name] for name in names})
