"""The command line: its verbs about runs. Each is a few lines around one call that Python could make."""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from mnas import __version__, cli_networks, coefficients, config, export, inspection, log, page, train
from mnas import follow as live
from mnas.cli_group import PATH, Group, interruptible
from mnas.collection import no_collection
from mnas.log import Log
from mnas.progress import Live, LiveTraining
from mnas.search import resume as resume_search
from mnas.search import search as begin_search
from search_space import InputError


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mnas")
def main() -> None:
    """Search for a baseline network, inspect the search, scale what it found."""


for verb in cli_networks.VERBS:
    main.add_command(verb)


def _say_stopped(run: Path) -> NoReturn:
    try:
        found = log.read(run)
    except InputError:
        click.echo("\nmnas: stopped before anything was searched", err=True)
    else:
        done = f"{len(found.outcomes)} of {found.trials} trials done"
        click.echo(f"\nmnas: stopped with {done}; go on with: {found.resume_command}", err=True)
    sys.exit(130)


def _new_run(path: Path) -> Path:
    return Path("runs") / f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def _run(search: Callable[[Live, Path], Log], run: Path) -> None:
    """Carry out a search with its progress shown, and show what it found."""
    interruptible()
    try:
        with Live(run) as live:
            done = search(live, run)
    except KeyboardInterrupt:
        _say_stopped(run)
    click.echo(inspection.overview(done, 5))


def _train(training: Callable[[LiveTraining], train.TrainingRun], run: Path) -> None:
    """Carry out a training with its progress shown, and show what it reached."""
    interruptible()
    try:
        with LiveTraining(run) as live:
            done = training(live)
    except KeyboardInterrupt:
        if train.is_one(run):
            click.echo(f"\nmnas: stopped; go on from the last epoch with: {train.read(run).resume_command}", err=True)
        sys.exit(130)
    click.echo(train.text(done))


_OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override a value of the file."
)
_RUN = click.option("--run", type=PATH, help="Run directory to begin.  [default: a new one in runs/]")


@main.command()
@click.argument("config_file", metavar="CONFIG")
@_OVERRIDES
@_RUN
@click.option(
    "--resume-if-exists", is_flag=True, help="Go on with RUN where it was begun: one command for every start."
)
def search(config_file: str, overrides: Sequence[str], run: Path | None, resume_if_exists: bool) -> None:
    """Run a search: CONFIG is a TOML file, or quickstart, cifar10-cpu, cifar10 or imagenet.

    --set search.trials=8 --set proxy.path=/data/images; a new --set controller.name=NAME leaves the
    other keys of that table behind, for they were the old one's.
    """
    path = config.find(config_file)
    planned = config.load(path, overrides)
    if resume_if_exists and run is None:
        raise InputError("--resume-if-exists: takes --run DIRECTORY")
    if resume_if_exists and run and log.has_begun(run):
        if log.read(run).header.config_digest != planned.digest:
            raise InputError(f"{run}: begun with another configuration; mnas resume {run} goes on with that one")
        _run(lambda live, run: resume_search(run, live, trusted=True), run)
        return
    _run(lambda live, run: begin_search(planned, run, live), run or _new_run(path))


@main.command()
@click.argument("run", type=PATH)
@click.option("--trust", is_flag=True, help="Let the run's configuration name code outside mnas.")
def resume(run: Path, trust: bool) -> None:
    """Go on with the search or the training in the directory RUN, to the end that it was begun with."""
    if train.is_one(run):
        _train(lambda live: train.resume(run, live, trusted=trust), run)
        return
    _run(lambda live, run: resume_search(run, live, trusted=trust), run)


