"""A finished log under another reward: what the search would have called best, without training
anything.

Accuracies and costs are what was measured; only their weighing changes. What a controller would
have asked under that reward is another question, which only another search answers.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from mnas.config import Config
from mnas.formatting import millions
from mnas.journal.log import Log
from mnas.reward import Reward
from search_space import Cost, InputError
from search_space.errors import require_known

_SUFFIXES = {"K": 1e3, "M": 1e6, "G": 1e9}
_KINDS = ("power", "hard", "absolute")
_NUMBERS = ("target", "w", "alpha", "beta")
_KEYS = ("target", "kind", "w", "alpha", "beta", "cost")


def parse(spec: str, before: Reward) -> dict[str, Any]:
    """Read `target=300M,w=-0.1,kind=hard` as a `[reward]` table; what it leaves unsaid stays as it
    was.

    `w` is alpha and beta both. Kind `hard` is MnasNet's hard constraint (§3): nothing for being
    under the target, `w`, or else -1, over it. Another kind leaves the exponents of the old one
    behind.

    Raises:
        InputError: naming what is unknown, or no number.
    """
    said: dict[str, Any] = {}
    for part in spec.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        require_known(key, _KEYS, place="--rerank ", owner="it")
        if not equals or key in said:
            raise InputError(f"--rerank {spec}: takes {key}=VALUE, once")
        said[key] = _number(key, value) if key in _NUMBERS else value
    if "w" in said and {"alpha", "beta"} & said.keys():
        raise InputError(f"--rerank {spec}: w is alpha and beta both; takes the one or the others")
    kind = said.pop("kind", before.kind)
    require_known(kind, _KINDS, place="--rerank kind ", owner="it")
    table = asdict(before)
    if kind != before.kind:
        table = {key: table[key] for key in ("target", "cost")} | {
            "kind": "power" if kind == "hard" else kind
        }
    if "cost" in said and "target" not in said and said["cost"] != before.cost:
        raise InputError(f"--rerank {spec}: another cost takes its target too")
    w = said.pop("w", None)
    if kind == "hard":
        table |= {"alpha": 0.0, "beta": -1.0 if w is None else w}
    elif w is not None:
        table |= {"alpha": w, "beta": w}
    return table | said


def _number(key: str, value: str) -> float:
    factor = _SUFFIXES.get(value[-1:].upper(), 1.0)
    try:
        return float(value if factor == 1 else value[:-1]) * factor
    except ValueError:
        raise InputError(
            f"--rerank {key}: {value!r}; takes a number, as 300M, 2.5G or -0.07"
        ) from None


def under(log: Log, table: Mapping[str, Any]) -> Log:
    """Return the log as it would read had the search had this `[reward]` table.

    Raises:
        InputError: when the table describes no reward, or one whose target no network of the space
            meets.
    """
    config = log.header.config | {"reward": dict(table)}
    header = replace(log.header, config=config, config_digest=Config(config).digest)
    try:
        other = Log(log.run, header)
        reward = other.config().reward(log.space)
    except InputError as error:
        raise error.at("--rerank: ") from None

    def weighed(trial: int, accuracy: float) -> float:
        ask = log.asks[trial]
        return reward(accuracy, Cost(ask.macs, ask.params, 0))

    for trial, outcome in log.outcomes.items():
        other.outcomes[trial] = replace(outcome, reward=weighed(trial, outcome.accuracy))
    for key, again in log.confirmed.items():
        other.confirmed[key] = replace(again, reward=weighed(again.trial, again.accuracy))
    other.asks, other.retries, other.sessions = log.asks, log.retries, log.sessions
    other.exhausted, other.size = log.exhausted, log.size
    return other


def describe(reward: Reward) -> str:
    """Write a reward in a few words."""
    target = f"target {millions(reward.target)} {reward.cost}"
    if reward.kind == "absolute":
        return f"accuracy + {reward.beta:g} · |ratio - 1|, {target}"
    if reward.alpha == reward.beta:
        return f"accuracy · ratio^{reward.alpha:g}, {target}"
    return (
        f"accuracy · ratio^w, w = {reward.alpha:g} up to and "
        f"{reward.beta:g} over the target, {target}"
    )
