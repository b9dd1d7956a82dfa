import json
import time
from pathlib import Path
from typing import Any

import pytest

from mnas.config import Config
from mnas.engine import coefficients
from mnas.engine.loop import resume, search
from mnas.export import coefficients as export_coefficients
from mnas.export import spec as export
from mnas.journal.log import Log
from mnas.journal.reader import read
from mnas.show import coefficients as show_coefficients
from search_space import InputError
from search_space.cost import cost
from search_space.mnasnet import tiny
from search_space.scaling import Coefficients, scale
from search_space.scaling_space import ScalingSpace, scaling
from search_space.zoo import ZOO
from tests.conftest import wait_for
from tests.test_cli import good, mnas
from tests.test_search import mnas as start
from tests.test_search import outcomes, told

B0 = ZOO["efficientnet-b0"]


def planned(**space: Any) -> Config:
    tables = {
        "search": {"seed": 1},
        "space": {"step": 0.1, **space},
        "runner": {"workers": 0},
        "proxy": {"name": "tests.stand_in:Arithmetic"},
    }
    return coefficients.plan(Config(tables), tiny().template)


def test_the_default_grid_has_108_triples() -> None:
    assert scaling(baseline=B0.to_json()).size == 108


def test_every_triple_doubles_the_cost_by_the_papers_constraint() -> None:
    space = scaling(baseline=B0.to_json(), tolerance=0.05)
    assert 0 < space.size < 108
    for triple in space.triples:
        assert min(triple.depth_base, triple.width_base, triple.resolution_base) >= 1
        assert abs(triple.depth_base * triple.width_base**2 * triple.resolution_base**2 - 2) < 0.05


def test_the_papers_own_triple_is_in_the_default_grid() -> None:
    # α·β²·γ² is 1.92.
    assert Coefficients() in scaling(baseline=B0.to_json()).triples


def test_a_genotype_is_the_baseline_scaled_by_its_triple() -> None:
    space = scaling(baseline=B0.to_json(), phi=2)
    index = space.triples.index(Coefficients())
    assert space.decode((index,)) == scale(B0, Coefficients().at(2))
    assert (
        space.decode(space.encode(space.decode((index,)))).digest == space.decode((index,)).digest
    )
    with pytest.raises(InputError, match="no triple scales the baseline"):
        space.encode(ZOO["mnasnet-a1"])


def test_the_space_reads_back_from_its_json() -> None:
    space = scaling(baseline=B0.to_json())
    assert ScalingSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        (
            {"tolerance": 1e-9, "step": 0.3},
            "tolerance: 1e-09; takes one that some triple of the grid keeps",
        ),
        ({"depth": [0.5, 2.0]}, r"depth: \[0.5, 2.0\]; takes two numbers, from 1 to 10"),
        ({"width": [1.5, 1.0]}, r"width: \[1.5, 1.0\]; takes two numbers"),
        ({"resolution": [1.0]}, r"resolution: \[1.0\]; takes two numbers"),
        ({"step": 0.0}, "step: 0.0; takes a number from 0.001 to 1"),
        ({"phi": -1.0}, "phi: -1.0; takes a number from 0 to 20"),
    ],
)
def test_a_grid_without_a_triple_and_other_impossible_ones_are_refused(
    keywords: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=f"space.{says}"):
        planned(**keywords)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return search(planned(), tmp_path_factory.mktemp("scale") / "run")


def test_every_triple_is_a_trial_and_alike_networks_are_trained_once(log: Log) -> None:
    space = log.space
    assert isinstance(space, ScalingSpace)
    assert [log.asks[trial].genotype for trial in range(log.trials)] == [
        (n,) for n in range(space.size)
    ]
    digests = {ask.digest for ask in log.asks.values()}
    trained = [outcome for outcome in log.outcomes.values() if outcome.reused_from is None]
    assert len(trained) == len(digests) < space.size


def test_accuracy_alone_decides(log: Log) -> None:
    assert all(outcome.reward == outcome.accuracy for outcome in log.outcomes.values())


def test_the_table_is_sorted_by_accuracy_with_every_network_once(log: Log) -> None:
    lines = show_coefficients.table(log).splitlines()[2:]
    accuracies = [float(line.split()[3]) for line in lines]
    assert accuracies == sorted(accuracies, reverse=True)
    assert sum(int(line.split()[-1]) for line in lines) == log.trials


def test_the_best_triple_goes_to_a_file_that_scale_takes(log: Log, tmp_path: Path) -> None:
    best = max(log.outcomes.values(), key=lambda o: (o.accuracy, -o.trial))
    export.write(tmp_path / "c.json", export_coefficients.best_triple(log))
    space = log.space
    assert isinstance(space, ScalingSpace)
    assert (
        export_coefficients.read(tmp_path / "c.json")
        == space.triples[log.asks[best.trial].genotype[0]]
    )
    export.write(tmp_path / "b0.json", export.spec(B0, "b0"))
    table = good("scale", tmp_path / "b0.json", "--phi", "1", "--coefficients", tmp_path / "c.json")
    assert f"{cost(scale(B0, export_coefficients.read(tmp_path / 'c.json').at(1))).macs:,}" in table


def test_a_coefficient_search_cut_in_the_middle_goes_on_to_the_same(
    log: Log, tmp_path: Path
) -> None:
    whole = (log.run / "journal.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"trials done; go on with: mnas resume --trust"):
        export_coefficients.best_triple(read(tmp_path))
    assert told(resume(tmp_path, trusted=True)) == told(log)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{}", "no coefficients file; takes what mnas scale-search writes"),
        ("hello", "not a coefficients file, not even JSON"),
        (
            '{"format": "mnas-coefficients", "depth_base": 0.5}',
            "depth_base: 0.5; takes a number from 1 to 10",
        ),
        ('{"format": "mnas-coefficients", "depth_base": 1.2}', "width_base: null; takes a number"),
    ],
)
def test_what_is_no_coefficients_file_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(InputError) as caught:
        export_coefficients.read(tmp_path / "c.json")
    assert says in str(caught.value)


def test_a_real_coefficient_search_is_killed_and_goes_on_to_its_table(tmp_path: Path) -> None:
    good("zoo", "mobilenet-v2", "-o", tmp_path / "other.json")
    child = scale(tiny().template, Coefficients().at(0))
    export.write(tmp_path / "b0.json", export.spec(child, "b0"))
    few = ["--set=space.step=0.25", "--set=space.tolerance=0.3", "--set=proxy.recipe.epochs=1"]
    few += ["--set=proxy.recipe.warmup_epochs=0.2", "--set=proxy.val_fraction=0.7"]
    run = tmp_path / "run"
    victim = start("scale-search", tmp_path / "b0.json", "coefficients", "--run", run, *few)
    wait_for(lambda: outcomes(run) >= 1)
    time.sleep(1)
    victim.kill()
    victim.communicate()
    out = good("resume", run)
    assert "depth α" in out
    assert f"finished, {read(run).trials} of {read(run).trials} trials done" in out
    good("export", run, "--to", "coefficients", "-o", tmp_path / "c.json")
    assert (
        mnas(
            "export", tmp_path / "b0.json", "--to", "coefficients", "-o", tmp_path / "d.json"
        ).returncode
        == 2
    )
