"""Networks and trials as text tables."""

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from mnas.analysis.ranking import Row
from mnas.formatting import millions
from search_space import Architecture, Cost
from search_space.cost import cost, stage_costs
from search_space.scaling import Factors


def stage_table(shown: Architecture, *, priced: bool = False) -> str:
    """Write an architecture's stages as a table, counted from 1 as in the papers.

    Args:
        shown: the architecture.
        priced: whether to add what each stage costs; the head's cost has the classifier's in it.
    """

    def square(pixels: int) -> str:
        return f"{pixels}x{pixels}"

    table: list[list[object]] = [
        [
            "stem",
            "conv",
            3,
            shown.stem_stride,
            "",
            shown.stem_channels,
            1,
            "",
            square(shown.resolution),
        ]
    ]
    size = shown.stem_size
    for number, stage in enumerate(shown.stages, start=1):
        op = f"mbconv{stage.expansion}" if stage.op == "mbconv" else stage.op
        what = [
            op,
            stage.kernel,
            stage.stride,
            stage.se_ratio or "",
            stage.channels,
            stage.repeats,
            stage.skip,
        ]
        table.append([number, *what, square(size)])
        size = -(-size // stage.stride)
    table.append(
        ["head", "conv", 1, 1, "", shown.head_channels, 1, "", square(shown.blocks[-1].out_size)]
    )
    headers = ["stage", "op", "kernel", "stride", "SE", "channels", "repeats", "skip", "input"]
    if priced:
        costs = stage_costs(shown)
        whole = Cost.total(costs)
        for cells, part in zip(table, costs, strict=True):
            cells += [millions(part.macs), f"{part.macs / whole.macs:.0%}"]
            cells += [millions(part.params), f"{part.params / whole.params:.0%}"]
        table.append(["all", *[""] * 8, millions(whole.macs), "", millions(whole.params), ""])
        headers += ["MACs", "share", "params", "share"]
    return tabulate(table, headers, disable_numparse=True)


def trial_table(shown: Sequence[Row]) -> str:
    """Write trials as a table."""
    table = [
        [
            row.trial,
            f"{row.accuracy:.4f}",
            f"{row.reward:.4f}",
            millions(row.macs),
            millions(row.params),
            f"{row.seconds:.1f}",
        ]
        for row in shown
    ]
    return tabulate(
        table, ["trial", "accuracy", "reward", "MACs", "params", "seconds"], disable_numparse=True
    )


def _numbers(values: list[int]) -> str:
    return " ".join(map(str, values))


def family_table(members: Mapping[str, Architecture], factors: Mapping[str, Factors]) -> str:
    """Write scaled networks as a table: factors, channels, repeats, size, cost."""
    table = []
    for name, member in members.items():
        price = cost(member)
        stages = member.stages
        table.append(
            [
                name,
                f"{factors[name].width:.3g}",
                f"{factors[name].depth:.3g}",
                member.resolution,
                f"{member.stem_channels} | {_numbers([s.channels for s in stages])} "
                f"| {member.head_channels}",
                _numbers([s.repeats for s in stages]),
                f"{price.params:,}",
                f"{price.macs:,}",
            ]
        )
    headers = [
        "network",
        "width",
        "depth",
        "pixels",
        "channels: stem | stages | head",
        "repeats",
        "params",
        "MACs",
    ]
    return tabulate(table, headers, disable_numparse=True, colalign=("left",) * 6 + ("right",) * 2)


def zoo_table(networks: Mapping[str, Architecture]) -> str:
    """Write known networks with their cost at their own resolution."""
    table = [
        [name, a.resolution, f"{cost(a).params:,}", f"{cost(a).macs:,}"]
        for name, a in networks.items()
    ]
    return tabulate(
        table,
        ["network", "pixels", "params", "MACs"],
        disable_numparse=True,
        colalign=("left",) + ("right",) * 3,
    )
