"""What `mnas inspect` shows of a search, or of several: one question at a time, answered from journals alone."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mnas import coefficients, compare, log, recommend, report, rerank, table, train, trial
from mnas.collection import no_collection
from mnas.log import Log
from search_space import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is asked; each is an option of the command line."""

    top: int = 5
    as_json: bool = False
    trial: int | None = None
    rerank: str | None = None
    compare: bool = False
    export: Path | None = None
    plot: Path | None = None

    def __post_init__(self) -> None:
        asked = {"--json": self.as_json, "--compare": self.compare, "--export": self.export is not None}
        names = [name for name, wanted in (asked | {"--trial": self.trial is not None}).items() if wanted]
        if len(names) > 1:
            raise InputError(f"{' and '.join(names)}: takes one of them at a time")


def overview(found: Log, top: int) -> str:
    """Write the state of a search, what is best, and what is recommended."""
    parts = [report.text(found, top), recommend.text(found)]
    if coefficients.is_one(found):
        parts.append(coefficients.table(found))
    return "\n\n".join(part for part in parts if part)


@no_collection()
def text(runs: Sequence[Path], wanted: Wanted) -> str:
    """Answer what is asked of one search, of several to compare, or of a training; draw and write the files asked for.

    Raises:
        InputError: when a run can't be read, or what is asked can't be answered of it.
    """
    if len(runs) > 1 and not wanted.compare:
        raise InputError(f"{runs[1]}: a second run; takes --compare with it")
    if train.is_one(runs[0]):
        if wanted != Wanted(top=wanted.top):
            raise InputError(f"{runs[0]}: a training; this option takes a search")
        return train.text(train.read(runs[0]))
    read = [log.read(run) for run in runs]
    found = read
    if wanted.rerank is not None:
        found = [rerank.under(each, rerank.parse(wanted.rerank, each.reward)) for each in read]
    if wanted.compare:
        return _compared(found, wanted)
    if wanted.plot:
        report.plot(found[0], wanted.plot)
    if wanted.rerank is not None and wanted == Wanted(top=wanted.top, rerank=wanted.rerank, plot=wanted.plot):
        return rerank.text(read[0], found[0], wanted.top)
    return _one(found[0], wanted)


def _compared(found: Sequence[Log], wanted: Wanted) -> str:
    if len(found) < 2:
        raise InputError("--compare: takes two runs or more")
    groups = compare.groups(found)
    if wanted.plot:
        compare.plot(groups, wanted.plot)
    return compare.text(groups)


def _one(found: Log, wanted: Wanted) -> str:
    if wanted.trial is not None:
        return trial.text(found, wanted.trial)
    if wanted.export:
        return f"{wanted.export}: {table.write(found, wanted.export):,} trials of {found.run}"
    if wanted.as_json:
        recommended = [asdict(each) for each in recommend.recommend(found)]
        return json.dumps(report.summary(found, wanted.top) | {"recommended": recommended}, indent=1)
    return overview(found, wanted.top)
