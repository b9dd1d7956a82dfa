"""How much reward each controller still misses after so many trained networks.

    python -m benchmarks.search_efficiency --data ../shared/bench [--seeds 20] [--task anb-noisy …]
    [--out FOLDER]

On the two public benchmarks that `runners/surrogate.py` reads: the reward of a search,
ACC·(MACs/T)^−0.07, or accuracy alone (`-acc`); told as the mean of a network's trainings, or as one
of them (`-noisy`). Regret is the reward of the best network, with the mean of its trainings, less
that of the network a search ends with, in 0.01: of mnas' controllers the one that `mnas export`
recommends, of others (pip install optuna pyglove) the one with the best reward told, since they
recommend nothing; `--best-told` shows that of all. Windows are trials open at once. Figures go to
FOLDER/regret.json as they come, and a run goes on where one before it ended; regret.png shows them.
"""

import itertools
import json
import math
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from tabulate import tabulate

from controllers import Problem
from mnas.analysis.recommend import believed
from mnas.cli.group import Command
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
    "bayesian": {"name": "bayesian"},
}
PEERS: dict[str, dict[str, Any]] = {
    "optuna TPE": {"name": "optuna"},
    "optuna NSGA-II": {"name": "optuna", "sampler": "NSGAIISampler"},
    "optuna GP": {"name": "optuna", "sampler": "GPSampler"},
    "pyglove evolution": {"name": "benchmarks.search_efficiency:Pyglove"},
}
QUICK_PEERS = tuple(name for name in PEERS if name != "optuna GP")  # which takes seconds a trial
# What each of PPO's parts is worth: without it, all others in place.
PARTS: dict[str, dict[str, Any]] = {
    "ppo, no critic": {"name": "ppo", "critic": False},
    "ppo, duplicates asked": {"name": "ppo", "fresh": False},
    "ppo, lstm": {"name": "ppo", "policy": "lstm", "lr": 0.01},
    "ppo, no replay": {"name": "ppo", "replay": 0},
    "ppo, rewards as they are": {"name": "ppo", "standardise": False},
    "ppo, uniform start": {"name": "ppo", "centre": False},
    "ppo, the papers' batch, rate, entropy": {
        "name": "ppo",
        "batch": 20,
        "lr": 3.5e-4,
        "entropy": 1e-5,
    },
}
ALL = {**CONTROLLERS, **PEERS, **PARTS}
PATH = 10  # each so many trials the best network told is noted
FLOOR = 1e-3
# Benchmark, target in MACs, and the best reward there is: with w = −0.07, and of accuracy alone
# (Accel-NASBench's 10¹¹ networks can't be gone through: hill climbing from many starts found no
# better one).
BENCHES = {
    "macro": ("nas-bench-macro", 55e6, {-0.07: 0.9393213, 0.0: 0.9312667}),
    "anb": ("accel-nasbench", 300e6, {-0.07: 0.6666634, 0.0: 0.6910039}),
}
TASKS = (
    "anb-noisy",
    "macro-noisy",
    "anb",
    "macro",
    "anb-acc-noisy",
    "macro-acc-noisy",
    "anb-acc",
    "macro-acc",
)


