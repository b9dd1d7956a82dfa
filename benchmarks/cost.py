"""What it takes to price an architecture: our arithmetic beside fvcore on the built network.

    python -m benchmarks.cost [--networks 10]

Random networks of each shipped space, the same for both, taken in turns; microseconds of CPU a
network. The arithmetic includes resolving the blocks; `many at once` is what controllers use.
fvcore's time is given without the building of the module, which it needs, and with it.
"""

import logging
import time
import warnings
from statistics import median

import click
import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis
from tabulate import tabulate

from mnas.cli.group import Command
from search_space.cost import cost
from search_space.mnasnet import imagenet, small, tiny
from search_space.network.build import build
from search_space.pricing import Pricing

SPACES = {"mnasnet-tiny": tiny, "mnasnet-small": small, "mnasnet": imagenet}


@click.command(cls=Command)
@click.option("--networks", default=10, show_default=True, help="Of each space.")
def main(networks: int) -> None:
    """Price networks both ways, and print the medians."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # fvcore's tracing warns about itself
    torch.set_num_threads(1)
    rows = []
    for name, make in SPACES.items():
        space, rng = make(), np.random.default_rng(0)
        pricing = Pricing(space)
        pricing([space.random(rng) for _ in range(1000)])  # a search has met most stages by then
        ours, many, traced, built = [], [], [], []
        for _ in range(networks):
            genotypes = [space.random(rng) for _ in range(1000)]
            clock = [time.process_time_ns()]
            # A template made anew, so that no stage is resolved before; a hundred, for the clock is
            # coarse.
            fresh = [make().decode(genotype) for genotype in genotypes[:100]]
            clock.append(time.process_time_ns())
            prices = [cost(architecture) for architecture in fresh]
            clock.append(time.process_time_ns())
            pricing(genotypes)
            clock.append(time.process_time_ns())
            network = build(fresh[0]).eval()
            clock.append(time.process_time_ns())
            image = torch.zeros(1, fresh[0].in_channels, fresh[0].resolution, fresh[0].resolution)
            flops = FlopCountAnalysis(network, image).unsupported_ops_warnings(False).by_operator()
            clock.append(time.process_time_ns())
            assert flops["conv"] + flops["linear"] == prices[0].macs
            spent = np.diff(clock) / 1000
            ours.append(spent[1] / len(fresh))
            many.append(spent[2] / len(genotypes))
            traced.append(spent[4])
            built.append(spent[3] + spent[4])
        medians = [median(each) for each in (ours, many, traced, built)]
        rows.append(
            [
                name,
                *(f"{m:,.1f}" for m in medians),
                *(f"{medians[2] / m:,.0f}" for m in medians[:2]),
            ]
        )
    headers = [
        "µs a network",
        "cost()",
        "many at once",
        "fvcore",
        "and building",
        "fvcore / cost()",
        "fvcore / many",
    ]
    click.echo(tabulate(rows, headers, disable_numparse=True))


if __name__ == "__main__":
    main()
