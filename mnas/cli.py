"""The command line. Each verb is a few lines around one call that Python could make.

Bad input ends in one line on the standard error and exit code 2, Ctrl-C in 130.
"""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from mnas import __version__, config, describe, export, log, report
from mnas.progress import Live
from mnas.search import resume as resume_search
from mnas.search import search as begin_search
from search_space import InputError
from search_space.errors import printable
from search_space.scaling import TABLES, Coefficients
from search_space.zoo import ZOO, zoo


class _Group(click.Group):
    """Turns bad input, wherever it is found, into one line and exit code 2."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().main(*arguments, **options | {"standalone_mode": False})
        except InputError as error:
            _fail(str(error))
        except click.ClickException as error:
            _fail(error.format_message())
        except (KeyboardInterrupt, click.Abort):
            sys.exit(130)
        except BrokenPipeError:
            sys.exit(1)  # the reader has gone: `mnas inspect RUN | head`
        except OSError as error:
            _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"mnas: {printable(message, 1000)}", err=True)
    sys.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mnas")
def main() -> None:
    """Search for a baseline network, inspect the search, scale what it found."""


_PATH = click.Path(path_type=Path)


def _interruptible() -> None:
    """Let a scheduler's SIGTERM end a search as Ctrl-C does."""

    def stop(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


def _say_stopped(run: Path) -> NoReturn:
    try:
        found = log.read(run)
    except InputError:
        click.echo("\nmnas: stopped before anything was searched", err=True)
    else:
        click.echo(
            f"\nmnas: stopped with {len(found.outcomes)} of {found.trials} trials done; go on with: mnas resume {run}",
            err=True,
        )
    sys.exit(130)


@main.command()
@click.argument("config_file", metavar="CONFIG")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override a value of the file.")
@click.option("--run", type=_PATH, help="Run directory to begin.  [default: runs/NAME-DATE-TIME]")
def search(config_file: str, overrides: Sequence[str], run: Path | None) -> None:
    """Run a search: CONFIG is a TOML file, or the name of a shipped one."""
    _interruptible()
    path = config.find(config_file)
    run = run or Path("runs") / f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        with Live(run) as live:
            done = begin_search(config.load(path, overrides), run, live)
    except KeyboardInterrupt:
        _say_stopped(run)
    click.echo(report.text(done))


@main.command()
@click.argument("run", type=_PATH)
@click.option("--trust", is_flag=True, help="Let the run's configuration name code outside mnas.")
def resume(run: Path, trust: bool) -> None:
    """Go on with the search in the directory RUN."""
    _interruptible()
    try:
        with Live(run) as live:
            done = resume_search(run, live, trusted=trust)
    except KeyboardInterrupt:
        _say_stopped(run)
    click.echo(report.text(done))


@main.command()
@click.argument("run", type=_PATH)
@click.option(
    "--top", type=click.IntRange(0), default=5, show_default=True, help="How many of the best trials to show."
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.option("--plot", type=_PATH, help="Draw accuracy against cost to this PNG, SVG or PDF.")
def inspect(run: Path, top: int, as_json: bool, plot: Path | None) -> None:
    """Show the state of a search, its best trials, Pareto front and failures."""
    found = log.read(run)
    click.echo(json.dumps(report.summary(found, top), indent=1) if as_json else report.text(found, top))
    if plot:
        report.plot(found, plot)


@main.command("export")
@click.argument("run", type=_PATH)
@click.option("--trial", type=int, help="Which trial.  [default: the one of highest reward]")
@click.option("-o", "--output", type=_PATH, required=True, help="The spec file to write.")
def export_spec(run: Path, trial: int | None, output: Path) -> None:
    """Write a trial's network as a spec: architecture, cost, accuracy, provenance."""
    spec = export.trial_spec(log.read(run), trial)
    export.write(output, spec)
    click.echo(
        f"{output}: {spec['name']}, {report.millions(spec['macs'])} MACs, {report.millions(spec['params'])} params, "
        f"validation accuracy {spec['accuracy']['validation']:.4f}"
    )


@main.command()
@click.argument("spec", type=_PATH)
@click.option("--phi", "phis", type=float, multiple=True, help="Compound coefficient; may be repeated.")
@click.option("--table", type=click.Choice(list(TABLES)), help="The released, hand-set B0 to B7.")
@click.option("-o", "--output", type=_PATH, help="Folder to write a spec for each network to.")
def scale(spec: Path, phis: Sequence[float], table: str | None, output: Path | None) -> None:
    """Scale the network of SPEC in depth, width and resolution.

    The released B1 to B7 are a table set by hand, not the powers 1.2^phi, 1.1^phi, 1.15^phi of the
    EfficientNet paper: --table gives the one, --phi the other.
    """
    name, architecture = export.read(spec)
    factors = dict(TABLES[table]) if table else {}
    factors |= {f"phi{phi:.12g}": Coefficients().at(phi) for phi in phis}
    if not factors:
        raise InputError("scale: takes --phi N or --table efficientnet")
    family = describe.family(architecture, factors)
    click.echo(describe.family_table(family, factors))
    if table:
        click.echo("The released B1 to B7 are a table set by hand, not powers of 1.2, 1.1 and 1.15: those are --phi.")
    if output:
        for member, scaled in family.items():
            export.write(output / f"{name}-{member}.json", export.spec(scaled, f"{name}-{member}"))
        click.echo(f"{len(family)} specs written to {output}")


@main.command()
@click.argument("source", metavar="CONFIG|SPACE")
@click.option("-n", "--count", default=1000, show_default=True, help="Random architectures in the histogram.")
def space(source: str, count: int) -> None:
    """Show a search space: decisions, size, known networks inside, what its networks cost."""
    found, reward = describe.find_space(source)
    click.echo(describe.space_text(found, reward, count))


@main.command("zoo")
@click.argument("name", required=False)
@click.option("-o", "--output", type=_PATH, help="Write its spec.")
def show_zoo(name: str | None, output: Path | None) -> None:
    """List the published networks, or show one of them stage by stage."""
    if name is None:
        if output:
            raise InputError(f"zoo: -o {output} takes the name of a network too")
        click.echo(describe.zoo_table(ZOO))
        return
    architecture = zoo(name)
    click.echo(report.stage_table(architecture))
    if output:
        export.write(output, export.spec(architecture, name))
        click.echo(f"written to {output}")
