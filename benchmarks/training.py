"""How fast a child trains on one core: our loop beside the plain one and a timm-like one, and what
each step gave.

    python -m benchmarks.training [--rounds 3] [--child b0-half …] [--data ../shared/data/cifar10]

Each loop trains the same network on the same images with the same recipe (SGD, batch 64; 16 at 224
pixels), one thread a process, in processes of its own that take turns; images per CPU second, the
median of the rounds and their range. `plain` is what most people write: PIL transforms an image,
contiguous float32, `.item()` in every step. `timm-like` collates bytes, normalises a batch at once
and is channels-last. Each row from `plain` to `mnas` keeps what is above it. `plain, 2 threads` is
the loop as torch's default would run it here, by the clock. Peak is a 1024² matrix product in
float32 in the same process, of both cores where both are used; its share counts 6 floating-point
operations a multiply-add of a trained image. The last row is the limit of our way: its operations
on numbers, with nothing between them.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

import click
import numpy as np
import torch
from tabulate import tabulate
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.plain import PerImage, optimizer_of, plainly
from mnas.cli.group import Command
from runners.data.datasets import Cifar10
from runners.data.images import Images
from runners.memory import allocator, keep_freed
from runners.training.augment import Normalise, augment, tensor_of
from runners.training.loop import Training
from runners.training.recipe import Recipe
from runners.training.task import made_for_bfloat16
from search_space import Architecture, Stage
from search_space.cost import cost
from search_space.network.build import build
from search_space.zoo import ZOO

ROOT = Path(__file__).parent.parent
DATA = "our data alone"
KEPT = "+ freed memory kept, by jemalloc where ray brings it"
OURS = "+ bfloat16 where the CPU is made for it: mnas"
KERNELS = "what torch computes for mnas, alone"
SECONDS = 6.0  # of CPU that a loop trains a child for, once warm


def _small(stages: str) -> Architecture:
    parsed = tuple(map(Stage.parse, stages.split()))
    return dataclasses.replace(
        ZOO["efficientnet-b0"],
        stages=parsed,
        stem_channels=16,
        head_channels=640,
        stem_stride=1,
        resolution=32,
        classes=10,
    )


CHILDREN = {
    "b0-half": _small(
        "ds_r1_k3_s1_c8_se0.25 ir_r2_k3_s2_e6_c16_se0.25 "
        "ir_r2_k5_s2_e6_c24_se0.25 ir_r3_k3_s2_e6_c40_se0.25 "
        "ir_r3_k5_s1_e6_c56_se0.25 ir_r4_k5_s2_e6_c96_se0.25 ir_r1_k3_s1_e6_c160_se0.25"
    ),
    "3x3": _small(
        "ds_r1_k3_s1_c8 ir_r2_k3_s2_e3_c16 ir_r3_k3_s2_e3_c32 ir_r3_k3_s1_e6_c48 ir_r2_k3_s2_e6_c80"
    ),
    "5x5": _small(
        "ds_r1_k5_s1_c8 ir_r3_k5_s2_e6_c16 ir_r3_k5_s2_e6_c24 ir_r4_k5_s1_e6_c32 ir_r3_k5_s2_e6_c48"
    ),
    "b0 at 224": dataclasses.replace(ZOO["efficientnet-b0"], classes=10),
}


def _loop(
    architecture: Architecture,
    images: Images,
    batch: int,
    *,
    last: bool,
    batched: bool,
    fused: bool,
) -> Iterator[int]:
    """Train a child, a step each time it is asked; yield the images of a step."""
    network = plainly(build(architecture)).train()
    if last:
        network.to(memory_format=torch.channels_last)
    normalise, size = Normalise.of(images), architecture.resolution
    optimizer = optimizer_of(network, Recipe(), fused=fused)
    loader = DataLoader(
        PerImage(images, normalise, size, floats=not batched), batch, shuffle=True, drop_last=True
    )
    running = 0.0
    while True:
        for pixels, labels in loader:
            inputs = pixels
            if batched:
                inputs = (
                    pixels.float()
                    .div_(255)
                    .sub_(normalise.mean[:, None, None])
                    .div_(normalise.std[:, None, None])
                )
            if last:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            loss = functional.cross_entropy(network(inputs), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not fused:
                running += loss.item()
            yield batch


def _ours(
    architecture: Architecture,
    images: Images,
    batch: int,
    *,
    change: Callable[[nn.Module], nn.Module] = lambda network: network,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Iterator[int]:
    """Train a child by the product's own loop, two steps each time it is asked; yield
    their images.
    """
    network = change(build(architecture))
    network.to(memory_format=torch.channels_last)
    recipe = Recipe(batch_size=batch, pad=4, flip=True)
    normalise, size = Normalise.of(images), architecture.resolution
    training = Training(
        network, recipe, normalise=normalise, size=size, seed=0, precision=precision
    )
    order = np.random.default_rng(0).permutation(len(images))
    while True:
        for start in range(0, len(images) - 2 * batch + 1, 2 * batch):
            training.epoch(0, images.take(order[start : start + 2 * batch]))
            yield 2 * batch


def _kept(steps: Iterator[int]) -> Iterator[int]:
    keep_freed()
    return steps


def _data_alone(architecture: Architecture, images: Images, batch: int) -> Iterator[int]:
    """Do what our loop does before the network has its batch, and no more."""
    normalise, generator = Normalise.of(images), torch.Generator().manual_seed(0)
    order = np.random.default_rng(0).permutation(len(images))
    while True:
        for start in range(0, len(images) - batch + 1, batch):
            pixels, _ = images.batch(order[start : start + batch])
            normalise(augment(tensor_of(pixels), 4, True, generator), architecture.resolution)
            yield batch


Make = Callable[[Architecture, Images, int], Iterator[int]]
LOOPS: dict[str, Make] = {
    "plain": lambda a, i, b: _loop(a, i, b, last=False, batched=False, fused=False),
    "+ channels last": lambda a, i, b: _loop(a, i, b, last=True, batched=False, fused=False),
    "+ fused optimizer, no .item()": lambda a, i, b: _loop(
        a, i, b, last=True, batched=False, fused=True
    ),
    "+ data a batch, parameters a vector at a time": lambda a, i, b: _ours(a, i, b, change=plainly),
    "+ depthwise gradients in strips": lambda a, i, b: _ours(
        a, i, b, change=partial(plainly, strips=True)
    ),
    "+ means, squeeze-excite, batch norm, small maps as matrices": _ours,
    KEPT: lambda a, i, b: _kept(_ours(a, i, b)),
    OURS: lambda a, i, b: _kept(
        _ours(a, i, b, precision="bfloat16" if made_for_bfloat16("cpu") else "float32")
    ),
    "timm-like": lambda a, i, b: _loop(a, i, b, last=True, batched=True, fused=False),
    "plain, 2 threads": lambda a, i, b: _loop(a, i, b, last=False, batched=False, fused=False),
    DATA: lambda a, i, b: _kept(_data_alone(a, i, b)),
    KERNELS: lambda a, i, b: LOOPS[OURS](a, i, b),
}


# What makes a tensor, looks one up or looks at one otherwise; all else goes over numbers.
_LOOKING = re.compile(
    "aten::(empty|new_|as_strided|view|_?reshape|_unsafe_view|permute|t$|transpose|select|slice|narrow|expand|unfold"
    "|squeeze|unsqueeze|flatten|detach|alias|resize_|to$|_to_copy|clone|contiguous|zeros|ones|scalar_tensor|item"
    "|_local_scalar|lift_fresh|unbind|resolve_|linear|matmul|conv2d|convolution$|_convolution|batch_norm|_batch_norm"
    "|relu_|pad|constant_pad|cross_entropy|nll_loss|log_softmax|dropout|arange)"
)


def kernel_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that some work spends inside torch's operations on numbers, without
    what lies between.
    """
    os.environ.setdefault(
        "KINETO_LOG_LEVEL", "99"
    )  # the profiler's own: it would say when it starts and stops
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        began, spent = time.perf_counter(), time.process_time()
        work()
        busy = (time.process_time() - spent) / (
            time.perf_counter() - began
        )  # the profiler's seconds are the clock's
    computing = (
        e for e in seen.key_averages() if e.key.startswith("aten::") and not _LOOKING.match(e.key)
    )
    return busy * sum(e.self_cpu_time_total for e in computing) / 1e6


