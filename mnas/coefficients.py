"""The coefficient search (EfficientNet, arXiv 1905.11946, §3.3, step 1), as a search over triples.

Google released the coefficients it found, not the search. Here it is a run like any other, whose space
is `search_space.scaling_space`, whose controller tries every triple, and whose reward is the accuracy.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from mnas import __version__, export
from mnas.config import Config
from mnas.log import Log
from mnas.report import Row, best, millions
from search_space import Architecture, InputError
from search_space.cost import cheapest, cost
from search_space.scaling import Coefficients
from search_space.scaling_space import ScalingSpace

FORMAT = "mnas-coefficients"


def plan(config: Config, baseline: Architecture) -> Config:
    """Return the configuration of the coefficient search of `baseline`.

    Of `config` it takes the grid (`[space]`), `[runner]`, `[proxy]`, and of `[search]` all but the trials:
    every triple is one. Accuracy alone is rewarded, since the triples were chosen to cost alike.
    """
    grid = {key: value for key, value in config.tables.get("space", {}).items() if key != "name"}
    tables: dict[str, Any] = dict(config.tables)
    tables["space"] = {"name": "scaling", **grid, "baseline": baseline.to_json()}
    tables["controller"] = {"name": "exhaustive"}
    space = Config({"space": tables["space"]}).space()
    tables["search"] = {**config.tables.get("search", {}), "trials": space.size}
    least = cost(space.decode(cheapest(space, "macs"))).macs
    tables["reward"] = {"target": max(2 * cost(baseline).macs, least), "alpha": 0.0, "beta": 0.0}
    return Config(tables)


def is_one(log: Log) -> bool:
    """Say whether a run is a coefficient search."""
    return isinstance(log.space, ScalingSpace)


def _space(log: Log) -> ScalingSpace:
    space = log.space
    if not isinstance(space, ScalingSpace):
        raise InputError(f"{log.run}: no coefficient search; mnas scale-search begins one")
    return space


def _triple(log: Log, row: Row) -> Coefficients:
    return _space(log).triples[log.asks[row.trial].genotype[0]]


def table(log: Log) -> str:
    """Write the networks that were trained, by accuracy, with their coefficients and multiply-adds.

    Raises:
        InputError: when the run is no coefficient search.
    """
    space = _space(log)
    rows = [
        [
            f"{triple.depth_base:g}",
            f"{triple.width_base:g}",
            f"{triple.resolution_base:g}",
            f"{row.accuracy:.4f}",
            millions(row.macs),
            f"{row.macs / cost(space.template).macs:.2f}",
            sum(log.asks[trial].digest == row.digest for trial in log.outcomes),
        ]
        for row in best(log, len(log.outcomes))
        for triple in (_triple(log, row),)
    ]
    headers = ["depth α", "width β", "resolution γ", "accuracy", "MACs", "of baseline", "triples alike"]
    return tabulate(rows, headers, disable_numparse=True)


def best_triple(log: Log) -> dict[str, Any]:
    """Return the best triple as plain data, with where it is from.

    Raises:
        InputError: when the run is no coefficient search, or is not finished.
    """
    _space(log)
    if len(log.outcomes) < log.trials:
        raise InputError(
            f"{log.run}: {len(log.outcomes)} of {log.trials} trials done; go on with: {log.resume_command}"
        )
    top = best(log, 1)
    if not top:
        raise InputError(f"{log.run}: every network failed; there is no best triple")
    provenance = {"run": str(log.run.resolve()), "trial": top[0].trial, "config_digest": log.header.config_digest}
    found = asdict(_triple(log, top[0]))
    return {"format": FORMAT, "mnas": __version__, **found, "accuracy": top[0].accuracy, "provenance": provenance}


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
