"""Everything that a journal knows of one trial, as text."""

import datetime
from collections.abc import Iterable

from mnas.formatting import millions
from mnas.journal.log import Log
from mnas.journal.records import Ask, Outcome
from mnas.show.tables import stage_table
from search_space.errors import printable

BARS = 40  # for an accuracy of 1


def text(log: Log, trial: int) -> str:
    """Write what was asked and answered, what the network costs, how its training went, and who is
    like it.

    Raises:
        InputError: when the trial was not asked, or is not of the space.
    """
    architecture = log.architecture(trial)
    ask, outcome = log.asks[trial], log.outcomes.get(trial)
    parts = [
        [f"Trial {trial} of {log.run}: {_state(log, outcome)}", *_history(log, ask, outcome)],
        _reward(log, ask, outcome),
        ["Answers", *_answers(log, ask)],
        [f"Network {ask.digest}, stage by stage", stage_table(architecture, priced=True)],
        _curve(outcome),
        _siblings(log, ask),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _state(log: Log, outcome: Outcome | None) -> str:
    if outcome is None:
        return "asked, not told yet"
    if outcome.failure:
        return f"failed ({outcome.failure.kind}), told as accuracy 0"
    told = f"accuracy {outcome.accuracy:.4f}, reward {outcome.reward:.4f}"
    if outcome.stopped_early:
        epochs = max(len(other.curve) for other in log.outcomes.values())
        return f"stopped after epoch {len(outcome.curve)} of {epochs}, expected to reach {told}"
    return told


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):  # a stranger's year 10,000
        return f"{seconds} s after 1970"


def _history(log: Log, ask: Ask, outcome: Outcome | None) -> Iterable[str]:
    yield f"asked {_moment(ask.time)}"
    for number, retry in enumerate(
        (each for each in log.retries if each.trial == ask.trial), start=1
    ):
        where = f"{retry.seconds:.1f} s on worker {printable(retry.worker)}"
        why = f"{retry.failure.kind}: {printable(retry.failure.message)}"
        yield f"retry {number}: after {where}, {_moment(retry.time)}: {why}"
    if outcome is None:
        return
    if outcome.reused_from is not None:
        yield (
            f"told  {_moment(outcome.time)}, again what trial "
            f"{outcome.reused_from} brought: the same network"
        )
    else:
        yield (
            f"told  {_moment(outcome.time)}, after {outcome.seconds:.1f} "
            f"s on worker {printable(outcome.worker)}"
        )
    if outcome.failure:
        yield f"failure: {printable(outcome.failure.message)}"
    for again in (each for each in log.confirmed.values() if each.trial == ask.trial):
        failed = f" ({again.failure.kind})" if again.failure else ""
        where = f"{again.seconds:.1f} s on worker {printable(again.worker)}"
        yield (
            f"trained again {_moment(again.time)}, after {where}: "
            f"accuracy {again.accuracy:.4f}{failed}"
        )


def _reward(log: Log, ask: Ask, outcome: Outcome | None) -> list[str]:
    """Write the reward's terms."""
    reward = log.reward
    cost: int = getattr(ask, reward.cost)
    ratio = cost / reward.target
    lines = [f"{reward.cost} / target = {millions(cost)} / {millions(reward.target)} = {ratio:.4f}"]
    if outcome is None:
        return lines
    if reward.kind == "absolute":
        formula = f"{outcome.accuracy:.4f} + {reward.beta:g} · |{ratio:.4f} - 1|"
    else:
        exponent = reward.alpha if ratio <= 1 else reward.beta
        name = "alpha, up to the target" if ratio <= 1 else "beta, over the target"
        lines.append(f"exponent w = {exponent:g} ({name})")
        formula = (
            f"{outcome.accuracy:.4f} · {ratio:.4f}^{exponent:g} = "
            f"{outcome.accuracy:.4f} · {ratio**exponent:.4f}"
        )
    return [*lines, f"reward = {formula} = {outcome.reward:.4f}"]


def _answers(log: Log, ask: Ask) -> Iterable[str]:
    """Write the genotype, a line for each stage."""
    stages: dict[str, list[str]] = {}
    for name, choice in log.space.answers(ask.genotype).items():
        stage, _, field = name.partition(".")
        stages.setdefault(stage, []).append(f"{field} = {choice}")
    for stage, answers in stages.items():
        yield f"  {stage}: {', '.join(answers)}"
    yield f"  genotype {' '.join(map(str, ask.genotype))}"


def _curve(outcome: Outcome | None) -> list[str]:
    if outcome is None or not outcome.curve:
        return []
    epochs = enumerate(outcome.curve, start=1)
    return [
        "Validation accuracy by epoch",
        *(f"  {epoch:>4}  {share:.4f}  {'█' * round(BARS * share)}" for epoch, share in epochs),
    ]


def _siblings(log: Log, ask: Ask) -> list[str]:
    """Write the other trials that build the same network."""
    alike = [
        other.trial
        for other in log.asks.values()
        if other.digest == ask.digest and other.trial != ask.trial
    ]
    lines = []
    for trial in alike:
        outcome = log.outcomes.get(trial)
        reused = (
            f", told again from trial {outcome.reused_from}"
            if outcome and outcome.reused_from is not None
            else ""
        )
        lines.append(f"  trial {trial}: {_state(log, outcome)}{reused}")
    return (
        ["The same network in other trials", *lines]
        if lines
        else ["No other trial builds this network"]
    )