def _peak() -> float:
    """Return the GFLOP a CPU second of a large matrix product."""
    a = torch.randn(1024, 1024)
    torch.mm(a, a)
    began, count = time.process_time(), 0
    while time.process_time() - began < 0.5:
        torch.mm(a, a)
        count += 1
    return count * 2 * 1024**3 / (time.process_time() - began) / 1e9


def _measure(name: str, child: str, data: str) -> dict[str, float]:
    """Train a child in this process; return images a second, and the peak."""
    threads = 2 if name.endswith("2 threads") else 1
    clock = time.perf_counter if threads > 1 else time.process_time
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    images = Cifar10(data).read("train").take(np.arange(2000))
    steps = LOOPS[name](CHILDREN[child], images, 16 if "224" in child else 64)
    next(steps), next(steps)
    if name == KERNELS:
        seconds = kernel_seconds(lambda: [next(steps) for _ in range(10)])
        return {"speed": 10 * next(steps) / seconds, "peak": _peak()}
    began, seen = clock(), 0
    while clock() - began < SECONDS:
        seen += next(steps)
    return {"speed": seen / (clock() - began), "peak": _peak() * threads}


@click.command(cls=Command)
@click.option(
    "--data", default=str(ROOT.parent / "shared" / "data" / "cifar10"), help="Of CIFAR-10."
)
@click.option("--rounds", default=3, type=click.IntRange(1), show_default=True)
@click.option(
    "--child", "children", type=click.Choice(list(CHILDREN)), multiple=True, default=list(CHILDREN)
)
@click.option("--only", nargs=2, hidden=True, help="Measure one loop and child, in this process.")
def main(data: str, rounds: int, children: tuple[str], only: tuple[str, str] | None) -> None:
    """Let the loops take turns, and print what they reached."""
    if only:
        click.echo(json.dumps(_measure(*only, data)))
        return
    for child in children:
        found: dict[str, list[float]] = {name: [] for name in LOOPS}
        peaks: dict[str, list[float]] = {name: [] for name in LOOPS}
        for _ in range(rounds):
            for name in LOOPS:
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.training",
                    "--data",
                    data,
                    "--only",
                    name,
                    child,
                ]
                threads = {"OMP_NUM_THREADS": "2" if name.endswith("2 threads") else "1"}
                variables = threads | (allocator() if name in (KEPT, OURS, DATA, KERNELS) else {})
                done = subprocess.run(
                    command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.PIPE
                )
                if done.returncode:  # it has said why
                    sys.exit(done.returncode)
                measured = json.loads(done.stdout)
                found[name].append(measured["speed"])
                peaks[name].append(measured["peak"])
        plain, timm, macs = (
            median(found["plain"]),
            median(found["timm-like"]),
            cost(CHILDREN[child]).macs,
        )
        rows = [
            [
                name,
                f"{median(speeds):.1f}",
                f"{min(speeds):.1f} to {max(speeds):.1f}",
                f"{median(speeds) / plain:.2f}",
                f"{median(speeds) / timm:.2f}",
                f"{median(speeds) * macs * 6e-9 / median(peaks[name]):.0%}",
            ]
            for name, speeds in found.items()
            if name != DATA
        ]
        headers = [
            f"{child}, {macs / 1e6:.1f}M MACs",
            "images/s",
            "range",
            "/ plain",
            "/ timm-like",
            "of peak",
        ]
        click.echo(tabulate(rows, headers, disable_numparse=True))
        share = median(found[OURS]) / median(found[DATA])
        click.echo(f"Data take {share:.1%} of a step of ours\n")


if __name__ == "__main__":
    main()
