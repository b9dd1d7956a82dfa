"""How well cheaper proxy tasks rank networks as a longer one does, and what they cost.

    python -m benchmarks.proxy_fidelity CONFIG [--set TABLE.KEY=VALUE …] [--networks 24] [--seeds 2]
        [--budget 'proxy.recipe.epochs=1 proxy.train_fraction=0.5' …] [--out FOLDER]

The same random genotypes are trained under each budget, a CONFIG with overrides: epochs, part of
the data (`proxy.train_fraction`), pixels (`proxy.resolution_fraction`), channels (`space.width`).
The budget that took longest is the measure: Spearman's and Kendall's rank correlation with it, and
how many of its best quarter are in a budget's best quarter, in the mean over all pairs of different
seeds: with the same seed two trainings begin with the same weights, and agree better than a
search's trials can. Times are CPU seconds of a child. Figures go to FOLDER/fidelity.json as they
come, and a run goes on where one before it ended; begin a new folder when the code is another. A
child that diverges counts as accuracy 0, as in a search.
"""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from tabulate import tabulate

from mnas.cli.group import Command
from mnas.config import Config, files
from mnas.engine.loop import job_seed
from runners import Job
from runners.base import attempt
from runners.files import replacing
from search_space.cost import cost
from search_space.errors import InputError

# The longest; the shipped one, with fewer images, and fewer still but whole ones: of README's
# table.
_WHOLE = "proxy.resolution_fraction=1.0 proxy.recipe.lr=0.1 "
BUDGETS = (
    _WHOLE + "proxy.train_fraction=1.0 proxy.recipe.epochs=2 "
    "proxy.recipe.warmup_epochs=0.5 proxy.recipe.batch_size=64 "
    "proxy.recipe.pad=4 proxy.recipe.weight_decay=5e-4",
    "",
    "proxy.train_fraction=0.8",
    "proxy.train_fraction=0.4",
    _WHOLE + "proxy.train_fraction=0.2 proxy.recipe.batch_size=32 proxy.recipe.pad=2",
)

Known = dict[str, dict[str, Any]]  # by seed and by the network's number


def _train(
    planned: Config, networks: int, seeds: int, known: Known, keep: Callable[[], None]
) -> None:
    """Train what is not known yet."""
    space = planned.space()
    evaluate = planned.evaluate(space)
    evaluate.prepare()
    rng = np.random.default_rng(0)
    genotypes = [
        space.random(rng) for _ in range(networks)
    ]  # the same in all: no budget changes what a space asks
    for seed, (number, genotype) in itertools.product(range(seeds), enumerate(genotypes)):
        of_seed = known.setdefault(str(seed), {})
        if str(number) in of_seed:
            continue
        architecture = space.decode(genotype)
        began = time.process_time()
        result = attempt(evaluate, Job(number, architecture, job_seed(seed, number)), "")
        if result.failure and result.failure.kind != "diverged":
            raise InputError(f"network {number}: {result.failure.message}")
        of_seed[str(number)] = {
            "genotype": genotype,
            "macs": cost(architecture).macs,
            "accuracy": result.accuracy,
            "seconds": time.process_time() - began,
        }
        keep()


def _column(known: Known, what: str) -> pd.DataFrame:
    """Return one figure: a row a network, a column a seed."""
    return pd.DataFrame(known).map(lambda each: each[what]).astype(float)


def _asked(known: Known, networks: int, seeds: int) -> Known:
    """Return what was asked for of what is known."""
    return {
        str(seed): {str(number): known[str(seed)][str(number)] for number in range(networks)}
        for seed in range(seeds)
    }


def _agreement(ours: pd.DataFrame, longest: pd.DataFrame) -> list[float]:
    """Return Spearman's and Kendall's correlation and the share of the best quarter, of different
    seeds in the mean.
    """
    pairs = [(a, b) for a, b in itertools.product(ours, longest) if a != b] or [
        (a, a) for a in ours
    ]
    best, found = max(1, len(longest) // 4), []
    for a, b in pairs:
        both = len(set(ours[a].nlargest(best).index) & set(longest[b].nlargest(best).index))
        found.append(
            [ours[a].corr(longest[b], "spearman"), ours[a].corr(longest[b], "kendall"), both / best]
        )
    return [float(value) for value in np.mean(found, axis=0)]


def _table(figures: dict[str, Known]) -> str:
    accuracy = {budget: _column(known, "accuracy") for budget, known in figures.items()}
    seconds = {
        budget: _column(known, "seconds").to_numpy().mean() for budget, known in figures.items()
    }
    longest = max(seconds, key=lambda budget: seconds[budget])
    rows = []
    for budget, ours in accuracy.items():
        spearman, kendall, quarter = _agreement(ours, accuracy[longest])
        itself = f"{_agreement(ours, ours)[1]:.2f}" if len(ours.columns) > 1 else ""
        spent, mean = seconds[budget], ours.to_numpy().mean()
        shown = [f"{spent:.1f}", f"{spent / seconds[longest]:.2f}"]
        agreeing = [f"{spearman:.2f}", f"{kendall:.2f}", f"{quarter:.0%}", itself]
        rows.append([budget or "as it is", *shown, *agreeing, f"{mean:.4f}"])
    macs = _column(figures[longest], "macs").add_suffix(" macs")  # of no seed
    spearman, kendall, quarter = _agreement(macs, accuracy[longest])
    rows.append(
        ["MACs alone", "", "", f"{spearman:.2f}", f"{kendall:.2f}", f"{quarter:.0%}", "", ""]
    )
    sample = f"{len(accuracy[longest])} networks, {len(accuracy[longest].columns)} seeds"
    headers = [
        sample,
        "CPU s",
        "of longest",
        "Spearman",
        "Kendall",
        "best quarter",
        "its seeds' Kendall",
        "accuracy",
    ]
    return tabulate(rows, headers, disable_numparse=True)


@click.command(cls=Command)
@click.argument("config_file", metavar="CONFIG")
@click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Of every budget."
)
@click.option("--networks", default=24, type=click.IntRange(1), show_default=True)
@click.option("--seeds", default=2, type=click.IntRange(1), show_default=True)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    default=BUDGETS,
    help="Overrides, apart by spaces; none: CONFIG.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("runs/proxy_fidelity")
)
def main(
    config_file: str,
    overrides: tuple[str],
    networks: int,
    seeds: int,
    budgets: tuple[str],
    out: Path,
) -> None:
    """Train the networks under each budget, and print how well each ranks them."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "fidelity.json"
    figures: dict[str, Known] = (
        json.loads(path.read_text()) if path.exists() else {}
    )  # by configurations' digests
    plans = {
        budget: files.load(files.find(config_file), [*overrides, *budget.split()])
        for budget in budgets
    }

    def keep() -> None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(figures, indent=1) + "\n")

    for planned in plans.values():
        _train(planned, networks, seeds, figures.setdefault(planned.digest, {}), keep)
    click.echo(
        _table(
            {
                budget: _asked(figures[plan.digest], networks, seeds)
                for budget, plan in plans.items()
            }
        )
    )


if __name__ == "__main__":
    main()
