"""How well cheaper proxy tasks rank networks as a longer one does, and what they cost.

    python -m benchmarks.proxy_fidelity CONFIG [--set TABLE.KEY=VALUE …] [--networks 24]
        [--budget 'proxy.recipe.epochs=1 proxy.train_fraction=0.5' …] [--out FOLDER]

The same random genotypes are trained under each budget, a CONFIG with overrides: epochs, part of the data
(`proxy.train_fraction`), pixels (`proxy.resolution_fraction`), channels (`space.width`). The budget that took longest is the
measure: Spearman's and Kendall's rank correlation with it, and how many of its best quarter are in a budget's best
quarter. Times are CPU seconds of a child. Figures go to FOLDER/fidelity.json as they come, and a run goes on where one
before it ended.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from tabulate import tabulate

from mnas import config
from mnas.search import job_seed
from runners import Job
from runners.files import replacing
from search_space.cost import cost

# The longest, the shipped one, and others at about its price: of README's table, for cifar10-cpu.
BUDGETS = (
    "proxy.recipe.epochs=3 proxy.train_fraction=0.5 proxy.recipe.warmup_epochs=0.5 proxy.recipe.batch_size=64",
    "",
    "proxy.recipe.batch_size=64",
    "proxy.recipe.epochs=2 proxy.train_fraction=0.1 proxy.recipe.batch_size=64",
    "proxy.train_fraction=0.1",
)


def _train(path: Path, overrides: list[str], networks: int, known: dict[str, Any], keep: Callable[[], None]) -> None:
    """Train what is not known yet."""
    planned = config.load(path, overrides)
    space = planned.space()
    evaluate = planned.evaluate(space)
    evaluate.prepare()
    rng = np.random.default_rng(0)
    for number in range(networks):
        genotype = space.random(rng)  # the same in all: no budget changes what a space asks
        if str(number) in known:
            continue
        architecture = space.decode(genotype)
        began = time.process_time()
        result = evaluate(Job(number, architecture, job_seed(planned.settings().seed, number)))
        known[str(number)] = {
            "genotype": genotype,
            "macs": cost(architecture).macs,
            "accuracy": result.accuracy,
            "seconds": time.process_time() - began,
        }
        keep()


def _table(figures: dict[str, dict[str, Any]]) -> str:
    frame = {budget: pd.DataFrame(known).T for budget, known in figures.items() if known}
    accuracy = pd.DataFrame({budget: f.accuracy.astype(float) for budget, f in frame.items()}).dropna()
    seconds = {budget: float(f.seconds.astype(float).mean()) for budget, f in frame.items()}
    longest = max(seconds, key=lambda budget: seconds[budget])
    accuracy["MACs alone"] = frame[longest].macs.astype(float)
    best = max(1, len(accuracy) // 4)
    top = set(accuracy[longest].nlargest(best).index)
    rows = []
    for budget in accuracy.columns:
        spent = seconds.get(budget, 0.0)
        rows.append(
            [
                budget or "as it is",
                f"{spent:.1f}",
                f"{spent / seconds[longest]:.2f}",
                f"{accuracy[budget].corr(accuracy[longest], 'spearman'):.2f}",
                f"{accuracy[budget].corr(accuracy[longest], 'kendall'):.2f}",
                f"{len(top & set(accuracy[budget].nlargest(best).index))} of {best}",
                "" if budget not in seconds else f"{accuracy[budget].mean():.4f}",
            ]
        )
    headers = [
        f"{len(accuracy)} networks",
        "CPU s",
        "of longest",
        "Spearman",
        "Kendall",
        "best quarter",
        "mean accuracy",
    ]
    return tabulate(rows, headers, disable_numparse=True)


@click.command()
@click.argument("config_file", metavar="CONFIG")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Of every budget.")
@click.option("--networks", default=24, show_default=True)
@click.option("--budget", "budgets", multiple=True, default=BUDGETS, help="Overrides, apart by spaces; none: CONFIG.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("runs/proxy_fidelity"))
def main(config_file: str, overrides: tuple[str], networks: int, budgets: tuple[str], out: Path) -> None:
    """Train the networks under each budget, and print how well each ranks them."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "fidelity.json"
    figures: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def keep() -> None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(figures, indent=1) + "\n")

    for budget in budgets:
        known = figures.setdefault(budget, {})
        _train(config.find(config_file), [*overrides, *budget.split()], networks, known, keep)
    click.echo(_table({budget: figures[budget] for budget in budgets}))


if __name__ == "__main__":
    main()