@main.command()
@click.argument("runs", metavar="RUN", type=PATH, nargs=-1, required=True)
@click.option(
    "--top", type=click.IntRange(0), default=5, show_default=True, help="How many of the best trials to show."
)
@click.option("--trial", type=int, metavar="N", help="Everything of one trial.")
@click.option("--rerank", metavar="REWARD", help="The log under another reward: target=300M,w=-0.1,kind=hard.")
@click.option("--compare", is_flag=True, help="RUN RUN2 …: their best rewards after as many trials.")
@click.option("--follow", is_flag=True, help="A live view, until the search is finished.")
@click.option("--export", type=PATH, metavar="FILE", help="All trials as a table: FILE.csv, .parquet or .jsonl.")
@click.option("--json", "as_json", is_flag=True, help="The same and the configuration, as JSON.")
@click.option("--plot", type=PATH, metavar="FILE", help="Draw what is shown to this PNG, SVG or PDF.")
def inspect(runs: Sequence[Path], follow: bool, **options: Any) -> None:
    """Show the state of a search, its best trials, Pareto front and failures; or that of a training.

    --rerank weighs the accuracies measured anew and trains nothing. It takes target, cost (macs, params), kind
    (power; hard: nothing for being under the target; absolute), alpha and beta, or w for both; it goes with
    --compare, --trial, --export, --json and --plot too. --follow only reads: on this machine or a mounted directory.
    """
    wanted = inspection.Wanted(**options)
    if not follow:
        click.echo(inspection.text(runs, wanted))
        gc.freeze()  # this process ends here: else Python looks through all trials once more
    elif len(runs) == 1 and wanted == inspection.Wanted(top=wanted.top):
        live.follow(runs[0], wanted.top)
    else:
        raise InputError("--follow: takes one RUN, and no option but --top")


@main.command("report")
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The HTML file to write.")
@click.option("--compare", type=PATH, metavar="RUN", help="Draw another search, best a random one, beside it.")
def write_report(run: Path, output: Path, compare: Path | None) -> None:
    """Write a search as one HTML file to send around: what was asked, what was found, how it got there.

    It opens offline, for a reader who has never seen mnas, and holds its own charts.
    """
    with no_collection():
        page.write(log.read(run), output, log.read(compare) if compare else None)
    click.echo(f"{output}: {output.stat().st_size / 1000:,.0f} KB; it opens in any browser, offline")


@main.command("train")
@click.argument("source", metavar="SPEC|RUN", type=PATH)
@click.argument("config_file", metavar="[CONFIG]", required=False)
@_OVERRIDES
@_RUN
@click.option("--workers", type=click.IntRange(1), help="Processes that share each batch, by Ray Train.  [default: 1]")
@click.option("--top", type=click.IntRange(1), help="How many of a search's best networks to train.  [default: 1]")
@click.option("--trust", is_flag=True, help="Let the run's configuration name code outside mnas.")
def train_networks(
    source: Path,
    config_file: str | None,
    overrides: Sequence[str],
    run: Path | None,
    workers: int | None,
    top: int | None,
    trust: bool,
) -> None:
    """Train a network fully, or a search's best, and measure it on the test images once, at the end.

    The [train] table of CONFIG says how; its recipe is the papers' unless it says otherwise, its data are
    those of [proxy]. A search's own configuration is taken where no CONFIG is named. A checkpoint is kept
    after each epoch; resume goes on from it.
    """
    overrides = [*overrides, f"train.workers={workers}"] if workers else overrides
    if source.is_dir():
        found = log.read(source)
        specs = train.trials(found, top or 1)
        base = config.load(config.find(config_file)) if config_file else found.config(trusted=trust)
    elif config_file is None or top:
        raise InputError(f"{source}: not a run directory; takes a CONFIG, and no --top")
    else:
        specs, base = [export.read(source)], config.load(config.find(config_file))
    run = run or _new_run(Path(f"train-{source.resolve().stem}"))
    planned = config.override(base, overrides)
    _train(lambda live: train.begin(planned, specs, run, live), run)


@main.command("scale-search")
@click.argument("spec", type=PATH)
@click.argument("config_file", metavar="CONFIG")
@_OVERRIDES
@_RUN
def scale_search(spec: Path, config_file: str, overrides: Sequence[str], run: Path | None) -> None:
    """Find the compound coefficients of SPEC: train it scaled by every triple of a grid.

    EfficientNet's first step: depth α, width β and resolution γ with α·β²·γ² about 2. CONFIG is a TOML
    file, or coefficients. A run like any other: inspect shows it, resume goes on with it.
    """
    path = config.find(config_file)
    planned = coefficients.plan(config.load(path, overrides), export.architecture(export.read(spec)))
    _run(lambda live, run: begin_search(planned, run, live), run or _new_run(path))
