"""A coefficient search as a table."""

from tabulate import tabulate

from mnas.analysis.ranking import best
from mnas.export.coefficients import space_of, triple_of
from mnas.formatting import millions
from mnas.journal.log import Log
from search_space.cost import cost


def table(log: Log) -> str:
    """Write the networks that were trained, by accuracy, with their coefficients and multiply-adds.

    Raises:
        InputError: when the run is no coefficient search.
    """
    space = space_of(log)
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
        for triple in (triple_of(log, row),)
    ]
    headers = [
        "depth α",
        "width β",
        "resolution γ",
        "accuracy",
        "MACs",
        "of baseline",
        "triples alike",
    ]
    return tabulate(rows, headers, disable_numparse=True)
