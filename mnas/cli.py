"""The command line. Each verb is a few lines around one call that Python could make.

Bad input ends in one line on the standard error and exit code 2, Ctrl-C in 130.
"""

import gc
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click

from mnas import __version__, coefficients, config, confirm, describe, export, inspection, log, page, report, train
from mnas import follow as live
from mnas.collection import no_collection
from mnas.log import Log
from mnas.progress import Live, LiveTraining
from mnas.search import resume as resume_search
from mnas.search import search as begin_search
from search_space import Architecture, InputError
from search_space.errors import printable
from search_space.scaling import TABLES, Coefficients
from search_space.scaling import scale as scale_network
from search_space.zoo import ZOO, zoo


class _Group(click.Group):
    """Turns bad input, wherever it is found, into one line and exit code 2."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().main(*arguments, **options | {"standalone_mode": False})
        except InputError as error:
            _fail(str(error))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())  # `mnas` alone: the help, as it is
            sys.exit(2)
        except click.ClickException as error:
            _fail(error.format_message())
        except (KeyboardInterrupt, click.Abort):
            sys.exit(130)
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
        done = f"{len(found.outcomes)} of {found.trials} trials done"
        click.echo(f"\nmnas: stopped with {done}; go on with: {found.resume_command}", err=True)
    sys.exit(130)


def _new_run(path: Path) -> Path:
    return Path("runs") / f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def _run(search: Callable[[Live, Path], Log], run: Path) -> None:
    """Carry out a search with its progress shown, and show what it found."""
    _interruptible()
    try:
        with Live(run) as live:
            done = search(live, run)
    except KeyboardInterrupt:
        _say_stopped(run)
    click.echo(inspection.overview(done, 5))


def _train(training: Callable[[LiveTraining], train.TrainingRun], run: Path) -> None:
    """Carry out a training with its progress shown, and show what it reached."""
    _interruptible()
    try:
        with LiveTraining(run) as live:
            done = training(live)
    except KeyboardInterrupt:
        if train.is_one(run):
            click.echo(f"\nmnas: stopped; go on from the last epoch with: {train.read(run).resume_command}", err=True)
        sys.exit(130)
    click.echo(train.text(done))


def _confirm(run: Path, count: int, seeds: int, trusted: bool) -> None:
    """Train a search's most promising networks again, and say what came of it."""
    _interruptible()
    for again in confirm.confirm(run, count, seeds, trusted=trusted):
        failed = f", failed ({again.failure.kind})" if again.failure else ""
        click.echo(
            f"trial {again.trial} trained again: accuracy {again.accuracy:.4f}, reward {again.reward:.4f}{failed}"
        )


_OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override a value of the file."
)
_RUN = click.option("--run", type=_PATH, help="Run directory to begin.  [default: a new one in runs/]")


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
@click.argument("run", type=_PATH)
@click.option("--trust", is_flag=True, help="Let the run's configuration name code outside mnas.")
def resume(run: Path, trust: bool) -> None:
    """Go on with the search or the training in the directory RUN, to the end that it was begun with."""
    if train.is_one(run):
        _train(lambda live: train.resume(run, live, trusted=trust), run)
        return
    _run(lambda live, run: resume_search(run, live, trusted=trust), run)


