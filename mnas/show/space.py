"""Describe what can be searched and what was scaled, as text, before anyone spends a GPU hour."""

import numpy as np
from tabulate import tabulate

from mnas import config
from mnas.formatting import millions
from mnas.reward import Reward
from search_space import SPACES, Architecture, InputError, Space
from search_space.cost import cost
from search_space.errors import require
from search_space.zoo import ZOO

_BARS = 40


def find_space(source: str) -> tuple[Space, Reward | None]:
    """Return a named space, or a configuration file's with its reward (None when it has none).

    Raises:
        InputError: when it is neither.
    """
    if source in SPACES:
        return config.Config({"space": {"name": source}}).space(), None
    try:
        path = config.find(source)
    except InputError as error:
        raise InputError(f"{error}; nor is it one of the spaces {', '.join(SPACES)}") from None
    run = config.load(path)
    space = run.space()
    return space, run.reward(space) if "reward" in run.tables else None


def space_text(space: Space, reward: Reward | None, count: int) -> str:
    """Write decisions, size, the zoo's place, and what `count` random networks cost.

    Raises:
        InputError: when `count` is below 1.
    """
    require(1 <= count <= 1_000_000, "count", count, "1 to 1,000,000")
    inside = [[name, _membership(space, known)] for name, known in ZOO.items()]
    return "\n".join(
        [
            f"{len(space.decisions)} decisions, {space.size:.3e} genotypes ({space.size:,})",
            "",
            _decision_table(space),
            "",
            tabulate(inside, ["network", "in the space?"]),
            "",
            _histogram(space, reward, count),
        ]
    )


def _decision_table(space: Space) -> str:
    fields = list(dict.fromkeys(decision.field for decision in space.decisions))
    table = []
    for number, stage in enumerate(space.template.stages, start=1):
        choices = {
            d.field: " ".join(map(str, d.choices)) for d in space.decisions if d.stage == number
        }
        table.append(
            [number, stage.stride, *(choices.get(field, getattr(stage, field)) for field in fields)]
        )
    return tabulate(table, ["stage", "stride", *fields], disable_numparse=True)


def _membership(space: Space, known: Architecture) -> str:
    try:
        space.encode(known)
    except InputError as error:
        return f"no: {error}"
    return "yes"


def _histogram(space: Space, reward: Reward | None, count: int) -> str:
    metric = reward.cost if reward else "macs"
    rng = np.random.default_rng(0)
    prices = np.array(
        [getattr(cost(space.decode(space.random(rng))), metric) for _ in range(count)]
    )
    counts, edges = np.histogram(prices, bins=12)
    lines = [f"{metric} of {count} random networks (median {millions(float(np.median(prices)))})"]
    for number, low, high in zip(counts, edges, edges[1:], strict=False):
        mark = "  <- target" if reward and low <= reward.target < high else ""
        bar = "#" * round(_BARS * number / counts.max())
        lines.append(f"{millions(low):>10} to {millions(high):>10} {number:6d} {bar}{mark}")
    if reward:
        under = (prices <= reward.target).mean()
        lines.append(f"{under:.1%} of them are within the target of {millions(reward.target)}")
    return "\n".join(lines)
