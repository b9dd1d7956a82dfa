"""A search as plain data, for JSON."""

from dataclasses import asdict
from typing import Any

from mnas.analysis.ranking import best, front
from mnas.analysis.state import child_seconds, counts, failures, state
from mnas.journal.log import Log


def summary(log: Log, count: int = 5) -> dict[str, Any]:
    """Return what `inspect` shows as plain data.

    Args:
        log: of the run.
        count: how many of the best trials.
    """
    top = best(log, count)
    return {
        "run": str(log.run),
        "state": state(log),
        "trials": counts(log),
        "sessions": len(log.sessions),
        "child_seconds": round(child_seconds(log), 1),
        "config": log.header.config,
        "config_digest": log.header.config_digest,
        "best": [
            asdict(each) | {"stages": list(log.architecture(each.trial).block_strings)}
            for each in top
        ],
        "pareto": [asdict(each) for each in front(log)],
        "failures": [
            {
                "trial": o.trial,
                "kind": why.kind,
                "message": why.message,
                "reused_from": o.reused_from,
            }
            for o, why in failures(log)
        ],
    }
