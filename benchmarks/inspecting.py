"""How long a journal takes to be looked at, and how much memory, as it grows.

    python -m benchmarks.inspecting [--trials 1000 --trials 10000 --trials 100000] [--rounds 3]

Journals of random search whose accuracies are drawn, not trained; `mnas inspect` and `mnas report`
as whole processes: the least of their times, start of Python included, and their peak memory.
Beside it an empty `mnas --version`, which says how fast the machine is just then. (Its name is not
`inspect`, which is Python's.)
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from tabulate import tabulate

from mnas.cli.group import Command
from mnas.config import Config
from mnas.journal.directory import NAME
from mnas.journal.records import Ask, Header, Outcome, to_line
from search_space.pricing import Pricing

ROOT = Path(__file__).parent.parent
_PROGRAM = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "mnas", *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def _journal(run: Path, trials: int) -> None:
    """Write what a random search of EfficientNet's space leaves, without its two flushes to disk a
    trial.
    """
    tables = {
        "search": {"trials": trials},
        "space": {"name": "mnasnet"},
        "controller": {"name": "random"},
    }
    config = Config({**tables, "reward": {"target": 400_000_000}})
    space, reward, rng = config.space(), config.reward(), np.random.default_rng(0)
    genotypes = [space.random(rng) for _ in range(trials)]
    costs = Pricing(space)(genotypes)
    run.mkdir(parents=True)
    with (run / NAME).open("wb") as file:
        file.write(
            to_line(
                Header(config=config.tables, config_digest=config.digest, space=space.to_json())
            )
        )
        for trial, (genotype, cost) in enumerate(zip(genotypes, costs.tolist(), strict=True)):
            # Names of networks as long as digests are; hashing each would take most of the time.
            ask = Ask(
                trial=trial, genotype=genotype, digest=f"{trial:016x}", macs=cost[0], params=cost[1]
            )
            accuracy = float(0.7 - 0.1 * rng.random())
            told = accuracy * (cost[0] / reward.target) ** -0.07
            file.write(to_line(ask))
            outcome = Outcome(
                trial=trial,
                accuracy=accuracy,
                reward=told,
                curve=(accuracy,),
                seconds=1.0,
                worker="0",
            )
            file.write(to_line(outcome))


def _measure(arguments: list[str], rounds: int) -> tuple[float, float, float]:
    """Return the least wall seconds and CPU seconds, and the peak memory in MB."""
    walls, cpus, peak = [], [], 0.0
    for _ in range(rounds):
        begun = time.perf_counter()
        command = [sys.executable, "-c", _PROGRAM, *arguments]
        cpu, memory = subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
        walls.append(time.perf_counter() - begun)
        cpus.append(float(cpu))
        peak = max(peak, int(memory) / 1024)
    return min(walls), min(cpus), peak


@click.command(cls=Command)
@click.option(
    "--trials", multiple=True, type=int, default=(1000, 10_000, 100_000), show_default=True
)
@click.option("--rounds", default=3, show_default=True, help="Processes of each kind.")
def main(trials: tuple[int, ...], rounds: int) -> None:
    """Measure."""
    wall, cpu, peak = _measure(["--version"], rounds)
    rows = [["mnas --version", "", "", f"{wall:.2f}", f"{cpu:.2f}", f"{peak:.0f}", ""]]
    with tempfile.TemporaryDirectory() as folder:
        for count in trials:
            run, page = Path(folder) / str(count), Path(folder) / "report.html"
            _journal(run, count)
            megabytes = f"{(run / NAME).stat().st_size / 1e6:.1f}"
            for verb, arguments in {
                "inspect": [str(run)],
                "report": [str(run), "-o", str(page)],
            }.items():
                wall, cpu, peak = _measure([verb, *arguments], rounds)
                written = f"{page.stat().st_size / 1e6:.2f}" if verb == "report" else ""
                cells = [f"{wall:.2f}", f"{cpu:.2f}", f"{peak:.0f}", written]
                rows.append([f"mnas {verb}", f"{count:,}", megabytes, *cells])
    headers = ["process", "trials", "journal MB", "wall s", "CPU s", "peak MB", "page MB"]
    print(tabulate(rows, headers, disable_numparse=True))


if __name__ == "__main__":
    main()
