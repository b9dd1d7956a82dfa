"""The spec of a search's trial."""

import re
from dataclasses import asdict
from typing import Any

from mnas.analysis.recommend import promising
from mnas.export.spec import spec
from mnas.journal.log import Log
from search_space.errors import InputError


def trial_spec(log: Log, trial: int | None = None) -> dict[str, Any]:
    """Return the spec of a trial, or of the one that is recommended.

    Raises:
        InputError: when there is no such trial, it has no accuracy, or no trial has.
    """
    if trial is None:
        top = promising(log, 1)
        if not top:
            raise InputError(f"{log.run}: no trial has an accuracy yet; nothing to export")
        trial = top[0].trial
    found, outcome = log.architecture(trial), log.outcomes.get(trial)
    if outcome is None or outcome.failure:
        why = f"failed ({outcome.failure.kind})" if outcome and outcome.failure else "is not done"
        raise InputError(f"trial: {trial} {why}; nothing to export")
    if found.digest != log.asks[trial].digest:
        raise InputError(
            f"{log.run}: trial {trial} builds another network than "
            "the journal says; written by other code"
        )
    provenance = {
        "run": str(log.run.resolve()),
        "trial": trial,
        "genotype": list(log.asks[trial].genotype),
        "seed": log.settings.seed,
        "config": log.header.config,
        "config_digest": log.header.config_digest,
        "sessions": [asdict(session) for session in log.sessions],
    }
    part = "expected" if outcome.stopped_early else "validation"
    accuracy = {part: outcome.accuracy, "curve": list(outcome.curve), "reward": outcome.reward}
    name = re.sub(r"[^\w-]+", "-", log.run.resolve().name).strip("-") or "run"
    return spec(found, f"{name}-trial{trial}", accuracy=accuracy, provenance=provenance)
