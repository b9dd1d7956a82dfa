"""Everything a journal answers, as data and as text: no torch, no server, no second file.

Rows, ranking and Pareto front are functions of the log; `text` and `plot` only show them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from tabulate import tabulate

from mnas.journal import is_running
from mnas.log import Log
from search_space import Architecture, InputError
from search_space.cost import Metric
from search_space.errors import printable, require


@dataclass(frozen=True, slots=True)
class Row:
    """A trial that was trained (or told again) and did not fail."""

    trial: int
    accuracy: float
    reward: float
    macs: int
    params: int
    seconds: float
    digest: str
    reused_from: int | None


def rows(log: Log) -> list[Row]:
    """Return the trials with an accuracy, in order of their numbers."""
    return [
        Row(
            trial=trial,
            accuracy=outcome.accuracy,
            reward=outcome.reward,
            macs=log.asks[trial].macs,
            params=log.asks[trial].params,
            seconds=outcome.seconds,
            digest=log.asks[trial].digest,
            reused_from=outcome.reused_from,
        )
        for trial, outcome in sorted(log.outcomes.items())
        if outcome.failure is None
    ]


def best(log: Log, count: int) -> list[Row]:
    """Return the networks of highest reward, each once, the best first; of equals the earlier."""
    ranked = sorted(rows(log), key=lambda row: (-row.reward, row.trial))
    return list({row.digest: row for row in reversed(ranked)}.values())[::-1][:count]


def pareto(trained: Sequence[Row], cost: Metric) -> list[Row]:
    """Return the trials that no other beats in accuracy at the same cost or less, the cheapest first."""
    front: list[Row] = []
    for row in sorted(trained, key=lambda row: (getattr(row, cost), -row.accuracy, row.trial)):
        if not front or row.accuracy > front[-1].accuracy:
            front.append(row)
    return front


def state(log: Log) -> str:
    """Return `finished`, `running` or `stopped`."""
    if len(log.outcomes) >= log.trials:
        return "finished"
    return "running" if is_running(log.run) else "stopped"


def summary(log: Log, count: int = 5) -> dict[str, Any]:
    """Return what `inspect` shows as plain data.

    Args:
        log: of the run.
        count: how many of the best trials.
    """
    failed = [outcome for outcome in log.outcomes.values() if outcome.failure]
    top = best(log, count)
    return {
        "run": str(log.run),
        "state": state(log),
        "trials": {
            "planned": log.trials,
            "done": len(log.outcomes),
            "unfinished": len(log.asks) - len(log.outcomes),
            "failed": len(failed),
            "reused": sum(outcome.reused_from is not None for outcome in log.outcomes.values()),
            "retries": len(log.retries),
        },
        "sessions": len(log.sessions),
        "child_seconds": round(sum(outcome.seconds for outcome in log.outcomes.values()), 1),
        "config": log.header.config,
        "config_digest": log.header.config_digest,
        "best": [asdict(row) | {"stages": list(log.architecture(row.trial).block_strings)} for row in top],
        "pareto": [asdict(row) for row in pareto(rows(log), log.reward.cost)],
        "failures": [
            {
                "trial": outcome.trial,
                "kind": outcome.failure.kind,
                "message": outcome.failure.message,
                "reused_from": outcome.reused_from,
            }
            for outcome in failed
            if outcome.failure
        ],
    }


def millions(count: float) -> str:
    """Write a count of MACs or parameters as the papers do: `385.81M`, and `69.2K` below a million."""
    return f"{count / 1e6:.2f}M" if count >= 1e6 else f"{count / 1e3:.1f}K"


def stage_table(shown: Architecture) -> str:
    """Write an architecture's stages as a table, counted from 1 as in the papers."""

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
    return tabulate(table, headers, disable_numparse=True)


def _trial_table(shown: Sequence[Row]) -> str:
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


def text(log: Log, count: int = 5) -> str:
    """Write the state, the best trials, the winner's stages, the Pareto front and the failures."""
    data = summary(log, count)
    trials, tables = data["trials"], log.header.config
    rest = [f"{trials[what]} {what}" for what in ("unfinished", "failed", "reused", "retries") if trials[what]]
    controller, space = tables.get("controller", {}).get("name", "ppo"), tables["space"]["name"]
    lines = [
        ", ".join([f"{log.run}: {data['state']}, {trials['done']} of {trials['planned']} trials done", *rest]),
        f"space {space}, controller {controller}, target {millions(log.reward.target)} {log.reward.cost}, "
        f"seed {log.settings.seed}; {data['child_seconds']:,.0f} s of training",
    ]
    top = best(log, count)
    if top:
        lines += ["", "Best trials by reward", _trial_table(top)]
        lines += ["", f"Trial {top[0].trial}, stage by stage", stage_table(log.architecture(top[0].trial))]
    if front := pareto(rows(log), log.reward.cost):
        lines += ["", f"Pareto front: no trial is as accurate with fewer {log.reward.cost}", _trial_table(front)]
    if data["failures"]:
        counts = Counter(failure["kind"] for failure in data["failures"])
        lines += ["", "Failures: " + ", ".join(f"{kind} {number}" for kind, number in counts.most_common())]
        lines += [
            f"  trial {failure['trial']}: {failure['kind']}: {printable(failure['message'])}"
            for failure in data["failures"][:10]
        ]
    if data["state"] == "stopped":
        lines += ["", f"Go on with: {log.resume_command}"]
    return "\n".join(lines)


def plot(log: Log, path: Path) -> None:
    """Draw accuracy against cost, with Pareto front and target, beside the reward over the trials.

    Raises:
        InputError: when matplotlib is not there, or no trial is done.
    """
    require(path.suffix in (".png", ".svg", ".pdf"), "plot", str(path), "a file ending in .png, .svg or .pdf")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("plot: needs matplotlib; pip install 'mnas[quickstart]'") from None
    shown, cost = rows(log), log.reward.cost
    if not shown:
        raise InputError(f"plot: {log.run} has no trained trial yet")
    front = pareto(shown, cost)
    winner = best(log, 1)[0]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)

    def price(row: Row) -> float:
        value: int = getattr(row, cost)
        return value / 1e6

    points = left.scatter(
        [price(r) for r in shown], [100 * r.accuracy for r in shown], c=[r.trial for r in shown], s=22
    )
    figure.colorbar(points, ax=left, label="trial")
    left.step(
        [price(r) for r in front],
        [100 * r.accuracy for r in front],
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
