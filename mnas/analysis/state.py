"""How far a search is: its state, what became of its trials."""

from mnas.journal.directory import is_running
from mnas.journal.log import Log
from mnas.journal.records import Outcome
from runners import Failure


def state(log: Log) -> str:
    """Return `finished`, `running` or `stopped`."""
    if len(log.outcomes) >= log.trials:
        return "finished"
    return "running" if is_running(log.run) else "stopped"


def counts(log: Log) -> dict[str, int]:
    """Return how many trials are planned, and what became of those that were asked."""
    return {
        "planned": log.trials,
        "done": len(log.outcomes),
        "unfinished": len(log.asks) - len(log.outcomes),
        "failed": sum(outcome.failure is not None for outcome in log.outcomes.values()),
        "stopped_early": sum(outcome.stopped_early for outcome in log.outcomes.values()),
        "reused": sum(outcome.reused_from is not None for outcome in log.outcomes.values()),
        "retries": len(log.retries),
    }


def failures(log: Log) -> list[tuple[Outcome, Failure]]:
    """Return the trials that failed, in the order they ended, and why."""
    return [(outcome, outcome.failure) for outcome in log.outcomes.values() if outcome.failure]


def child_seconds(log: Log) -> float:
    """Return how long children were trained, in all."""
    return sum(outcome.seconds for outcome in log.outcomes.values())
