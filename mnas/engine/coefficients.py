"""The coefficient search (EfficientNet, arXiv 1905.11946, §3.3, step 1), as a search over triples.

Google released the coefficients it found, not the search. Here it is a run like any other, whose
space is `search_space.scaling_space`, whose controller tries every triple, and whose reward is the
accuracy.
"""

from typing import Any

from mnas.config import Config
from search_space import Architecture
from search_space.cost import cheapest, cost


def plan(config: Config, baseline: Architecture) -> Config:
    """Return the configuration of the coefficient search of `baseline`.

    Of `config` it takes the grid (`[space]`), `[runner]`, `[proxy]`, and of `[search]` all but the
    trials: every triple is one. Accuracy alone is rewarded, since the triples were chosen to cost
    alike.
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
