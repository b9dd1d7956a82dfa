"""The MobileNetV2 to beat: at least as many multiply-adds as a search's winner, for images of about
32 pixels.

    python -m benchmarks.equal_macs b0.json -o mobilenetv2.json
    mnas train b0.json CONFIG && mnas train mobilenetv2.json CONFIG

MobileNetV2 (arXiv 1801.04381, Table 2) with the strides that small images need: 32 pixels end at 4,
as in the space `mnasnet-tiny`. Channels are multiples of 8, so MACs go in steps: it is the
narrowest that has no fewer than the spec.
"""

import itertools
from dataclasses import replace
from pathlib import Path

import click

from mnas.cli.group import Command
from mnas.export import spec as export
from search_space import Architecture
from search_space.cost import cost
from search_space.scaling import Factors, scale
from search_space.zoo import ZOO

STRIDES = (1, 2, 1, 2, 1, 1, 1)  # after a stem of stride 2


def mobilenet_like(winner: Architecture) -> Architecture:
    """Return the narrowest MobileNetV2 with at least the winner's MACs, for its images
    and classes.
    """
    published = ZOO["mobilenet-v2"]
    reference = replace(
        published,
        stages=tuple(
            replace(s, stride=stride) for s, stride in zip(published.stages, STRIDES, strict=True)
        ),
        in_channels=winner.in_channels,
        resolution=winner.resolution,
        classes=winner.classes,
        dropout=winner.dropout,
    )
    wider = (
        scale(reference, Factors(width=percent / 100, depth=1, resolution=1))
        for percent in itertools.count(1)
    )
    return next(network for network in wider if cost(network).macs >= cost(winner).macs)


@click.command(cls=Command)
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("-o", "out", type=click.Path(path_type=Path), required=True)
def main(spec: Path, out: Path) -> None:
    """Write the spec of the MobileNetV2 that has at least the MACs of SPEC."""
    winner = export.architecture(export.read(spec))
    content = export.spec(mobilenet_like(winner), "mobilenet-v2-of-no-fewer-macs")
    export.write(out, content)
    click.echo(f"{export.headline(content)}; {spec} has {cost(winner).macs:,} MACs")


if __name__ == "__main__":
    main()
