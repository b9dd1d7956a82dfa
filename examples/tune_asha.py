"""A Tuner of your own: mnas proposes the networks, Tune's ASHA stops the hopeless ones early.

python examples/tune_asha.py        # 12 networks on real digits, two at a time: about two minutes
"""

import sys
from pathlib import Path

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from mnas.config import Config
from mnas.engine.tune import Searcher
from runners.training.proxy import ProxyTask
from runners.training.recipe import Recipe
from search_space import Architecture

EPOCHS = 4


def train(config: dict) -> None:
    """Train one network on real digits, reporting after each epoch."""
    task = ProxyTask(recipe=Recipe(epochs=EPOCHS), data="mnist-5k")
    task.prepare()
    images, validation = task.images
    training = task.begin(Architecture.from_json(config["architecture"]), config["seed"])
    for epoch in range(EPOCHS):
        training.epoch(epoch, images)
        tune.report({"accuracy": training.accuracy(validation)})


def tuner(trials: int) -> tune.Tuner:
    """Return a Tuner with one of mnas' controllers, PPO."""
    search = Config(
        {
            "search": {"trials": trials, "window": 6},
            "space": {"name": "mnasnet-tiny"},
            "controller": {"name": "ppo", "batch": 6},
            "reward": {"target": 3_000_000},
        }
    )
    return tune.Tuner(
        train,
        tune_config=tune.TuneConfig(
            search_alg=Searcher(search),
            scheduler=ASHAScheduler(metric="accuracy", mode="max", max_t=EPOCHS, grace_period=1),
            num_samples=trials,
            max_concurrent_trials=2,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune-asha", storage_path=str(Path("runs").resolve()), verbose=1
        ),
    )


if __name__ == "__main__":
    ray.init(include_dashboard=False)
    results = tuner(trials=int(sys.argv[1]) if len(sys.argv) > 1 else 12).fit()
    best = results.get_best_result("accuracy", "max")
    assert best.metrics
    print(f"{len(results)} trials, {results.num_errors} failed; the best:")
    print(
        f"accuracy {best.metrics['accuracy']:.4f} after {best.metrics['training_iteration']} epochs"
    )
    print(*Architecture.from_json(best.config["architecture"]).block_strings, sep="\n")
