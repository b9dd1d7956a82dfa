"""What a search begins with: published networks, specs, and the best of an earlier run."""

from pathlib import Path
from typing import Any

import pytest

from mnas.analysis.recommend import promising
from mnas.config import Config
from mnas.engine.init import FROM_RUN, genotypes
from mnas.engine.loop import resume, search
from mnas.export import spec as export
from mnas.journal.log import Log
from search_space import InputError
from search_space.mnasnet import imagenet, tiny
from search_space.zoo import ZOO
from tests.test_controllers import SMALL
from tests.test_search import config, told


def seeded(init: Any, space: str = "mnasnet") -> Config:
    return Config({"search": {"trials": 20, "init": init}, "space": {"name": space}})


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return search(config(), tmp_path_factory.mktemp("earlier") / "run")


def test_published_networks_are_found_in_the_space() -> None:
    found = genotypes(seeded(["efficientnet-b0", "mnasnet-a1"]), imagenet())
    blocks = [imagenet().decode(genotype).block_strings for genotype in found]
    assert blocks[0] == ZOO["efficientnet-b0"].block_strings
    assert len(set(found)) == 2


def test_a_spec_is_found_too(tmp_path: Path) -> None:
    export.write(tmp_path / "b0.json", export.spec(ZOO["efficientnet-b0"], "b0"))
    assert genotypes(seeded([str(tmp_path / "b0.json")]), imagenet()) == genotypes(
        seeded(["efficientnet-b0"]), imagenet()
    )


def test_the_best_of_an_earlier_run_are_tried_first_and_once(earlier: Log, tmp_path: Path) -> None:
    log = search(config(search={"init": str(earlier.run), "seed": 9}), tmp_path / "run")
    best = {row.digest for row in promising(earlier, FROM_RUN)}
    assert {log.asks[trial].digest for trial in range(FROM_RUN)} == best


@pytest.mark.parametrize("name", ["random", "evolution", "ppo", "ppo-mnasnet", "bayesian"])
def test_every_controller_takes_seeds_and_goes_on_when_what_they_came_from_is_gone(
    name: str, tmp_path: Path
) -> None:
    space = tiny()
    seeds = [[0] * len(space.decisions), [1] * len(space.decisions)]
    spec = tmp_path / "spec.json"
    export.write(spec, export.spec(space.decode(tuple(seeds[0])), "seed"))
    tables = {
        "search": {"init": [str(spec), seeds[1]]},
        "controller": {"name": name, **SMALL.get(name, {})},
    }
    log = search(config(**tables), tmp_path / "run")
    assert [list(log.asks[trial].genotype) for trial in (0, 1)] == seeds
    spec.unlink()
    run = tmp_path / "cut"
    run.mkdir()
    content = (log.run / "journal.jsonl").read_bytes()
    (run / "journal.jsonl").write_bytes(content[: len(content) // 2])
    assert told(resume(run, trusted=True)) == told(log)


@pytest.mark.parametrize(
    ("init", "space", "says"),
    [
        (["efficientnet-b9"], "mnasnet", "search.init: efficientnet-b9: unknown"),
        (
            ["efficientnet-b0"],
            "mnasnet-tiny",
            "search.init: efficientnet-b0: stem_channels: 32 is outside the space",
        ),
        ([[0, 1]], "mnasnet", "search.init: genotype: 2 numbers; this space asks 42 decisions"),
        (3, "mnasnet", "search.init: 3; takes"),
    ],
)
def test_a_seed_that_is_none_is_one_line(init: Any, space: str, says: str) -> None:
    asked = seeded(init, space)
    with pytest.raises(InputError) as caught:
        genotypes(asked, asked.space())
    assert says in str(caught.value)
