"""How many children an hour: our warm workers beside the loop most people write, a process a trial.

    python -m benchmarks.children cifar10-cpu --set proxy.path=../shared/data/cifar10 [--networks 6]
    [--seeds 3]

Both train the same random networks with CONFIG's proxy task, two at a time on one thread each, seed
after seed in turns: from the start of Python to the last accuracy, with whatever a trial needs. A
trial of the plain loop imports torch, reads the data, builds the network, counts its FLOPs with
fvcore, and trains on batches of a DataLoader that transforms images one by one, in contiguous
float32, with `.item()` in every step; then it measures, likewise. Ours is what a search's runner
does, its start included. Accuracy is the mean of all networks, its deviation that between seeds.
The last row is the limit of our way: what torch's operations on numbers take in our children, with
nothing between them, no start, no building and no counting.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import mean, stdev
from typing import Any

import click
import numpy as np
from tabulate import tabulate

from mnas.cli.group import Command
from mnas.config import Config, files
from mnas.engine.loop import job_seed
from runners import Job
from runners.training.proxy import ProxyTask
from search_space import Architecture
from search_space.errors import InputError, require

TOGETHER = 2
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _plain(task: ProxyTask, architecture: Architecture, seed: int) -> float:
    """Train and measure a child in this process; return its accuracy."""
    import torch
    from fvcore.nn import FlopCountAnalysis
    from torch.nn import functional
    from torch.utils.data import DataLoader

    from benchmarks.plain import PerImage, optimizer_of, plainly
    from runners.data.images import Images
    from runners.training.augment import Normalise
    from search_space.network.build import build

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    (training, validation), recipe, architecture = (
        task.images,
        task.recipe,
        task.child(architecture),
    )
    size = architecture.resolution
    network = plainly(build(architecture, bn_momentum=recipe.bn_momentum))
    image = torch.zeros(1, architecture.in_channels, size, size)
    FlopCountAnalysis(network.eval(), image).unsupported_ops_warnings(
        False
    ).uncalled_modules_warnings(False).total()
    optimizer = optimizer_of(network, recipe)
    normalise = Normalise.of(training)

    def loader(images: Images, *, train: bool) -> "DataLoader[tuple[torch.Tensor, int]]":
        pad, flip = (recipe.pad, recipe.flip) if train else (0, False)
        seen = PerImage(images, normalise, size, pad=pad, flip=flip, floats=True)
        return DataLoader(seen, recipe.batches(len(images))[0], shuffle=train, drop_last=train)

    right = 0
    for epoch in range(recipe.epochs):
        network.train()
        batches, total = loader(training, train=True), 0.0
        for step, (pixels, labels) in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr_at(epoch + (step + 0.5) / len(batches))
            loss = functional.cross_entropy(
                network(pixels), labels, label_smoothing=recipe.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        network.eval()
        with torch.no_grad():
            right = sum(
                int((network(pixels).argmax(1) == labels).sum())
                for pixels, labels in loader(validation, train=False)
            )
    return right / len(validation)


def _kernel_seconds(task: ProxyTask, architecture: Architecture) -> float:
    """Return the CPU seconds of a child that are spent inside torch's operations on numbers."""
    from benchmarks.training import kernel_seconds

    task.prepare()
    images, validation = task.images
    batch, of_epoch = task.recipe.batches(len(images))
    steps = min(20, of_epoch)
    training = task.begin(task.child(architecture), 0)
    training.epoch(0, images.take(np.arange(batch)))
    stepping = kernel_seconds(lambda: training.epoch(0, images.take(np.arange(steps * batch))))
    measuring = kernel_seconds(lambda: training.accuracy(validation))
    return task.recipe.epochs * (stepping / steps * of_epoch + measuring)


def _networks(planned: Config, count: int) -> list[Architecture]:
    space, rng = planned.space(), np.random.default_rng(0)
    return [space.decode(space.random(rng)) for _ in range(count)]


def _ours(planned: Config, task: ProxyTask, networks: list[Architecture], seed: int) -> list[float]:
    """Train and measure all children by the configuration's runner; return their accuracies."""
    runner = planned.runner(task, None)
    for number, network in enumerate(networks):
        runner.submit(Job(number, network, job_seed(seed, number)))
    results = [runner.next() for _ in networks]
    runner.close()
    for result in results:
        if result.failure:
            raise InputError(f"network {result.trial} failed: {result.failure.message}")
    return [result.accuracy for result in results]


