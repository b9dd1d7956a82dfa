"""How a child's time grows with the images that it sees and with its multiply-adds.

    python -m benchmarks.growth cifar10-cpu --set proxy.path=../shared/data/cifar10 [--networks 8]

Random networks of CONFIG's space train on an eighth, a half and all of what CONFIG trains on, in
this process, on one thread. CPU seconds of a whole child, measuring included, are fitted by `fixed
+ images · (a + b · MACs)`, by least squares; R² is the share of their variance that this explains.
MACs are of the pixels that children see.
"""

import time

import click
import numpy as np
from tabulate import tabulate

from mnas.cli.group import Command
from mnas.config import files
from mnas.engine.loop import job_seed
from runners import Job
from runners.training.proxy import ProxyTask
from search_space.cost import cost

PARTS = (0.125, 0.5, 1.0)


@click.command(cls=Command)
@click.argument("config_file", metavar="CONFIG")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE")
@click.option("--networks", default=8, type=click.IntRange(1), show_default=True)
def main(config_file: str, overrides: tuple[str], networks: int) -> None:
    """Train the networks on parts of the images, and print what a child's seconds are made of."""
    path = files.find(config_file)
    whole = files.load(path, [*overrides, "proxy.threads=1"])
    space, rng = whole.space(), np.random.default_rng(0)
    children = [space.decode(space.random(rng)) for _ in range(networks)]
    fraction = whole.tables["proxy"].get("train_fraction", 1.0)
    terms, seconds, rows = [], [], []
    for part in PARTS:
        task = files.override(whole, [f"proxy.train_fraction={part * fraction}"]).evaluate(space)
        assert isinstance(task, ProxyTask)
        task.prepare()
        images = len(task.images[0]) * task.recipe.epochs
        task(Job(0, children[0], 0))  # what is done once a process
        spent = []
        for number, child in enumerate(children):
            began = time.process_time()
            task(Job(number, child, job_seed(0, number)))
            spent.append(time.process_time() - began)
            terms.append([1.0, images, images * cost(task.child(child)).macs])
        seconds += spent
        rows.append(
            [f"{images:,}", f"{np.mean(spent):.1f}", f"{min(spent):.1f} to {max(spent):.1f}"]
        )
    click.echo(tabulate(rows, ["images seen", "CPU s a child", "range"], disable_numparse=True))
    factors = np.linalg.lstsq(np.array(terms), np.array(seconds), rcond=None)[0]
    explained = 1 - np.var(np.array(seconds) - np.array(terms) @ factors) / np.var(seconds)
    click.echo(
        f"CPU s = {factors[0]:.2f} + images · ({factors[1] * 1e6:.0f} "
        f"µs + {factors[2] * 1e12:.0f} µs a million MACs)"
        f", R² {explained:.3f}"
    )


if __name__ == "__main__":
    main()
