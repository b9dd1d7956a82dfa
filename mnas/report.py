"""Everything a journal answers, as data and as text: no torch, no server, no second file.

Rows, ranking and Pareto front are functions of the log; `text` and `plot` only show them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from mnas.journal import is_running
from mnas.log import Log, Outcome
from runners import Failure
from search_space import Architecture, InputError
from search_space.cost import Cost, Metric, stage_costs
from search_space.errors import printable, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Row:
    """A trial that was trained to its end (or told again) and did not fail."""

    trial: int
    accuracy: float
    reward: float
    macs: int
    params: int
    seconds: float
    digest: str
    reused_from: int | None


def measured(log: Log) -> list[Outcome]:
    """Return the outcomes that were measured, in order of their trials: no failures, none ended early."""
    in_order = (log.outcomes[trial] for trial in sorted(log.outcomes))
    return [outcome for outcome in in_order if outcome.failure is None and not outcome.stopped_early]


def row(log: Log, trial: int) -> Row:
    """Return a trial that has an outcome as a row."""
    ask, outcome = log.asks[trial], log.outcomes[trial]
    return Row(
        trial=trial,
        accuracy=outcome.accuracy,
        reward=outcome.reward,
        macs=ask.macs,
        params=ask.params,
        seconds=outcome.seconds,
        digest=ask.digest,
        reused_from=outcome.reused_from,
    )


def rows(log: Log) -> list[Row]:
    """Return the trials with an accuracy, in order of their numbers."""
    return [row(log, outcome.trial) for outcome in measured(log)]


def best(log: Log, count: int) -> list[Row]:
    """Return the networks of highest reward, each once, the best first; of equals the earlier."""
    done = measured(log)
    top: dict[str, int] = {}  # digest -> trial
    for place in np.argsort([-outcome.reward for outcome in done], kind="stable").tolist():
        if len(top) >= count:
            break
        trial = done[place].trial
        top.setdefault(log.asks[trial].digest, trial)
    return [row(log, trial) for trial in top.values()]


def _unbeaten(costs: Sequence[int], accuracies: Sequence[float]) -> list[int]:
    """Return the places of a Pareto front, the cheapest first; of equals the first."""
    accuracy = np.array(accuracies)
    order = np.lexsort((-accuracy, np.array(costs)))  # stable
    ranked = accuracy[order]
    before = np.maximum.accumulate(np.concatenate([[-1.0], ranked[:-1]]))  # an accuracy is 0 or more
    found: list[int] = order[ranked > before].tolist()
    return found


def pareto(trained: Sequence[Row], cost: Metric) -> list[Row]:
    """Return the trials that no other beats in accuracy at the same cost or less, the cheapest first."""
    if not trained:
        return []
    ordered = sorted(trained, key=attrgetter("trial"))
    return [ordered[i] for i in _unbeaten([getattr(r, cost) for r in ordered], [r.accuracy for r in ordered])]


def front(log: Log) -> list[Row]:
    """Return the Pareto front of a log's trials; as `pareto` of its rows, without making those."""
    done, price = measured(log), attrgetter(log.reward.cost)
    if not done:
        return []
    unbeaten = _unbeaten([price(log.asks[o.trial]) for o in done], [o.accuracy for o in done])
    return [row(log, done[place].trial) for place in unbeaten]


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
        "best": [asdict(each) | {"stages": list(log.architecture(each.trial).block_strings)} for each in top],
        "pareto": [asdict(each) for each in front(log)],
        "failures": [
            {"trial": o.trial, "kind": why.kind, "message": why.message, "reused_from": o.reused_from}
            for o, why in failures(log)
        ],
    }


def millions(count: float) -> str:
    """Write a count of MACs or parameters as the papers do: `385.81M`, and `69.2K` below a million."""
    return f"{count / 1e6:.2f}M" if count >= 1e6 else f"{count / 1e3:.1f}K"


