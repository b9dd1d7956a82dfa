"""A full training as text."""

from tabulate import tabulate

from mnas.analysis.statistics import spearman
from mnas.formatting import millions
from mnas.journal.directory import is_running
from mnas.training import Member, TrainingRun


def text(training: TrainingRun) -> str:
    """Write what the networks reached, and how the order of their trials in the search held."""
    done = sum(member.trained for member in training.members)
    finished = done == len(training.members)
    state = "finished" if finished else "running" if is_running(training.run) else "stopped"
    lines = [f"{training.run}: {state}, {done} of {len(training.members)} networks trained", ""]
    records = {member.name: member.record for member in training.members}
    rows = [
        [
            member.name,
            millions(member.spec["macs"]),
            _share(_proxy(member)),
            f"{len(record.epochs)} of {training.epochs}",
            _share(record.epochs[-1].accuracy if record.epochs else None),
            _share(record.test),
            f"{record.epochs[-1].images_per_second:,.0f}" if record.epochs else "",
        ]
        for member, record in ((member, records[member.name]) for member in training.members)
    ]
    headers = ["network", "MACs", "in search", "epochs", "validation", "test", "images/s"]
    lines.append(tabulate(rows, headers, disable_numparse=True))
    pairs = [(_proxy(member), records[member.name].test) for member in training.members]
    told = [(proxy, test) for proxy, test in pairs if proxy is not None and test is not None]
    if len(told) > 1:
        lines += [
            "",
            f"The search's order held with Spearman {spearman(told):.2f} over {len(told)} networks",
        ]
    if not finished:
        lines += ["", f"Go on with: {training.resume_command}"]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _proxy(member: Member) -> float | None:
    """Return the accuracy that a network had in its search, if it comes from one."""
    provenance = member.spec.get("provenance")
    if not isinstance(provenance, dict) or "trial" not in provenance:
        return None
    found: float | None = member.spec.get("accuracy", {}).get("validation")
    return found