@main.command()
@click.argument("runs", metavar="RUN", type=_PATH, nargs=-1, required=True)
@click.option(
    "--top", type=click.IntRange(0), default=5, show_default=True, help="How many of the best trials to show."
)
@click.option("--trial", type=int, metavar="N", help="Everything of one trial.")
@click.option("--rerank", metavar="REWARD", help="The log under another reward: target=300M,w=-0.1,kind=hard.")
@click.option("--compare", is_flag=True, help="RUN RUN2 …: their best rewards after as many trials.")
@click.option("--follow", is_flag=True, help="A live view, until the search is finished.")
@click.option("--export", type=_PATH, metavar="FILE", help="All trials as a table: FILE.csv, .parquet or .jsonl.")
@click.option("--json", "as_json", is_flag=True, help="The same and the configuration, as JSON.")
@click.option("--plot", type=_PATH, metavar="FILE", help="Draw what is shown to this PNG, SVG or PDF.")
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
@click.argument("run", type=_PATH)
@click.option("-o", "--output", type=_PATH, required=True, help="The HTML file to write.")
@click.option("--compare", type=_PATH, metavar="RUN", help="Draw another search, best a random one, beside it.")
def write_report(run: Path, output: Path, compare: Path | None) -> None:
    """Write a search as one HTML file to send around: what was asked, what was found, how it got there.

    It opens offline, for a reader who has never seen mnas, and holds its own charts.
    """
    with no_collection():
        page.write(log.read(run), output, log.read(compare) if compare else None)
    click.echo(f"{output}: {output.stat().st_size / 1000:,.0f} KB; it opens in any browser, offline")


@main.command("export")
@click.argument("source", metavar="RUN|SPEC", type=_PATH)
@click.option("--trial", type=int, help="Which trial of a run.  [default: the recommended one]")
@click.option(
    "--confirm",
    "confirm_best",
    type=click.IntRange(1),
    metavar="K",
    help="First train the K most promising networks again, with other seeds.",
)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How often each, with --confirm.")
@click.option("--trust", is_flag=True, help="Let the run's configuration name code outside mnas, with --confirm.")
@click.option(
    "--to", "kind", type=click.Choice(["spec", "timm", "tf", "onnx", "weights", "coefficients"]), default="spec"
)
@click.option("--weights", "tensors", type=_PATH, help="Safetensors for onnx and weights.  [default: untrained]")
@click.option("-o", "--output", type=_PATH, required=True, help="The file to write.")
def export_network(
    source: Path,
    trial: int | None,
    confirm_best: int | None,
    seeds: int,
    trust: bool,
    kind: str,
    tensors: Path | None,
    output: Path,
) -> None:
    """Write the network of a search's trial, the best of a training, or that of a spec.

    A spec is JSON: architecture, cost, accuracy, provenance. timm and tf are block strings with the
    keywords that go with them, in JSON, which every verb that takes a SPEC takes too. onnx is run by
    onnxruntime and compared before it is done. weights are safetensors under timm's names. coefficients
    are the best triple of a coefficient search, for scale. What --confirm trains is kept in the run's journal:
    stopped, the same command goes on.
    """
    if confirm_best and (trial is not None or kind == "coefficients"):
        raise InputError("--confirm: chooses a network; takes no --trial, nor --to coefficients")
    if not confirm_best and (seeds > 1 or trust):
        raise InputError("--seeds and --trust: take --confirm K with them")
    if tensors and kind not in ("onnx", "weights"):
        raise InputError(f"--weights {tensors}: takes --to onnx or --to weights")
    trained = train.read(source).best if train.is_one(source) else None
    if trial is not None and (kind == "coefficients" or trained or not source.is_dir()):
        raise InputError(f"--trial {trial}: takes a search, and a network of it")
    if confirm_best:
        _confirm(source, confirm_best, seeds, trust)
    if kind == "coefficients":
        export.write(output, coefficients.best_triple(log.read(source)))
        click.echo(f"{output}: the best triple of {source}")
        return
    if trained:
        spec, tensors = export.read(trained.finished), tensors or trained.weights
    else:
        spec = export.trial_spec(log.read(source), trial) if source.is_dir() else export.read(source)
    if kind in ("timm", "tf"):
        export.write(output, export.strings(spec, kind))
    elif kind == "spec":
        export.write(output, spec)
    else:
        from mnas import onnx, weights  # torch: seconds

        network = weights.initialised(export.architecture(spec), tensors)
        if kind == "weights":
            weights.save(network, output)
        else:
            difference = onnx.export(network, output)
            click.echo(f"onnxruntime's logits and PyTorch's differ by {difference:.1e} of the largest, at most")
        if not trained or tensors != trained.weights:
            spec.pop("accuracy", None)  # a child's weights were not kept; these reached nothing yet
        spec["name"] += f", the weights of {tensors}" if tensors else ", untrained weights of seed 0"
    click.echo(f"{output}: {export.headline(spec)}")


