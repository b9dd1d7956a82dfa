"""The command line's verbs that read runs: `inspect`, one question at a time, and `report`."""

import gc
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from mnas import training
from mnas.analysis import compare, rerank, table
from mnas.analysis.recommend import recommend
from mnas.analysis.summary import summary
from mnas.cli.group import PATH
from mnas.journal.collection import no_collection
from mnas.journal.log import Log
from mnas.journal.reader import read
from mnas.show import comparison, page, plots, reranking, trial
from mnas.show import training as show_training
from mnas.show.follow import follow as follow_run
from mnas.show.overview import overview
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
        asked = {
            "--json": self.as_json,
            "--compare": self.compare,
            "--export": self.export is not None,
        }
        names = [
            name for name, wanted in (asked | {"--trial": self.trial is not None}).items() if wanted
        ]
        if len(names) > 1:
            raise InputError(f"{' and '.join(names)}: takes one of them at a time")


@no_collection()
def text(runs: Sequence[Path], wanted: Wanted) -> str:
    """Answer what is asked of one search, of several to compare, or of a training; draw and write
    the files asked for.

    Raises:
        InputError: when a run can't be read, or what is asked can't be answered of it.
    """
    if len(runs) > 1 and not wanted.compare:
        raise InputError(f"{runs[1]}: a second run; takes --compare with it")
    if training.is_one(runs[0]):
        if wanted != Wanted(top=wanted.top):
            raise InputError(f"{runs[0]}: a training; this option takes a search")
        return show_training.text(training.read(runs[0]))
    before = [read(run) for run in runs]
    logs = before
    if wanted.rerank is not None:
        logs = [rerank.under(log, rerank.parse(wanted.rerank, log.reward)) for log in before]
    if wanted.compare:
        return _compared(logs, wanted)
    if wanted.plot:
        plots.plot(logs[0], wanted.plot)
    if wanted.rerank is not None and wanted == Wanted(
        top=wanted.top, rerank=wanted.rerank, plot=wanted.plot
    ):
        return reranking.text(before[0], logs[0], wanted.top)
    return _one(logs[0], wanted)


def _compared(logs: Sequence[Log], wanted: Wanted) -> str:
    if len(logs) < 2:
        raise InputError("--compare: takes two runs or more")
    groups = compare.groups(logs)
    if wanted.plot:
        comparison.plot(groups, wanted.plot)
    return comparison.text(groups)


def _one(log: Log, wanted: Wanted) -> str:
    if wanted.trial is not None:
        return trial.text(log, wanted.trial)
    if wanted.export:
        return f"{wanted.export}: {table.write(log, wanted.export):,} trials of {log.run}"
    if wanted.as_json:
        recommended = [asdict(each) for each in recommend(log)]
        return json.dumps(summary(log, wanted.top) | {"recommended": recommended}, indent=1)
    return overview(log, wanted.top)


@click.command()
@click.argument("runs", metavar="RUN", type=PATH, nargs=-1, required=True)
@click.option(
    "--top",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="How many of the best trials to show.",
)
@click.option("--trial", type=int, metavar="N", help="Everything of one trial.")
@click.option(
    "--rerank", metavar="REWARD", help="The log under another reward: target=300M,w=-0.1,kind=hard."
)
@click.option(
    "--compare", is_flag=True, help="RUN RUN2 …: their best rewards after as many trials."
)
@click.option("--follow", is_flag=True, help="A live view, until the search is finished.")
@click.option(
    "--export",
    type=PATH,
    metavar="FILE",
    help="All trials as a table: FILE.csv, .parquet or .jsonl.",
)
@click.option("--json", "as_json", is_flag=True, help="The same and the configuration, as JSON.")
@click.option(
    "--plot", type=PATH, metavar="FILE", help="Draw what is shown to this PNG, SVG or PDF."
)
def inspect(runs: Sequence[Path], follow: bool, **options: Any) -> None:
    """Show the state of a search, its best trials, Pareto front and failures; or that of a
    training.

    --rerank weighs the accuracies measured anew and trains nothing. It takes target, cost (macs,
    params), kind (power; hard: nothing for being under the target; absolute), alpha and beta, or w
    for both; it goes with --compare, --trial, --export, --json and --plot too. --follow only reads:
    on this machine or a mounted directory.
    """
    wanted = Wanted(**options)
    if not follow:
        click.echo(text(runs, wanted))
        gc.freeze()  # this process ends here: else Python looks through all trials once more
    elif len(runs) == 1 and wanted == Wanted(top=wanted.top):
        follow_run(runs[0], wanted.top)
    else:
        raise InputError("--follow: takes one RUN, and no option but --top")


@click.command("report")
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The HTML file to write.")
@click.option(
    "--compare", type=PATH, metavar="RUN", help="Draw another search, best a random one, beside it."
)
def report(run: Path, output: Path, compare: Path | None) -> None:
    """Write a search as one HTML file to send around: what was asked, what was found, how it got
    there.

    It opens offline, for a reader who has never seen mnas, and holds its own charts.
    """
    with no_collection():
        page.write(read(run), output, read(compare) if compare else None)
    click.echo(
        f"{output}: {output.stat().st_size / 1000:,.0f} KB; it opens in any browser, offline"
    )