def stage_table(shown: Architecture, *, priced: bool = False) -> str:
    """Write an architecture's stages as a table, counted from 1 as in the papers.

    Args:
        shown: the architecture.
        priced: whether to add what each stage costs; the head's cost has the classifier's in it.
    """

    def square(pixels: int) -> str:
        return f"{pixels}x{pixels}"

    table: list[list[object]] = [
        ["stem", "conv", 3, shown.stem_stride, "", shown.stem_channels, 1, "", square(shown.resolution)]
    ]
    size = shown.stem_size
    for number, stage in enumerate(shown.stages, start=1):
        op = f"mbconv{stage.expansion}" if stage.op == "mbconv" else stage.op
        what = [op, stage.kernel, stage.stride, stage.se_ratio or "", stage.channels, stage.repeats, stage.skip]
        table.append([number, *what, square(size)])
        size = -(-size // stage.stride)
    table.append(["head", "conv", 1, 1, "", shown.head_channels, 1, "", square(shown.blocks[-1].out_size)])
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
    return tabulate(table, ["trial", "accuracy", "reward", "MACs", "params", "seconds"], disable_numparse=True)


def headline(log: Log) -> str:
    """Say in a line which run it is, its state, and what became of its trials."""
    trials = counts(log)
    kinds = ("unfinished", "failed", "stopped_early", "reused", "retries")
    rest = [f"{trials[what]} {what.replace('_', ' ')}" for what in kinds if trials[what]]
    return ", ".join([f"{log.run}: {state(log)}, {trials['done']} of {trials['planned']} trials done", *rest])


def question(log: Log) -> str:
    """Say in a line what is searched: space, controller, target, seed."""
    tables = log.header.config
    controller, space = tables.get("controller", {}).get("name", "ppo"), tables.get("space", {}).get("name", "")
    target = f"target {millions(log.reward.target)} {log.reward.cost}"
    return printable(f"space {space}, controller {controller}, {target}, seed {log.settings.seed}")


def text(log: Log, count: int = 5) -> str:
    """Write the state, the best trials, the winner's stages, the Pareto front and the failures."""
    lines = [headline(log), f"{question(log)}; {child_seconds(log):,.0f} s of training"]
    if top := best(log, count):
        lines += ["", "Best trials by reward", trial_table(top)]
        lines += ["", f"Trial {top[0].trial}, stage by stage", stage_table(log.architecture(top[0].trial))]
    if unbeaten := front(log):
        lines += ["", f"Pareto front: no trial is as accurate with fewer {log.reward.cost}", trial_table(unbeaten)]
    if failed := failures(log):
        kinds = Counter(why.kind for _, why in failed)
        lines += ["", "Failures: " + ", ".join(f"{kind} {number}" for kind, number in kinds.most_common())]
        lines += [f"  trial {o.trial}: {why.kind}: {printable(why.message)}" for o, why in failed[:10]]
    if state(log) == "stopped":
        lines += ["", f"Go on with: {log.resume_command}"]
    return "\n".join(lines)


def picture(path: Path) -> "Figure":
    """Return an empty figure that can be saved to `path`.

    Raises:
        InputError: when the file's ending is unknown, or matplotlib is not there.
    """
    require(path.suffix in (".png", ".svg", ".pdf"), "plot", str(path), "a file ending in .png, .svg or .pdf")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("plot: needs matplotlib; pip install 'mnas[quickstart]'") from None
    return Figure(figsize=(10, 4), layout="constrained")


def plot(log: Log, path: Path) -> None:
    """Draw accuracy against cost, with Pareto front and target, beside the reward over the trials.

    Raises:
        InputError: as `picture`, or when no trial is done.
    """
    figure = picture(path)
    shown, cost = rows(log), log.reward.cost
    if not shown:
        raise InputError(f"plot: {log.run} has no trained trial yet")
    unbeaten = pareto(shown, cost)
    winner = best(log, 1)[0]
    left, right = figure.subplots(1, 2)

    def price(row: Row) -> float:
        value: int = getattr(row, cost)
        return value / 1e6

    points = left.scatter(
        [price(r) for r in shown], [100 * r.accuracy for r in shown], c=[r.trial for r in shown], s=22
    )
    figure.colorbar(points, ax=left, label="trial")
    left.step(
        [price(r) for r in unbeaten],
        [100 * r.accuracy for r in unbeaten],
        where="post",
        color="grey",
        lw=1,
        label="Pareto front",
    )
    left.scatter(
        [price(winner)],
        [100 * winner.accuracy],
        s=130,
        facecolors="none",
        edgecolors="red",
        label=f"best reward (trial {winner.trial})",
    )
    left.axvline(log.reward.target / 1e6, color="grey", ls=":", lw=1, label="target")
    left.set_xlabel("multiply-adds (millions)" if cost == "macs" else "parameters (millions)")
    left.set_ylabel("validation accuracy (%)")
    left.legend(fontsize=8, loc="lower right")
    so_far = list(accumulate((r.reward for r in shown), max))
    right.scatter([r.trial for r in shown], [r.reward for r in shown], s=14, color="grey", label="trial")
    right.step([r.trial for r in shown], so_far, where="post", color="red", lw=1.5, label="best so far")
    right.set_xlabel("trial")
    right.set_ylabel("reward")
    right.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=120)
