"""The benchmarks run, and what they go on from is read as it was written."""

import importlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import proxy_fidelity
from tests.conftest import ROOT

NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_says_how_it_is_used(name: str) -> None:
    asked = CliRunner().invoke(importlib.import_module(f"benchmarks.{name}").main, ["--help"])
    assert asked.exit_code == 0, asked.output


def test_proxy_fidelity_compares_budgets_and_goes_on_where_a_run_ended(tmp_path: Path) -> None:
    few, more = "proxy.train_fraction=0.02", "proxy.train_fraction=0.1"
    arguments = ["quickstart", "--seeds", "2", "--budget", few, "--budget", more, "--out", str(tmp_path)]
    arguments += ["--set", "proxy.recipe.epochs=1", "--set", "proxy.recipe.warmup_epochs=0"]
    for networks in ("2", "3"):
        done = CliRunner().invoke(proxy_fidelity.main, [*arguments, "--networks", networks])
        assert done.exit_code == 0, done.output
        assert f"{networks} networks, 2 seeds" in done.output
    rows = [line for line in done.output.splitlines() if line.startswith(("proxy", "MACs"))]
    assert [row.split()[0] for row in rows] == [few, more, "MACs"]
    figures = json.loads((tmp_path / "fidelity.json").read_text())
    assert [sorted(of_seed) for of_budget in figures.values() for of_seed in of_budget.values()] == [
        ["0", "1", "2"]
    ] * 4
