"""A search as text: its state, best trials, Pareto front and failures."""

from collections import Counter

from mnas.analysis.ranking import best, front
from mnas.analysis.state import child_seconds, counts, failures, state
from mnas.export.coefficients import is_one
from mnas.formatting import millions
from mnas.journal.log import Log
from mnas.show import coefficients, recommendation
from mnas.show.tables import stage_table, trial_table
from search_space.errors import printable


def headline(log: Log) -> str:
    """Say in a line which run it is, its state, and what became of its trials."""
    trials = counts(log)
    kinds = ("unfinished", "failed", "stopped_early", "reused", "retries")
    rest = [f"{trials[what]} {what.replace('_', ' ')}" for what in kinds if trials[what]]
    return ", ".join(
        [f"{log.run}: {state(log)}, {trials['done']} of {trials['planned']} trials done", *rest]
    )


def question(log: Log) -> str:
    """Say in a line what is searched: space, controller, target, seed."""
    tables = log.header.config
    controller, space = (
        tables.get("controller", {}).get("name", "ppo"),
        tables.get("space", {}).get("name", ""),
    )
    target = f"target {millions(log.reward.target)} {log.reward.cost}"
    return printable(f"space {space}, controller {controller}, {target}, seed {log.settings.seed}")


def text(log: Log, count: int = 5) -> str:
    """Write the state, the best trials, the winner's stages, the Pareto front and the failures."""
    lines = [headline(log), f"{question(log)}; {child_seconds(log):,.0f} s of training"]
    if top := best(log, count):
        lines += ["", "Best trials by reward", trial_table(top)]
        lines += [
            "",
            f"Trial {top[0].trial}, stage by stage",
            stage_table(log.architecture(top[0].trial)),
        ]
    if unbeaten := front(log):
        lines += [
            "",
            f"Pareto front: no trial is as accurate with fewer {log.reward.cost}",
            trial_table(unbeaten),
        ]
    if failed := failures(log):
        kinds = Counter(why.kind for _, why in failed)
        lines += [
            "",
            "Failures: " + ", ".join(f"{kind} {number}" for kind, number in kinds.most_common()),
        ]
        lines += [
            f"  trial {o.trial}: {why.kind}: {printable(why.message)}" for o, why in failed[:10]
        ]
    if state(log) == "stopped":
        lines += ["", f"Go on with: {log.resume_command}"]
    return "\n".join(lines)


def overview(log: Log, top: int) -> str:
    """Write the state of a search, what is best, and what is recommended."""
    parts = [text(log, top), recommendation.text(log)]
    if is_one(log):
        parts.append(coefficients.table(log))
    return "\n\n".join(part for part in parts if part)
