"""What the documents say is what happens: README's commands, code and figures are run."""

import itertools
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from mnas import training as train
from mnas.analysis.recommend import promising
from mnas.config import Config, files
from mnas.engine import coefficients
from mnas.export import spec as export
from mnas.journal.reader import read
from search_space.mnasnet import tiny
from tests.conftest import ROOT
from tests.test_cli import mnas
from tests.test_search import config as small_config
from tests.test_search import search
from tests.test_train import CHILD, planned, quiet

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """Every `mnas …` line of the README's shell blocks."""
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("mnas ")]


def test_the_first_code_comes_by_line_15() -> None:
    assert README[: README.index("```")].count("\n") < 15


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with finished runs where README has them, quickly made."""
    folder = tmp_path_factory.mktemp("readme")
    search(small_config(trials=25), folder / "runs" / "quickstart")
    search(small_config(trials=6, controller={"name": "random"}), folder / "runs" / "random")
    grid = Config(
        {
            "space": {"step": 0.25},
            "proxy": {"name": "tests.stand_in:Arithmetic"},
            "runner": {"workers": 0},
        }
    )
    search(coefficients.plan(grid, tiny().template), folder / "runs" / "coefficients")
    train.begin(
        planned(epochs=1, warmup_epochs=0),
        [export.spec(CHILD, "b0")],
        folder / "runs" / "train",
        quiet,
    )
    return folder


def test_the_readmes_verbs_do_what_they_say_one_after_the_other(here: Path) -> None:
    ran = set()
    for command in commands():
        if command[0] in ("search", "resume", "scale-search", "train") or "--confirm" in command:
            continue  # whole searches and trainings: tests of their own run them
        done = mnas(*command, cwd=here)
        assert done.returncode == 0, (command, done.stderr)
        ran.add(command[0])
    assert ran == {"inspect", "report", "export", "import-weights", "scale", "space", "zoo"}


@pytest.mark.parametrize(
    ("run", "trial"),
    [
        ("cifar10-bayesian-0", 50),
        ("cifar10-bayesian-1", 78),
        ("cifar10-ppo-0", 97),
        ("cifar10-ppo-1", 92),
        ("cifar10-random-0", 22),
        ("cifar10-random-1", 30),
    ],
)
def test_the_journals_of_the_readmes_searches_are_read_and_say_what_it_says(
    run: str, trial: int
) -> None:
    found = read(ROOT / "benchmarks" / "records" / run)
    assert len(found.outcomes) == 100
    assert promising(found, 1)[0].trial == trial


def test_the_papers_reward_led_the_readmes_search_far_below_its_target() -> None:
    best = promising(read(ROOT / "benchmarks" / "records" / "cifar10-power-bayesian-0"), 1)[0]
    assert (best.accuracy, best.macs) == (0.468, 648_704)


def test_the_readmes_searches_are_of_shipped_configurations_and_known_options() -> None:
    searched = [command for command in commands() if command[0] == "search"]
    assert searched
    for command in searched:
        overrides = [value for option, value in itertools.pairwise(command) if option == "--set"]
        files.load(files.find(command[1]), overrides).settings()


@pytest.mark.parametrize("name", ["quickstart", "cifar10", "imagenet"])
def test_the_shipped_trainings_can_be(name: str) -> None:
    shipped = files.load(files.find(name), ["train.data=mnist-5k"])
    assert shipped.training().epochs == {"quickstart": 20, "cifar10": 200, "imagenet": 350}[name]


def test_the_readmes_controller_runs(tmp_path: Path) -> None:
    (code,) = [text for kind, text in BLOCKS if kind == "python"]
    (toml,) = [text for kind, text in BLOCKS if kind == "toml"]
    assert code.count("\n") <= 25
    (tmp_path / "hill.py").write_text(code)
    (tmp_path / "run.toml").write_text(toml)
    done = mnas(
        "search",
        "run.toml",
        "--run",
        "run",
        "--set=proxy.name=tests.stand_in:Arithmetic",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "finished, 12 of 12 trials done" in done.stdout


def test_the_readmes_links_and_pictures_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_knows_the_two_commands() -> None:
    for target in ("search", "test", "check"):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(files.SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_each_configurations_head_says_its_command(path: Path) -> None:
    text = path.read_text()
    verb = "scale-search b0.json" if path.stem == "coefficients" else "search"
    assert text.startswith(f"# mnas {verb} {path.stem}")
    assert "search" in tomllib.loads(text)
