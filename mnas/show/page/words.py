"""What the page says in words and tables, as plain data for its template."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from mnas.analysis.ranking import best, pareto, rows
from mnas.analysis.recommend import recommend
from mnas.journal.log import Log
from mnas.journal.records import Outcome, Retry
from mnas.show.page.stages import drawn
from mnas.show.page.timeline import Clock
from search_space import Architecture, Space
from search_space.cost import Metric, cost
from search_space.scaling import EFFICIENTNET, scale

UNITS: dict[Metric, str] = {"macs": "MACs", "params": "parameters"}
TOP = 15  # trials in the table of the best
SESSIONS = 10  # in theirs

_CONTROLLERS = {
    "bayesian": "Bayesian optimisation: a Gaussian process predicts the "
    "accuracy of networks that were not trained",
    "ppo": "a policy learnt by reinforcement (PPO)",
    "ppo-mnasnet": "the papers' recurrent policy, learnt by reinforcement (PPO)",
    "random": "random search: every network with the same chance, nothing learnt",
    "evolution": "regularized evolution: one decision of a good "
    "recent network is changed at a time",
    "local-search": "hill climbing: one decision of the best network so far is changed at a time",
    "optuna": "a sampler of Optuna",
    "exhaustive": "every network in turn",
}
_PROXIES = {
    "table": "looked up in a table of networks that others had trained: nothing was trained here",
    "trees": "looked up in a model fitted to networks that others "
    "had trained: nothing was trained here",
}
_FAILURES = {
    "raised": "the network's own code raised an error",
    "diverged": "the training loss was no longer a finite number",
    "out-of-memory": "the network did not fit in memory",
    "time-limit": "the training overran its time",
    "worker-died": "the process that trained it died",
    "machine": "a disk, a device or a node failed",
}


def percent(share: float) -> str:
    """Write a share as `68.10 %`."""
    return f"{100 * share:.2f} %"


def short(count: float) -> str:
    """Write a round count of MACs or parameters as `400M`."""
    return f"{count / 1e6:g}M" if count >= 1e6 else f"{count:g}"


def span(seconds: float) -> str:
    """Write a time as people say it: `45 s`, `12 min`, `3.2 h`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def when(seconds: float) -> str:
    """Write a time since 1970 as `2026-11-24 21:54 UTC`."""
    return f"{datetime.fromtimestamp(min(seconds, 2e11), UTC):%Y-%m-%d %H:%M} UTC"


def told(log: Log) -> dict[str, Any]:
    """Return what the template says of a search beside its charts."""
    advice, top = recommend(log), best(log, TOP)
    winner = next((row for row in (*(each.row for each in advice), *top)), None)
    tables, done = log.header.config, list(log.outcomes.values())
    attempts: list[Outcome | Retry] = [*done, *log.retries]
    controller, proxy = tables.get("controller", {}).get("name", "ppo"), tables.get("proxy", {})
    network = log.architecture(winner.trial) if winner else None
    return {
        "name": log.run.resolve().name,
        "unit": UNITS[log.reward.cost],
        "controller": controller,
        "controller_words": _CONTROLLERS.get(str(controller), ""),
        "space": _space(log),
        "proxy": proxy,
        "proxy_words": _PROXIES.get(str(proxy.get("name", "proxy")), ""),
        "epochs": max(len(outcome.curve) for outcome in done),
        "stopped_early": sum(outcome.stopped_early for outcome in done),
        "reused": sum(outcome.reused_from is not None for outcome in done),
        "child_seconds": sum(each.seconds for each in attempts),
        "clock": Clock(log).end,
        "winner": winner,
        "advice": advice[0] if advice else None,
        "top": top,
        "front": pareto(rows(log), log.reward.cost),
        "failures": _failures(log),
        "network": network,
        "stages": drawn(network) if network else [],
        "family": _family(network) if network else [],
        "sessions": log.sessions
        if len(log.sessions) <= SESSIONS
        else [log.sessions[0], *log.sessions[1 - SESSIONS :]],
        "config": json.dumps(tables, indent=1),
    }


def _count(number: int) -> tuple[str, int]:
    """Return a count as mantissa and power of ten, for `2.8 · 10¹⁸`; power 0 where it is short
    enough to write.
    """
    if number < 10_000_000:
        return f"{number:,}", 0
    rest, power = math.modf(math.log10(number))
    return f"{10**rest:.1f}", int(power)


def _space(log: Log) -> dict[str, Any]:
    space: Space = log.space
    fields = list(dict.fromkeys(decision.field.replace("_", " ") for decision in space.decisions))
    return {
        "name": log.header.config.get("space", {}).get("name", ""),
        "decisions": len(space.decisions),
        "size": _count(space.size),
        "stages": len(space.template.stages),
        "fields": fields,
        "template": space.template,
    }


def _failures(log: Log) -> list[dict[str, Any]]:
    """Return the kinds of failure, the most frequent first, with the first trial of each and its
    message.
    """
    failed: list[Outcome | Retry] = [*log.outcomes.values(), *log.retries]
    found: dict[str, list[tuple[int, str, bool]]] = {}
    for each in sorted(failed, key=lambda each: each.trial):
        if each.failure:
            again = isinstance(each, Retry)
            found.setdefault(each.failure.kind, []).append(
                (each.trial, each.failure.message, again)
            )
    return [
        {
            "kind": kind,
            "means": _FAILURES.get(kind, ""),
            "ended": sum(not again for *_, again in cases),
            "retried": sum(again for *_, again in cases),
            "trial": cases[0][0],
            "message": cases[0][1][:300],
        }
        for kind, cases in sorted(found.items(), key=lambda item: -len(item[1]))
    ]


def _family(baseline: Architecture) -> list[dict[str, Any]]:
    """Return the baseline scaled as B0 was to B1 … B7."""
    scaled = [(name, factors, scale(baseline, factors)) for name, factors in EFFICIENTNET.items()]
    least = cost(baseline).macs
    return [
        {
            "name": name.upper(),
            "factors": factors,
            "network": network,
            "cost": cost(network),
            "times": cost(network).macs / least,
        }
        for name, factors, network in scaled
    ]
