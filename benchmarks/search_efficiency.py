"""How much reward each controller still misses after so many trained networks.

    python -m benchmarks.search_efficiency --data ../shared/bench [--seeds 20] [--task anb-noisy …] [--out FOLDER]

On the two public benchmarks that `runners/surrogate.py` reads: the reward of a search, ACC·(MACs/T)^−0.07, or
accuracy alone (`-acc`); told as the mean of a network's trainings, or as one of them (`-noisy`). Regret is the reward
of the best network, with the mean of its trainings, less that of the network recommended, in 0.01. The networks
recommended are those with the best reward told; with `bayesian`, the best believed. Windows are trials open at once.
Figures go to FOLDER/regret.json as they come, and a run goes on where one before it ended; regret.png shows them.
"""

import itertools
import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from tabulate import tabulate

from controllers.bayesian import Bayesian
from mnas.config import Config
from runners.files import replacing
from runners.surrogate import Surrogate, Table, Trees
from search_space import Genotype

BUDGETS = (100, 300, 1000, 3000)
CONTROLLERS: dict[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "evolution": {"name": "evolution"},
    "local-search": {"name": "local-search"},
    "ppo-mnasnet": {"name": "ppo-mnasnet"},
    "ppo": {"name": "ppo"},
    "optuna-tpe": {"name": "optuna"},
    "optuna-nsga2": {"name": "optuna", "sampler": "NSGAIISampler"},
    "bayesian": {"name": "bayesian"},
}
# What each one of PPO's parts is worth: without it, all others in place.
PARTS: dict[str, dict[str, Any]] = {
    "ppo, duplicates asked": {"name": "ppo", "fresh": False},
    "ppo, lstm": {"name": "ppo", "policy": "lstm", "lr": 0.01},
    "ppo, no replay": {"name": "ppo", "replay": 0},
    "ppo, rewards as they are": {"name": "ppo", "standardise": False},
    "ppo, uniform start": {"name": "ppo", "centre": False},
    "ppo, the papers' batch, rate, entropy": {"name": "ppo", "batch": 20, "lr": 3.5e-4, "entropy": 1e-5},
}
# Benchmark, target in MACs, and the best reward there is: with w = −0.07, and of accuracy alone (Accel-NASBench's
# 10¹¹ networks can't be gone through: hill climbing from many starts found no better one).
BENCHES = {
    "macro": ("nas-bench-macro", 55e6, {-0.07: 0.9393213, 0.0: 0.9312667}),
    "anb": ("accel-nasbench", 300e6, {-0.07: 0.6666634}),
}
TASKS = ("macro", "macro-noisy", "macro-acc", "macro-acc-noisy", "anb", "anb-noisy")


@cache
def surrogate(bench: str, data: Path) -> Surrogate:
    """Return the benchmark, read."""
    made: Surrogate
    if bench == "macro":
        made = Table(path=str(data / "nas_bench_macro" / "nas-bench-macro_cifar10.json"))
    else:
        made = Trees(path=str(data / "accel_nasbench" / "surrogate.npz"))
    made.prepare()
    return made


