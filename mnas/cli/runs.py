"""The command line's verbs that begin or resume a run: a few lines around one call that Python
could make.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import click

from mnas import config, training
from mnas.cli.group import PATH, interruptible
from mnas.cli.progress import Live, LiveTraining
from mnas.engine import coefficients
from mnas.engine.loop import resume as resume_search
from mnas.engine.loop import search as begin_search
from mnas.export import spec as export
from mnas.journal.directory import has_begun
from mnas.journal.log import Log
from mnas.journal.reader import read
from mnas.show import training as show_training
from mnas.show.overview import overview
from search_space import InputError


def _say_stopped(run: Path) -> NoReturn:
    try:
        found = read(run)
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
    click.echo(overview(done, 5))


def _train(carry_out: Callable[[LiveTraining], training.TrainingRun], run: Path) -> None:
    """Carry out a training with its progress shown, and show what it reached."""
    interruptible()
    try:
        with LiveTraining(run) as live:
            done = carry_out(live)
    except KeyboardInterrupt:
        if training.is_one(run):
            click.echo(
                "\nmnas: stopped; go on from the last epoch with: "
                f"{training.read(run).resume_command}",
                err=True,
            )
        sys.exit(130)
    click.echo(show_training.text(done))


_OVERRIDES = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Override a value of the file.",
)
_RUN = click.option(
    "--run", type=PATH, help="Run directory to begin.  [default: a new one in runs/]"
)


@click.command()
@click.argument("config_file", metavar="CONFIG")
@_OVERRIDES
@_RUN
@click.option(
    "--resume-if-exists",
    is_flag=True,
    help="Go on with RUN where it was begun: one command for every start.",
)
def search(
    config_file: str, overrides: Sequence[str], run: Path | None, resume_if_exists: bool
) -> None:
    """Run a search: CONFIG is a TOML file, or quickstart, cifar10-cpu, cifar10 or imagenet.

    --set search.trials=8 --set proxy.path=/data/images; a new --set controller.name=NAME leaves the
    other keys of that table behind, for they were the old one's.
    """
    path = config.find(config_file)
    planned = config.load(path, overrides)
    if resume_if_exists and run is None:
        raise InputError("--resume-if-exists: takes --run DIRECTORY")
    if resume_if_exists and run and has_begun(run):
        if read(run).header.config_digest != planned.digest:
            raise InputError(
                f"{run}: begun with another configuration; mnas resume {run} goes on with that one"
            )
        _run(lambda live, run: resume_search(run, live, trusted=True), run)
        return
    _run(lambda live, run: begin_search(planned, run, live), run or _new_run(path))


@click.command()
@click.argument("run", type=PATH)
@click.option("--trust", is_flag=True, help="Let the run's configuration name code outside mnas.")
def resume(run: Path, trust: bool) -> None:
    """Go on with the search or the training in the directory RUN, to the end that it was begun
    with.
    """
    if training.is_one(run):
        _train(lambda live: training.resume(run, live, trusted=trust), run)
        return
    _run(lambda live, run: resume_search(run, live, trusted=trust), run)


@click.command("train")
@click.argument("source", metavar="SPEC|RUN", type=PATH)
@click.argument("config_file", metavar="[CONFIG]", required=False)
@_OVERRIDES
@_RUN
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes that share each batch, by Ray Train.  [default: 1]",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    help="How many of a search's best networks to train.  [default: 1]",
)
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
    """Train a network fully, or a search's best, and measure it on the test images once, at the
    end.

    The [train] table of CONFIG says how; its recipe is the papers' unless it says otherwise, its
    data are those of [proxy]. A search's own configuration is taken where no CONFIG is named. A
    checkpoint is kept after each epoch; resume goes on from it.
    """
    overrides = [*overrides, f"train.workers={workers}"] if workers else overrides
    if source.is_dir():
        found = read(source)
        specs = training.trials(found, top or 1)
        base = config.load(config.find(config_file)) if config_file else found.config(trusted=trust)
    elif config_file is None or top:
        raise InputError(f"{source}: not a run directory; takes a CONFIG, and no --top")
    else:
        specs, base = [export.read(source)], config.load(config.find(config_file))
    run = run or _new_run(Path(f"train-{source.resolve().stem}"))
    planned = config.override(base, overrides)
    _train(lambda live: training.begin(planned, specs, run, live), run)


@click.command("scale-search")
@click.argument("spec", type=PATH)
@click.argument("config_file", metavar="CONFIG")
@_OVERRIDES
@_RUN
def scale_search(spec: Path, config_file: str, overrides: Sequence[str], run: Path | None) -> None:
    """Find the compound coefficients of SPEC: train it scaled by every triple of a grid.

    EfficientNet's first step: depth α, width β and resolution γ with α·β²·γ² about 2. CONFIG is a
    TOML file, or coefficients. A run like any other: inspect shows it, resume goes on with it.
    """
    path = config.find(config_file)
    planned = coefficients.plan(
        config.load(path, overrides), export.architecture(export.read(spec))
    )
    _run(lambda live, run: begin_search(planned, run, live), run or _new_run(path))
