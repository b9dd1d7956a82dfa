"""Looked-up accuracies: equal to the tables they come from, noisy by the trial's seed, and a whole
search's length.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mnas.config import Config, find, load
from mnas.engine.loop import search
from runners import Job
from runners.surrogate import Surrogate, Table, Trees
from search_space import InputError
from search_space.cost import cost
from search_space.public_benchmarks import accel_nasbench, nas_bench_macro


def stump(path: Path) -> Path:
    """Two trees: the first looks at stage 1's expansion, the second at whether stage 7 has SE."""
    feat = np.zeros((2, 7), np.uint8)
    feat[1] = 27
    thr = np.full((2, 7), 4.0, np.float32)
    thr[1] = 1
    leaf = np.array([[1.0] * 4 + [2.0] * 4, [10.0] * 4 + [30.0] * 4], np.float32)
    np.savez(path, feat=feat, thr=thr, leaf=leaf, base=np.float64(40.0))
    return path


def table(path: Path) -> Path:
    """Some of NAS-Bench-Macro's networks, with numbers of our own."""
    entries = {
        "".join(map(str, g)): {"test_acc": [50 + sum(g), 52 + sum(g)]}
        for g in nas_bench_macro().genotypes()
    }
    path.write_text(json.dumps(entries))
    return path


def test_trees_sum_the_leaves_that_the_stages_fields_lead_to(tmp_path: Path) -> None:
    surrogate = Trees(path=str(stump(tmp_path / "trees.npz")), noisy=False)
    smallest = [0] * 28
    assert surrogate.mean(tuple(smallest)) == pytest.approx(0.51)
    assert surrogate.mean((1, *smallest[1:])) == pytest.approx(0.52)  # expansion 4
    assert surrogate.mean((*smallest[:-1], 1)) == pytest.approx(0.71)  # SE in stage 7


def test_a_table_answers_with_the_mean_or_with_one_training(tmp_path: Path) -> None:
    path = str(table(tmp_path / "table.json"))
    network = nas_bench_macro().decode((1,) * 8)
    assert Table(path=path, noisy=False)(Job(0, network, seed=0)).accuracy == pytest.approx(0.59)
    drawn = {Table(path=path)(Job(0, network, seed=seed)).accuracy for seed in range(20)}
    assert drawn == {0.58, 0.6}


def test_a_table_in_csv_names_the_decisions_and_their_choices(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    names = [decision.name for decision in nas_bench_macro().decisions]
    path.write_text(
        ",".join([*names, "accuracy_1", "accuracy_2"]) + "\n" + "mbconv6_k5," * 8 + "0.5,0.7\n"
    )
    assert Table(path=str(path), noisy=False).mean((2,) * 8) == pytest.approx(0.6)


@pytest.mark.parametrize("kind", ["table", "trees"])
def test_the_seed_fixes_the_noise(kind: str, tmp_path: Path) -> None:
    made: Surrogate = (
        Table(path=str(table(tmp_path / "t.json")))
        if kind == "table"
        else Trees(path=str(stump(tmp_path / "t.npz")))
    )
    network = made.space.decode((1,) * len(made.space.decisions))
    first, again = (
        [made(Job(0, network, seed=seed)).accuracy for seed in range(8)] for _ in range(2)
    )
    assert first == again
    assert len(set(first)) > 1


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "takes the arrays feat"), (b"{}", "takes the arrays feat"), (None, "No such file")],
)
def test_a_file_that_is_none_is_one_line(content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "trees.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        Trees(path=str(path)).prepare()


def test_a_pickle_in_a_surrogate_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "trees.npz"
    np.savez(path, feat=np.array([{}], object), thr=0, leaf=0, base=0, allow_pickle=True)
    with pytest.raises(InputError, match="no such surrogate"):
        Trees(path=str(path)).prepare()


def test_a_space_that_was_not_measured_is_refused(tmp_path: Path) -> None:
    surrogate = Trees(path=str(stump(tmp_path / "trees.npz")))
    with pytest.raises(InputError, match=r"space\.name"):
        surrogate.check(nas_bench_macro().template)


@pytest.mark.parametrize("controller", ["random", "evolution", "ppo", "bayesian"])
def test_a_whole_search_on_a_table_ends_in_seconds(controller: str, tmp_path: Path) -> None:
    config = Config(
        {
            "search": {"trials": 60, "window": 8},
            "space": {"name": "nas-bench-macro"},
            "controller": {"name": controller},
            "reward": {"target": 55e6},
            "proxy": {"name": "table", "path": str(table(tmp_path / "table.json"))},
            "runner": {"workers": 0},
        }
    )
    log = search(config, tmp_path / "run")
    assert len(log.outcomes) == 60
    assert len({ask.digest for ask in log.asks.values()}) == 60  # duplicates waste no trial


def test_macros_costs_are_the_tables_to_the_unit(shared: Path) -> None:
    space = nas_bench_macro()
    entries = json.loads(
        (shared / "bench/nas_bench_macro/nas-bench-macro_cifar10.json").read_text()
    )
    for digits, entry in entries.items():
        found = cost(space.decode(tuple(map(int, digits))))
        assert (found.macs, found.params) == (entry["flops"], entry["params"])


def test_the_trees_are_near_the_accuracies_they_were_fitted_to(shared: Path) -> None:
    """RMSE 0.32 points over the first 500 rows, which its authors fitted it to; params are the
    table's.
    """
    folder = shared / "bench/accel_nasbench"
    space, surrogate = accel_nasbench(), Trees(path=str(folder / "surrogate.npz"), noisy=False)
    letters = {"op": "e", "kernel": "k", "repeats": "l", "se_ratio": "se"}
    values = {"sepconv": "1", "mbconv4": "4", "mbconv6": "6", "0.0": "0", "0.25": "1"}
    errors = []
    with (folder / "anb_imagenet_proxy.csv").open() as file:
        for row, _ in zip(csv.DictReader(file), range(500), strict=False):
            genotype = tuple(
                [values.get(str(c), str(c)) for c in d.choices].index(
                    row[f"block{d.stage - 1}_{letters[d.field]}"]
                )
                for d in space.decisions
            )
            assert cost(space.decode(genotype)).params == pytest.approx(
                float(row["params_m"]) * 1e6, abs=6
            )
            errors.append(surrogate.mean(genotype) * 100 - float(row["val_top1"]))
    assert np.sqrt(np.mean(np.square(errors))) < 0.4


def test_a_missing_file_begins_no_run(tmp_path: Path) -> None:
    config = load(find("anb"), [f"proxy.path={tmp_path / 'none.npz'}"])
    with pytest.raises(InputError, match="No such file"):
        search(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
