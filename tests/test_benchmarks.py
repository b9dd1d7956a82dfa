"""The benchmarks run, and what they go on from is read as it was written."""

import importlib
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import children, proxy_fidelity
from tests.conftest import ROOT

NAMES = sorted(
    path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py") if path.stem != "plain"
)  # a part of two


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_says_how_it_is_used(name: str) -> None:
    asked = CliRunner().invoke(importlib.import_module(f"benchmarks.{name}").main, ["--help"])
    assert asked.exit_code == 0, asked.output


def test_proxy_fidelity_compares_budgets_and_goes_on_where_a_run_ended(tmp_path: Path) -> None:
    few, more = "proxy.train_fraction=0.02", "proxy.train_fraction=0.1"
    arguments = [
        "quickstart",
        "--seeds",
        "2",
        "--budget",
        few,
        "--budget",
        more,
        "--out",
        str(tmp_path),
    ]
    arguments += ["--set", "proxy.recipe.epochs=1", "--set", "proxy.recipe.warmup_epochs=0"]

    def table(networks: int) -> str:
        done = CliRunner().invoke(proxy_fidelity.main, [*arguments, "--networks", str(networks)])
        assert done.exit_code == 0, done.output
        return done.output

    two = table(2)
    assert [line.split()[0] for line in two.splitlines()[2:]] == [few, more, "MACs"]
    assert table(3).startswith("3 networks, 2 seeds")
    assert table(2) == two  # CPU seconds, too: nothing was trained again


def test_children_trains_the_same_networks_in_processes_and_by_our_runner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)  # its processes find it from there
    few = (
        "train_fraction=0.2",
        "recipe.batch_size=16",
        "recipe.epochs=1",
        "recipe.warmup_epochs=0",
        "device=cpu",
    )
    settings = [f"--set=proxy.{setting}" for setting in few]
    done = CliRunner().invoke(
        children.main, ["quickstart", *settings, "--networks", "2", "--seeds", "1"]
    )
    assert done.exit_code == 0, done.output
    rows = [re.split(r"\s{2,}", line) for line in done.output.splitlines()[-3:]]
    assert [row[0] for row in rows] == [
        "plain loop, a process a trial",
        "mnas",
        "what torch computes for mnas, alone",
    ]
    assert all(
        0.2 < float(row[5].split()[0]) < 1 for row in rows[:2]
    )  # of ten classes: both ways learn


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "proxy.name=tests.stand_in:Arithmetic",
            "quickstart: proxy.name: the plain loop trains on images",
        ),
        ("proxy.threads=2", "proxy.threads: 2; takes 1"),
        ("proxy.recipe.optimizer=rmsprop", "proxy.recipe.optimizer: 'rmsprop'; takes sgd"),
        ("proxy.recipe.mixup=0.2", "proxy.recipe.mixup: 0.2; takes 0"),
    ],
)
def test_children_refuses_what_the_plain_loop_does_not_do(setting: str, said: str) -> None:
    refused = CliRunner().invoke(children.main, ["quickstart", "--set", setting])
    assert refused.exit_code == 2
    assert said in refused.output
