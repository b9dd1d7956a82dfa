from pathlib import Path
from typing import Any

import pytest

from mnas.config import Config, files
from mnas.engine import coefficients
from runners import RUNNERS
from runners.training.proxy import ProxyTask
from search_space import InputError
from search_space.mnasnet import tiny
from tests.stand_in import Arithmetic
from tests.test_surrogate import stump

GOOD: dict[str, dict[str, Any]] = {
    "search": {"trials": 4},
    "space": {"name": "mnasnet-tiny"},
    "controller": {"name": "random"},
    "reward": {"target": 3_000_000},
    "runner": {"workers": 0},
    "proxy": {"data": "mnist-5k", "recipe": {"epochs": 1}},
}


def make(tables: dict[str, Any]) -> None:
    """Make all that a search makes."""
    from mnas.engine.loop import Parts

    Parts.of(Config(tables), Path("unused"))


def changed(table: str, **keys: Any) -> dict[str, Any]:
    return GOOD | {table: {**GOOD[table], **keys}}


def test_the_good_one_is_good() -> None:
    make(GOOD)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        # unknown key
        (
            GOOD | {"serach": {}},
            "serach: unknown (did you mean search?); a configuration takes search, space",
        ),
        (
            changed("search", trails=3),
            "search.trails: unknown (did you mean trials?); [search] takes trials, window",
        ),
        (
            changed("controller", name="pop"),
            "controller.name: pop: unknown (did you mean ppo?); it takes bayesian",
        ),
        (
            changed("controller", name="ppo", lrr=1),
            "controller.lrr: unknown (did you mean lr?); [controller] takes policy",
        ),
        (changed("space", name="mnasnet-tini"), "did you mean mnasnet-tiny?"),
        (changed("runner", name="slurm"), "runner.name: slurm: unknown; it takes local"),
        (
            changed("proxy", recipe={"epoch": 1}),
            "proxy.recipe.epoch: unknown (did you mean epochs?)",
        ),
        # wrong type
        (changed("search", trials="many"), "search.trials: 'many'; takes an integer"),
        (changed("search", trials=2.5), "search.trials: 2.5; takes an integer"),
        (changed("search", reuse=1), "search.reuse: 1; takes true or false"),
        (changed("reward", target=True), "reward.target: True; takes a number"),
        (
            changed("controller", name=7),
            "controller.name: 7; takes bayesian, ppo, ppo-mnasnet, random",
        ),
        (
            changed("proxy", recipe={"optimizer": "adam"}),
            "proxy.recipe.optimizer: 'adam'; takes sgd or rmsprop",
        ),
        (changed("proxy", path=3), "proxy.path: 3; takes a string or nothing"),
        (changed("proxy", recipe=3), "proxy.recipe: 3; takes a table"),
        (GOOD | {"search": 3}, "search: 3; takes a table, [search]"),
        (
            GOOD | {"space": {"name": "scaling", "baseline": {}, "depth": 1.5}},
            "takes a list: a number, …",
        ),
        # impossible value
        (changed("search", trials=0), "search.trials: 0; takes 1 or more"),
        (changed("search", window=0), "search.window: 0; takes 1 or more"),
        (changed("search", seed=-1), "search.seed: -1; takes 0 to below 2^63"),
        (changed("reward", beta=0.07), "reward.beta: 0.07; takes -10 to 0"),
        (
            changed("reward", target=float("nan")),
            "reward.target: nan; takes a number of macs above 0",
        ),
        (changed("proxy", recipe={"lr": -1.0}), "proxy.recipe.lr: -1.0; takes a number above 0"),
        (
            changed("space", resolution=0),
            "space.resolution: 0; takes an integer from 1 to 1,000,000",
        ),
        # missing
        (GOOD | {"search": {}}, "search.trials: missing; takes an integer"),
        (GOOD | {"reward": {}}, "reward.target: missing; takes a number"),
        (
            GOOD | {"space": {}},
            "space.name: missing; takes mnasnet, mnasnet-small, mnasnet-tiny, accel-nasbench",
        ),
        # what does not fit together
        (
            changed("reward", target=1000),
            "reward.target: 1,000 macs is below the smallest network of the space; takes",
        ),
        (
            changed("reward", target=1000, cost="params"),
            "reward.target: 1,000 params is below the smallest",
        ),
        (changed("space", classes=7), "space.classes: 7, but mnist-5k has 10"),
        # missing data set
        (
            changed("proxy", data="cifar10"),
            "proxy.path: missing; this data set is read from a folder of yours",
        ),
        (changed("proxy", data="cifar10", path="/nowhere"), "proxy.path: /nowhere is no folder"),
        (
            changed("proxy", data="cifar100"),
            "proxy.data: cifar100: unknown (did you mean cifar10?)",
        ),
        # code that is not there, or not what is wanted
        (changed("controller", name=":"), "controller.name: : can't be imported"),
        (changed("controller", name="os:system"), "controller.name: is no controller"),
        (changed("controller", name="math:pi"), "controller.name: is no controller"),
        (changed("proxy", name="no.such:Thing"), "proxy.name: no.such:Thing can't be imported"),
        (
            changed("proxy", name="mnas.reward:Nothing"),
            "proxy.name: mnas.reward:Nothing can't be imported",
        ),
    ],
)
def test_a_bad_configuration_is_one_line_that_says_where_and_what_is_allowed(
    tables: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError) as caught:
        make(tables)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_of_ones_own_is_wired_like_a_shipped_one() -> None:
    made = Config(GOOD | {"proxy": {"name": "tests.stand_in:Arithmetic", "sleep": 0.5}}).evaluate(
        tiny()
    )
    assert isinstance(made, Arithmetic)
    assert made.sleep == 0.5