@main.command("import-weights")
@click.argument("checkpoint", type=_PATH)
@click.argument("spec", type=_PATH)
@click.option("--padding", type=click.Choice(["symmetric", "same"]), help="As the source had it; same: TensorFlow's.")
@click.option("--bn-eps", type=float, help="As the source had it.")
@click.option("--naming", help="Whose names the checkpoint has.  [default: found out]")
@click.option("-o", "--output", type=_PATH, required=True, help="Writes OUTPUT.safetensors and OUTPUT.json.")
def import_weights(
    checkpoint: Path, spec: Path, padding: str | None, bn_eps: float | None, naming: str | None, output: Path
) -> None:
    """Turn a foreign checkpoint of SPEC's network into safetensors under our names, with its spec.

    Known are the names of timm, of lukemelas' EfficientNet-PyTorch, and of torchvision's EfficientNet,
    MobileNetV2 and MnasNet.
    """
    from mnas import weights  # torch: seconds

    found = export.read(spec)
    changes = {"padding": padding, "bn_eps": bn_eps}
    said = {name: value for name, value in changes.items() if value is not None}
    architecture = Architecture.from_json(found["architecture"] | said)
    network = weights.initialised(architecture, None)
    naming = weights.import_weights(checkpoint, network, naming)
    weights.save(network, output.with_name(f"{output.name}.safetensors"))
    provenance = {"checkpoint": checkpoint.name, "naming": naming, "spec": found["digest"]}
    imported = export.spec(architecture, found["name"], provenance=provenance)
    export.write(output.with_name(f"{output.name}.json"), imported)
    click.echo(f"{output}.safetensors and {output}.json: {found['name']}, read by {naming}'s names")


@main.command("train")
@click.argument("source", metavar="SPEC|RUN", type=_PATH)
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
@click.argument("spec", type=_PATH)
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


@main.command()
@click.argument("spec", type=_PATH)
@click.option("--phi", "phis", type=float, multiple=True, help="Compound coefficient; may be repeated.")
@click.option("--table", type=click.Choice(list(TABLES)), help="Released factors: B0 to B7; B8, L2; or Lite0 to 4.")
@click.option("--coefficients", "bases", type=_PATH, help="Coefficients for --phi, as scale-search found them.")
@click.option("-o", "--output", type=_PATH, help="Folder to write a spec for each network to.")
def scale(spec: Path, phis: Sequence[float], table: str | None, bases: Path | None, output: Path | None) -> None:
    """Scale the network of SPEC in depth, width and resolution.

    The released B1 to B7 are a table set by hand, not the powers 1.2^phi, 1.1^phi, 1.15^phi of the
    EfficientNet paper: --table gives the one, --phi the other.
    """
    found = export.read(spec)
    name, architecture = found["name"], export.architecture(found)
    factors = dict(TABLES[table]) if table else {}
    if bases and not phis:
        raise InputError(f"--coefficients {bases}: takes --phi N with it")
    powers = coefficients.read(bases) if bases else Coefficients()
    factors |= {f"phi{phi:.12g}": powers.at(phi) for phi in phis}
    if not factors:
        raise InputError("scale: takes --phi N or --table efficientnet")
    family = {member: scale_network(architecture, each) for member, each in factors.items()}
    click.echo(describe.family_table(family, factors))
    if table == "efficientnet":
        click.echo("The released B1 to B7 are a table set by hand, not powers of 1.2, 1.1 and 1.15: those are --phi.")
    if output:
        for member, scaled in family.items():
            provenance = {"scaled_from": architecture.digest, "name": name, "factors": asdict(factors[member])}
            made = export.spec(scaled, f"{name}-{member}", provenance=provenance)
            export.write(output / f"{name}-{member}.json", made)
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
