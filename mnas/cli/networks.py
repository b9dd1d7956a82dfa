"""The command line's verbs about a network: out of a run or a spec to a file, scaled, looked up;
what a space holds.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from mnas import training
from mnas.cli.group import PATH, interruptible
from mnas.engine.confirm import confirm
from mnas.export import coefficients
from mnas.export import spec as export
from mnas.export.strings import strings
from mnas.export.trial import trial_spec
from mnas.journal.reader import read
from mnas.show.space import find_space, space_text
from mnas.show.tables import family_table, stage_table, zoo_table
from search_space import Architecture, InputError
from search_space.scaling import TABLES, Coefficients
from search_space.scaling import scale as scale_network
from search_space.zoo import ZOO, zoo


def _confirm(run: Path, count: int, seeds: int, trusted: bool) -> None:
    """Train a search's most promising networks again, and say what came of it."""
    interruptible()
    for again in confirm(run, count, seeds, trusted=trusted):
        failed = f", failed ({again.failure.kind})" if again.failure else ""
        click.echo(
            f"trial {again.trial} trained again: accuracy "
            f"{again.accuracy:.4f}, reward {again.reward:.4f}{failed}"
        )


@click.command("export")
@click.argument("source", metavar="RUN|SPEC", type=PATH)
@click.option("--trial", type=int, help="Which trial of a run.  [default: the recommended one]")
@click.option(
    "--confirm",
    "confirm_best",
    type=click.IntRange(1),
    metavar="K",
    help="First train the K most promising networks again, with other seeds.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How often each, with --confirm.",
)
@click.option(
    "--trust",
    is_flag=True,
    help="Let the run's configuration name code outside mnas, with --confirm.",
)
@click.option(
    "--to",
    "kind",
    type=click.Choice(["spec", "timm", "tf", "onnx", "weights", "coefficients"]),
    default="spec",
)
@click.option(
    "--weights",
    "tensors",
    type=PATH,
    help="Safetensors for onnx and weights.  [default: untrained]",
)
@click.option("-o", "--output", type=PATH, required=True, help="The file to write.")
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
    keywords that go with them, in JSON, which every verb that takes a SPEC takes too. onnx is run
    by onnxruntime and compared before it is done. weights are safetensors under timm's names.
    coefficients are the best triple of a coefficient search, for scale. What --confirm trains is
    kept in the run's journal: stopped, the same command goes on.
    """
    if confirm_best and (trial is not None or kind == "coefficients"):
        raise InputError("--confirm: chooses a network; takes no --trial, nor --to coefficients")
    if not confirm_best and (seeds > 1 or trust):
        raise InputError("--seeds and --trust: take --confirm K with them")
    if tensors and kind not in ("onnx", "weights"):
        raise InputError(f"--weights {tensors}: takes --to onnx or --to weights")
    trained = training.read(source).best if training.is_one(source) else None
    if trial is not None and (kind == "coefficients" or trained or not source.is_dir()):
        raise InputError(f"--trial {trial}: takes a search, and a network of it")
    if confirm_best:
        _confirm(source, confirm_best, seeds, trust)
    if kind == "coefficients":
        export.write(output, coefficients.best_triple(read(source)))
        click.echo(f"{output}: the best triple of {source}")
        return
    if trained:
        spec, tensors = export.read(trained.finished), tensors or trained.weights
    else:
        spec = trial_spec(read(source), trial) if source.is_dir() else export.read(source)
    if kind in ("timm", "tf"):
        export.write(output, strings(spec, kind))
    elif kind == "spec":
        export.write(output, spec)
    else:
        from mnas.export import onnx, weights  # torch: seconds

        network = weights.initialised(export.architecture(spec), tensors)
        if kind == "weights":
            weights.save(network, output)
        else:
            difference = onnx.export(network, output)
            click.echo(
                "onnxruntime's logits and PyTorch's differ by "
                f"{difference:.1e} of the largest, at most"
            )
        if not trained or tensors != trained.weights:
            spec.pop("accuracy", None)  # a child's weights were not kept; these reached nothing yet
        spec["name"] += (
            f", the weights of {tensors}" if tensors else ", untrained weights of seed 0"
        )
    click.echo(f"{output}: {export.headline(spec)}")


@click.command("import-weights")
@click.argument("checkpoint", type=PATH)
@click.argument("spec", type=PATH)
@click.option(
    "--padding",
    type=click.Choice(["symmetric", "same"]),
    help="As the source had it; same: TensorFlow's.",
)
@click.option("--bn-eps", type=float, help="As the source had it.")
@click.option("--naming", help="Whose names the checkpoint has.  [default: found out]")
@click.option(
    "-o", "--output", type=PATH, required=True, help="Writes OUTPUT.safetensors and OUTPUT.json."
)
def import_weights(
    checkpoint: Path,
    spec: Path,
    padding: str | None,
    bn_eps: float | None,
    naming: str | None,
    output: Path,
) -> None:
    """Turn a foreign checkpoint of SPEC's network into safetensors under our names, with its spec.

    Known are the names of timm, of lukemelas' EfficientNet-PyTorch, and of torchvision's
    EfficientNet, MobileNetV2 and MnasNet.
    """
    from mnas.export import foreign, weights  # torch: seconds

    found = export.read(spec)
    changes = {"padding": padding, "bn_eps": bn_eps}
    said = {name: value for name, value in changes.items() if value is not None}
    architecture = Architecture.from_json(found["architecture"] | said)
    network = weights.initialised(architecture, None)
    naming = foreign.import_weights(checkpoint, network, naming)
    weights.save(network, output.with_name(f"{output.name}.safetensors"))
    provenance = {"checkpoint": checkpoint.name, "naming": naming, "spec": found["digest"]}
    imported = export.spec(architecture, found["name"], provenance=provenance)
    export.write(output.with_name(f"{output.name}.json"), imported)
    click.echo(f"{output}.safetensors and {output}.json: {found['name']}, read by {naming}'s names")


@click.command()
@click.argument("spec", type=PATH)
@click.option(
    "--phi", "phis", type=float, multiple=True, help="Compound coefficient; may be repeated."
)
@click.option(
    "--table",
    type=click.Choice(list(TABLES)),
    help="Released factors: B0 to B7; B8, L2; or Lite0 to 4.",
)
@click.option(
    "--coefficients", "bases", type=PATH, help="Coefficients for --phi, as scale-search found them."
)
@click.option("-o", "--output", type=PATH, help="Folder to write a spec for each network to.")
def scale(
    spec: Path, phis: Sequence[float], table: str | None, bases: Path | None, output: Path | None
) -> None:
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
    click.echo(family_table(family, factors))
    if table == "efficientnet":
        click.echo(
            "The released B1 to B7 are a table set by hand, not "
            "powers of 1.2, 1.1 and 1.15: those are --phi."
        )
    if output:
        for member, scaled in family.items():
            provenance = {
                "scaled_from": architecture.digest,
                "name": name,
                "factors": asdict(factors[member]),
            }
            made = export.spec(scaled, f"{name}-{member}", provenance=provenance)
            export.write(output / f"{name}-{member}.json", made)
        click.echo(f"{len(family)} specs written to {output}")


@click.command()
@click.argument("source", metavar="CONFIG|SPACE")
@click.option(
    "-n", "--count", default=1000, show_default=True, help="Random architectures in the histogram."
)
def space(source: str, count: int) -> None:
    """Show a search space: decisions, size, known networks inside, what its networks cost."""
    found, reward = find_space(source)
    click.echo(space_text(found, reward, count))


@click.command("zoo")
@click.argument("name", required=False)
@click.option("-o", "--output", type=PATH, help="Write its spec.")
def show_zoo(name: str | None, output: Path | None) -> None:
    """List the published networks, or show one of them stage by stage."""
    if name is None:
        if output:
            raise InputError(f"zoo: -o {output} takes the name of a network too")
        click.echo(zoo_table(ZOO))
        return
    architecture = zoo(name)
    click.echo(stage_table(architecture))
    if output:
        export.write(output, export.spec(architecture, name))
        click.echo(f"written to {output}")