def test_keywords_reach_the_constructor_nested_ones_too() -> None:
    made = Config(changed("proxy", threads=2, recipe={"epochs": 3, "lr": 1})).evaluate(tiny())
    assert isinstance(made, ProxyTask)
    assert (made.threads, made.recipe.epochs, made.recipe.lr) == (2, 3, 1)


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("search.trials=8", ("search", "trials", 8)),
        ("proxy.data=cifar10", ("proxy", "data", "cifar10")),
        ("proxy.path=/data/my images", ("proxy", "path", "/data/my images")),
        ("reward.target=4e8", ("reward", "target", 4e8)),
        ("search.reuse=false", ("search", "reuse", False)),
        ("runner.workers = 3", ("runner", "workers", 3)),
        ("search.name=x", ("search", "name", "x")),
    ],
)
def test_overrides_are_toml_or_plain_words(
    tmp_path: Path, override: str, found: tuple[str, str, Any]
) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[search]\ntrials = 4\n")
    table, key, value = found
    assert files.load(path, [override]).tables[table][key] == value


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("trials=8", "--set trials=8: takes table.key=value"),
        ("search.trials", "--set search.trials: takes table.key=value"),
        ("search.trials.x=8", "--set search.trials.x=8: trials is a value, not a table"),
        ("=", "--set =: takes table.key=value"),
    ],
)
def test_a_bad_override_is_refused(tmp_path: Path, override: str, says: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[search]\ntrials = 4\n")
    with pytest.raises(InputError) as caught:
        files.load(path, [override])
    assert str(caught.value) == says


def test_another_component_by_override_leaves_the_old_ones_keys_behind() -> None:
    path = files.find("quickstart")
    overrides = ["controller.population=5", "controller.name=evolution", "proxy.name=proxy"]
    tables = files.load(path, overrides).tables
    assert tables["controller"] == {"name": "evolution", "population": 5}
    assert tables["proxy"]["data"] == "mnist-5k"  # the default by its name is no other component


def test_a_file_that_is_not_toml_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[search]\ntrials = = 4\n")
    with pytest.raises(InputError, match=r"run.toml: not TOML .*line 2"):
        files.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not TOML"):
        files.load(path)


def test_a_shipped_configuration_is_found_by_its_name() -> None:
    for name in ("quickstart", "quickstart.toml"):
        assert files.find(name).name == "quickstart.toml"
    with pytest.raises(
        InputError,
        match="none of the shipped anb, cifar10-cpu, cifar10, coefficients, imagenet, quickstart",
    ):
        files.find("nope")


SHIPPED = {path.stem for path in files.SHIPPED.glob("*.toml")}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_configuration_describes_parts_that_exist(name: str, tmp_path: Path) -> None:
    shipped = files.load(files.find(name))
    if name == "coefficients":
        shipped = coefficients.plan(shipped, tiny().template)
    elif name == "anb":
        shipped.tables["proxy"]["path"] = str(stump(tmp_path / "trees.npz"))
    elif (
        name != "quickstart"
    ):  # the data are the user's: an empty layout of the right names stands for them
        root = tmp_path / "data"
        (root / "train").mkdir(parents=True)
        for number in range(1000):
            (root / "train" / f"n{number:08}").mkdir()
        for number in range(1, 6):
            (root / f"data_batch_{number}").touch()
        shipped.tables["proxy"]["path"] = str(root)
    make(shipped.tables)


def test_the_imagenet_configuration_has_the_papers_settings() -> None:
    tables = files.load(files.find("imagenet")).tables
    assert tables["search"]["trials"] == 8000
    assert (tables["reward"]["target"], tables["reward"]["alpha"], tables["reward"]["beta"]) == (
        4e8,
        -0.07,
        -0.07,
    )
    assert round(1_281_167 * tables["proxy"]["val_fraction"], -3) == 50_000
    assert tables["proxy"]["recipe"]["epochs"] == 5


def test_the_digest_is_of_the_content_not_of_the_order() -> None:
    reordered = {name: dict(reversed(GOOD[name].items())) for name in reversed(GOOD)}
    assert Config(reordered).digest == Config(GOOD).digest
    assert Config(changed("search", seed=1)).digest != Config(GOOD).digest


def test_runners_are_made_without_starting_anything() -> None:
    assert "local" in RUNNERS
    runner = Config(changed("runner", workers=3)).runner(Arithmetic(), Path("unused"))
    runner.close()
