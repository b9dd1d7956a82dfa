"""A log as one flat table, a row a trial, for pandas, polars, DuckDB, or a spreadsheet."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnas.journal.log import Log
from mnas.journal.records import Outcome
from runners.files import replacing
from search_space import Decision
from search_space.errors import require

if TYPE_CHECKING:
    from pandas import DataFrame  # half a second


def _write_csv(frame: "DataFrame", path: Path) -> None:
    curve = [json.dumps(curve) for curve in frame["curve"]]
    # A spreadsheet would compute words of a stranger's run that begin like a formula; an apostrophe
    # makes them words.
    words = {
        name: frame[name].str.replace(r"^(?=[=+\-@\t\r])", "'", regex=True)
        for name in ("failure_message", "worker")
    }
    frame.assign(curve=curve, **words).to_csv(path, index=False)


def _write_jsonl(frame: "DataFrame", path: Path) -> None:
    # Not pandas' own: it cuts numbers off after 15 decimals.
    moments = {
        name: [t.isoformat() if t == t else None for t in frame[name]]
        for name in ("asked_at", "told_at")
    }
    plain = frame.assign(**moments).astype(object)
    with path.open("w", encoding="utf-8") as file:
        for row in plain.where(plain.notna(), None).to_dict("records"):
            file.write(json.dumps(row) + "\n")


def _write_parquet(frame: "DataFrame", path: Path) -> None:
    frame.to_parquet(path, index=False)


WRITERS: dict[str, Callable[["DataFrame", Path], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
}


def write(log: Log, path: Path) -> int:
    """Write the table to a CSV, Parquet or JSON Lines file, by its ending, and return how many rows
    it has.

    Raises:
        InputError: when the ending is another one, or the file can't be written.
    """
    require(path.suffix in WRITERS, "export", str(path), f"a file ending in {', '.join(WRITERS)}")
    frame = trials(log)
    with replacing(path) as temporary:
        WRITERS[path.suffix](frame, temporary)
    return len(frame)


def trials(log: Log) -> "DataFrame":
    """Return a row for each trial that was asked, in order: docs/journal.md has the columns."""
    import pandas

    asks = list(log.asks.values())
    outcomes = [log.outcomes.get(ask.trial) for ask in asks]
    retries = Counter(retry.trial for retry in log.retries)
    columns = {
        "trial": [ask.trial for ask in asks],
        "status": [_status(outcome) for outcome in outcomes],
        "accuracy": _column([o and o.accuracy for o in outcomes], "Float64"),
        "reward": _column([o and o.reward for o in outcomes], "Float64"),
        "macs": [ask.macs for ask in asks],
        "params": [ask.params for ask in asks],
        "seconds": _column([o and o.seconds for o in outcomes], "Float64"),
        "curve": [list(o.curve) if o else [] for o in outcomes],
        "digest": _column([ask.digest for ask in asks], "string"),
        "reused_from": _column([o and o.reused_from for o in outcomes], "Int64"),
        "failure_kind": _column([o and o.failure and o.failure.kind for o in outcomes], "string"),
        "failure_message": _column(
            [o and o.failure and o.failure.message for o in outcomes], "string"
        ),
        "retries": [retries[ask.trial] for ask in asks],
        "worker": _column([o and o.worker for o in outcomes], "string"),
        "asked_at": _moments([ask.time for ask in asks]),
        "told_at": _moments([o.time if o else np.nan for o in outcomes]),
    }
    return pandas.DataFrame(columns | _decisions(log))


def _status(outcome: Outcome | None) -> str:
    if outcome is None:
        return "unfinished"
    if outcome.failure:
        return "failed"
    if outcome.stopped_early:
        return "stopped_early"
    return "done" if outcome.reused_from is None else "reused"


def _column(values: Sequence[object], kind: str) -> object:
    """Return a column that may lack values."""
    import pandas

    return pandas.array([None if value is None else value for value in values], dtype=kind)


def _moments(seconds: Sequence[float]) -> object:
    import pandas

    return pandas.to_datetime(np.array(seconds), unit="s", utc=True, errors="coerce")


def _decisions(log: Log) -> dict[str, object]:
    """Return a column for each decision, with the answers: `stage3.kernel`."""
    decisions = log.space.decisions
    genotypes = np.array([ask.genotype for ask in log.asks.values()], np.int64).reshape(
        -1, len(decisions)
    )
    return {d.name: _choices(d)[genotypes[:, place]] for place, d in enumerate(decisions)}


def _choices(decision: Decision) -> NDArray[Any]:
    """Return a decision's choices, of one type: integers, numbers, or else words."""
    kinds = {type(choice) for choice in decision.choices}
    if kinds == {int} and all(abs(int(choice)) < 2**63 for choice in decision.choices):
        return np.array(decision.choices, np.int64)
    if kinds <= {int, float}:
        return np.array(decision.choices, np.float64)
    return np.array([str(choice) for choice in decision.choices], object)