def regrets(task: str, controller: dict[str, Any], window: int, seed: int, budget: int, data: Path) -> dict[str, Any]:
    """Run one search; return its regret at each budget, in 0.01, and the controller's seconds a trial."""
    bench, _, kind = task.partition("-")
    noisy, w = "noisy" in kind, 0.0 if "acc" in kind else -0.07
    space, target, optima = BENCHES[bench]
    config = Config(
        {
            "search": {"trials": budget, "seed": seed, "reuse": False},
            "space": {"name": space},
            "controller": controller,
            "reward": {"target": target, "alpha": w, "beta": w},
        }
    )
    table, problem, searcher = surrogate(bench, data), config.problem(config.space()), config.controller(config.space())
    asked: list[Genotype] = []
    told: list[tuple[float, float]] = []  # rewards: as told, and true
    found: dict[str, float] = {}
    seconds = 0.0
    for trial in range(budget + window):
        began = time.process_time()
        if trial >= window:
            place = trial - window
            if place >= len(asked):
                break
            genotype = asked[place]
            slope = float(problem.weigh([genotype]).slope[0])
            true = table.mean(genotype)
            accuracy = table.draw(genotype, np.random.default_rng((seed, place, 99))) if noisy else true
            told.append((slope * accuracy, slope * true))
            began = time.process_time()
            searcher.tell(place, genotype, slope * accuracy)
        if trial < budget and (proposed := searcher.ask(trial)) is not None:
            asked.append(proposed)
        seconds += time.process_time() - began
        if len(told) in BUDGETS and str(len(told)) not in found:
            if isinstance(searcher, Bayesian):
                (best,) = searcher.believed(1)
                reward = float(problem.weigh([best]).slope[0]) * table.mean(best)
            else:
                reward = max(told)[1]
            found[str(len(told))] = 100 * (optima[w] - reward)
    return {"regret": found, "ms": 1000 * seconds / budget}


def _table(figures: dict[str, Any], task: str, window: int) -> str:
    rows = []
    for name in [*CONTROLLERS, *PARTS]:
        runs = [run for key, run in figures.items() if key.rsplit("|", 1)[0] == f"{task}|{window}|{name}"]
        if not runs:
            continue
        cells = []
        for budget in map(str, BUDGETS):
            values = np.array([run["regret"][budget] for run in runs if budget in run["regret"]])
            error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
            cells.append(f"{values.mean():.3f} ± {error:.3f}" if len(values) else "")
        rows.append([name, len(runs), *cells, f"{np.mean([run['ms'] for run in runs]):.1f}"])
    return tabulate(rows, [f"{task}, window {window}", "seeds", *BUDGETS, "ms a trial"], disable_numparse=True)


def _plot(figures: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    shown = sorted({tuple(key.split("|")[:2]) for key in figures})
    figure = Figure(figsize=(5 * len(shown), 4), layout="constrained")
    for axes, (task, window) in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        for name in CONTROLLERS:
            runs = [run["regret"] for key, run in figures.items() if key.startswith(f"{task}|{window}|{name}|")]
            budgets = [b for b in BUDGETS if runs and all(str(b) in run for run in runs)]
            means = [max(1e-3, float(np.mean([run[str(b)] for run in runs]))) for b in budgets]
            if budgets:
                axes.plot(budgets, means, marker="o", label=name)
        axes.set(xscale="log", yscale="log", title=f"{task}, window {window}")
        axes.set(xlabel="trained networks", ylabel="regret (0.01 of reward; 0.001 and less at the bottom)")
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("runs/search_efficiency"))
@click.option("--seeds", default=20, show_default=True)
@click.option("--budget", type=click.Choice(list(map(str, BUDGETS))), default="1000", show_default=True)
@click.option("--task", "tasks", type=click.Choice(TASKS), multiple=True, default=TASKS)
@click.option("--window", "windows", type=int, multiple=True, default=(1, 64))
@click.option("--controller", "names", type=click.Choice([*CONTROLLERS, *PARTS]), multiple=True, default=[*CONTROLLERS])
def main(
    data: Path, out: Path, seeds: int, budget: str, tasks: tuple[str], windows: tuple[int], names: tuple[str]
) -> None:
    """Run what is not in the figures yet, and print them."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "regret.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for task, window, name in itertools.product(tasks, windows, names):
        for seed in range(seeds):
            key = f"{task}|{window}|{name}|{seed}"
            if budget not in figures.get(key, {"regret": ()})["regret"]:
                figures[key] = regrets(task, {**CONTROLLERS, **PARTS}[name], window, seed, int(budget), data)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(figures, indent=1) + "\n")
    for task, window in itertools.product(tasks, windows):
        click.echo(_table(figures, task, window) + "\n")
    _plot(figures, out / "regret.png")


if __name__ == "__main__":
    main()