class Pyglove:
    """Pyglove's regularized evolution (population 100, sample 25), as a controller."""

    def __init__(self, problem: Problem, seed: int) -> None:
        import pyglove

        space = pyglove.Dict(
            {
                f"d{place}": pyglove.oneof(range(size))
                for place, size in enumerate(problem.space.sizes)
            }
        )
        self._algorithm = pyglove.evolution.regularized_evolution(
            population_size=100, tournament_size=25, seed=seed
        )
        self._algorithm.setup(pyglove.dna_spec(space))
        self._open: dict[int, Any] = {}

    def ask(self, trial: int) -> Genotype:
        """Propose."""
        self._open[trial] = self._algorithm.propose()
        return tuple(self._open[trial].to_numbers())

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Feed back."""
        self._algorithm.feedback(self._open.pop(trial), reward)


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


def regrets(
    task: str, controller: dict[str, Any], window: int, seed: int, budget: int, data: Path
) -> dict[str, Any]:
    """Run one search; return its regrets at each budget, in 0.01, and the controller's milliseconds
    a trial.
    """
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
    table, problem, searcher = (
        surrogate(bench, data),
        config.problem(config.space()),
        config.controller(config.space()),
    )
    asked: list[Genotype] = []
    told: list[tuple[float, float]] = []  # rewards: as told, and true
    recommended: dict[str, float] = {}
    best_told: dict[str, float] = {}
    path: list[float] = []  # regret of the best told, each PATH trials
    seconds = 0.0
    best = (-math.inf, -math.inf)  # rewards of the best told: as told, and true
    for trial in range(budget + window):
        began = time.process_time()
        if trial >= window:
            place = trial - window
            if place >= len(asked):
                break
            genotype = asked[place]
            slope = float(problem.weigh([genotype]).slope[0])
            true = table.mean(genotype)
            accuracy = (
                table.draw(genotype, np.random.default_rng((seed, place, 99))) if noisy else true
            )
            told.append((slope * accuracy, slope * true))
            best = max(best, told[-1])
            if len(told) % PATH == 0:
                path.append(round(100 * (optima[w] - best[1]), 4))
            began = time.process_time()
            searcher.tell(place, genotype, slope * accuracy)
        if trial < budget and (proposed := searcher.ask(trial)) is not None:
            asked.append(proposed)
        seconds += time.process_time() - began
        if len(told) in BUDGETS and str(len(told)) not in best_told:
            places, *_ = believed(
                problem,
                asked[: len(told)],
                np.array([reward for reward, _ in told]),
                asked.__getitem__,
            )
            reward = told[places[0]][1]
            recommended[str(len(told))] = 100 * (optima[w] - reward)
            best_told[str(len(told))] = 100 * (optima[w] - best[1])
    return {
        "recommended": recommended,
        "best told": best_told,
        "path": path,
        "ms": 1000 * seconds / budget,
    }


def _runs(figures: dict[str, Any], task: str, window: int, name: str) -> list[dict[str, Any]]:
    return [
        run for key, run in figures.items() if key.rsplit("|", 1)[0] == f"{task}|{window}|{name}"
    ]


def _table(figures: dict[str, Any], task: str, window: int, told: bool) -> str:
    rows = []
    for name in ALL:
        kind = "best told" if told or name in PEERS else "recommended"
        if not (runs := _runs(figures, task, window, name)):
            continue
        cells = []
        for budget in map(str, BUDGETS):
            values = np.array([run[kind][budget] for run in runs if budget in run[kind]])
            error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
            seeds = "" if len(values) == len(runs) else f" [{len(values)}]"
            cells.append(f"{values.mean():.3f} ± {error:.3f}{seeds}" if len(values) else "")
        rows.append([name, kind, len(runs), *cells, f"{np.mean([run['ms'] for run in runs]):.1f}"])
    headers = [f"{task}, window {window}", "network", "seeds", *BUDGETS, "ms a trial"]
    return tabulate(rows, headers, disable_numparse=True)


def _plot(figures: dict[str, Any], path: Path, asked: Sequence[tuple[str, int]]) -> None:
    from matplotlib.figure import Figure

    shown = [
        (task, window)
        for task, window in asked
        if any(_runs(figures, task, window, name) for name in ALL)
    ]
    if not shown:
        return
    wide = min(2, len(shown))
    figure = Figure(figsize=(5.5 * wide, 4.2 * math.ceil(len(shown) / wide)), layout="constrained")
    plots = np.atleast_1d(figure.subplots(math.ceil(len(shown) / wide), wide)).ravel()
    for axes, (task, window) in zip(plots, shown, strict=False):
        for number, name in enumerate([*CONTROLLERS, *PEERS]):
            runs = [
                run["best told" if name in PEERS else "recommended"]
                for run in _runs(figures, task, window, name)
            ]
            budgets = [b for b in BUDGETS if runs and any(str(b) in run for run in runs)]
            values = [np.array([run[str(b)] for run in runs if str(b) in run]) for b in budgets]
            means = np.array([max(FLOOR, v.mean()) for v in values])
            errors = [v.std(ddof=1) / len(v) ** 0.5 if len(v) > 1 else 0.0 for v in values]
            if budgets:
                style = {"marker": "o", "ls": "--" if name in PEERS else "-", "color": f"C{number}"}
                axes.errorbar(budgets, means, errors, label=name, capsize=2, **style)
        axes.set(
            xscale="log", title=f"{task}, window {window}", xticks=BUDGETS, xticklabels=BUDGETS
        )
        axes.set(
            xlabel="trained networks",
            ylabel=f"regret (0.01 of reward; {FLOOR} and less at the bottom)",
        )
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(bottom=max(0.8 * FLOOR, axes.get_ylim()[0]))
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def _evaluations(figures: dict[str, Any]) -> str:
    """Say after how many trials the best told misses no more, in the mean, than ppo-mnasnet ends
    with at 3,000.
    """
    rows = []
    for task, window in itertools.product(TASKS, (1, 64)):
        reference = [run["recommended"] for run in _runs(figures, task, window, "ppo-mnasnet")]
        if not reference or not all("3000" in run for run in reference):
            continue
        level = float(np.mean([run["3000"] for run in reference]))
        for name in ALL:
            runs = [run["path"] for run in _runs(figures, task, window, name)]
            shortest = min(map(len, runs), default=0)
            if not shortest:
                continue
            mean = np.mean([run[:shortest] for run in runs], axis=0)
            below = np.flatnonzero(mean <= level)
            rows.append(
                [
                    f"{task}, window {window}",
                    name,
                    f"{level:.3f}",
                    PATH * (int(below[0]) + 1) if len(below) else "",
                ]
            )
    return tabulate(
        rows,
        ["evaluations to ppo-mnasnet's regret at 3,000", "", "regret", "trials"],
        disable_numparse=True,
    )


@click.command(cls=Command)
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs/search_efficiency"),
)
@click.option("--seeds", default=20, type=click.IntRange(1), show_default=True)
@click.option(
    "--budget", type=click.Choice(list(map(str, BUDGETS))), default="1000", show_default=True
)
@click.option("--task", "tasks", type=click.Choice(TASKS), multiple=True, default=TASKS)
@click.option("--window", "windows", type=int, multiple=True, default=(1, 64))
@click.option(
    "--controller",
    "names",
    type=click.Choice(list(ALL)),
    multiple=True,
    default=[*CONTROLLERS, *QUICK_PEERS],
)
@click.option(
    "--best-told", is_flag=True, help="Show the regret of the network with the best reward told."
)
def main(
    data: Path,
    out: Path,
    seeds: int,
    budget: str,
    tasks: tuple[str],
    windows: tuple[int],
    names: tuple[str],
    best_told: bool,
) -> None:
    """Run what is not in the figures yet, and print them."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "regret.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for task, window, name, seed in itertools.product(tasks, windows, names, range(seeds)):
        key = f"{task}|{window}|{name}|{seed}"
        if budget not in figures.get(key, {"best told": ()})["best told"]:
            figures[key] = regrets(task, ALL[name], window, seed, int(budget), data)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(figures, indent=1) + "\n")
    for task, window in itertools.product(tasks, windows):
        click.echo(_table(figures, task, window, best_told) + "\n")
    click.echo(_evaluations(figures))
    _plot(figures, out / "regret.png", list(itertools.product(tasks, windows)))


if __name__ == "__main__":
    main()