def _said(arguments: list[str]) -> Any:
    """Run this file in a process of its own; return the JSON that it ends with."""
    command = [sys.executable, "-m", "benchmarks.children", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | _ONE_THREAD)
    if done.returncode:  # it has said why
        sys.exit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def _by_processes(arguments: list[str], networks: int, seed: int) -> list[float]:
    with ThreadPoolExecutor(TOGETHER) as pool:
        asked = [[*arguments, "--one", str(number), str(seed)] for number in range(networks)]
        return list(pool.map(_said, asked))


def _spent() -> float:
    """Return the CPU seconds of this process and of those it has ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


@click.command(cls=Command)
@click.argument("config_file", metavar="CONFIG")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE")
@click.option("--networks", default=6, type=click.IntRange(1), show_default=True)
@click.option("--seeds", default=3, type=click.IntRange(1), show_default=True)
@click.option(
    "--one", nargs=2, type=int, hidden=True, help="Train one network from one seed, plainly, here."
)
@click.option(
    "--ours",
    type=int,
    hidden=True,
    help="Train all networks from one seed by our runner, from here.",
)
def main(
    config_file: str,
    overrides: tuple[str],
    networks: int,
    seeds: int,
    one: tuple[int, int] | None,
    ours: int | None,
) -> None:
    """Let the two take turns, and print what they reached."""
    fixed = ["runner.name=local", f"runner.workers={TOGETHER}"]
    planned = files.load(files.find(config_file), [*overrides, *fixed])
    children, task = _networks(planned, networks), planned.evaluate(planned.space())
    if not isinstance(task, ProxyTask):
        raise InputError(
            f"{config_file}: proxy.name: the plain loop trains "
            "on images; takes a configuration that does"
        )
    require(task.threads == 1, "proxy.threads", task.threads, "1, as the plain loop")
    require(
        task.recipe.optimizer == "sgd",
        "proxy.recipe.optimizer",
        task.recipe.optimizer,
        "sgd: all that is done plainly",
    )
    for name in ("cutout", "mixup", "ema"):
        require(
            not getattr(task.recipe, name),
            f"proxy.recipe.{name}",
            getattr(task.recipe, name),
            "0: not done plainly",
        )
    require(task.device == "cpu", "proxy.device", task.device, "cpu, as the plain loop")
    if one:
        click.echo(json.dumps(_plain(task, children[one[0]], job_seed(one[1], one[0]))))
        return
    if ours is not None:
        click.echo(json.dumps(_ours(planned, task, children, ours)))
        return
    arguments = [
        config_file,
        "--networks",
        str(networks),
        *(f"--set={override}" for override in overrides),
    ]
    ways: dict[str, Callable[[int], list[float]]] = {
        "plain loop, a process a trial": lambda seed: _by_processes(arguments, networks, seed),
        "mnas": lambda seed: _said([*arguments, "--ours", str(seed)]),
    }
    figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for seed in range(seeds):
        for name, way in ways.items():
            began, spent = time.monotonic(), _spent()
            accuracy = mean(way(seed))
            seconds = time.monotonic() - began
            figures[name].append(
                (networks / seconds * 3600, networks / (_spent() - spent) * 3600, accuracy)
            )
            click.echo(f"{name}, seed {seed}: {seconds:.0f} s, accuracy {accuracy:.4f}")
    first = [mean(values) for values in zip(*next(iter(figures.values())), strict=True)]
    rows = []
    for name, runs in figures.items():
        hourly, of_cpu, accuracy = (mean(values) for values in zip(*runs, strict=True))
        deviation = stdev(run[2] for run in runs) if seeds > 1 else float("nan")
        ratios = f"{hourly / first[0]:.2f}", f"{of_cpu / first[1]:.2f}"
        rows.append(
            [
                name,
                f"{hourly:.0f}",
                ratios[0],
                f"{of_cpu:.0f}",
                ratios[1],
                f"{accuracy:.4f} ± {deviation:.4f}",
            ]
        )
    least = mean(_kernel_seconds(task, child) for child in children)
    rows.append(
        [
            "what torch computes for mnas, alone",
            "",
            "",
            f"{3600 / least:.0f}",
            f"{3600 / least / first[1]:.2f}",
            "",
        ]
    )
    headers = [
        f"{networks} networks, {seeds} seeds",
        "children/h",
        "ratio",
        "a CPU hour",
        "ratio",
        "accuracy",
    ]
    click.echo(tabulate(rows, headers, disable_numparse=True))


if __name__ == "__main__":
    main()
