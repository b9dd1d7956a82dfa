"""One TOML file a run, and the objects it describes.

Each table names a component and gives its constructor's keywords: the constructor is the schema.
This is the only place where a name, or a `package.module:Object` of the user's own, becomes an object.
"""

import copy
import dataclasses
import hashlib
import importlib
import inspect
import json
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from controllers import CONTROLLERS, Controller, Problem, Weighed
from mnas.reward import Reward
from runners import PROXIES, RUNNERS, TRAININGS, Evaluate, Runner, Train
from search_space import SPACES, Cost, Genotype, Space
from search_space.cost import cheapest, cost
from search_space.errors import InputError, require, require_known
from search_space.pricing import Pricing

SHIPPED = Path(__file__).parent / "configs"

# The tables whose component is chosen by name, and what is taken where the file names none.
_NAMED: dict[str, tuple[Mapping[str, str], str | None]] = {
    "space": (SPACES, None),
    "controller": (CONTROLLERS, "ppo"),
    "runner": (RUNNERS, "local"),
    "proxy": (PROXIES, "proxy"),
    "train": (TRAININGS, "full"),
}
_TABLES = ("search", "space", "controller", "reward", "runner", "proxy", "train", "log")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The `[search]` table: the loop itself."""

    trials: int
    window: int = 8  # trials asked beyond the last one told; 4 × workers keeps them busy
    seed: int = 0
    retries: int = 2  # how often a job is run again that its machine, not its network, failed
    reuse: bool = True  # tell the result again when a network comes up twice, and train it once
    stop_below: float = 0.0  # end children not expected to reach this share of the rewards told; see mnas/stopping.py
    init: str | list[str | list[int]] = ()  # type: ignore[assignment]  # networks to begin with; see mnas/seeds.py

    def __post_init__(self) -> None:
        require(self.trials >= 1, "trials", self.trials, "1 or more")
        require(self.window >= 1, "window", self.window, "1 or more")
        require(0 <= self.seed < 2**63, "seed", self.seed, "0 to below 2^63")
        require(self.retries >= 0, "retries", self.retries, "0 or more")
        require(0 <= self.stop_below < 1, "stop_below", self.stop_below, "0 (no early stopping) to below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Views:
    """The `[log]` table: what a search writes beside its journal."""

    tensorboard: bool = False  # scalars in RUN/tensorboard


def _readable(annotation: Any) -> str:
    """Write a type as a user of TOML would: `a number`, `sgd or rmsprop`, `a string or nothing`."""
    if get_origin(annotation) is list:
        return f"a list: {_readable(get_args(annotation)[0])}, …"
    if get_origin(annotation) is not None:
        return " or ".join(map(_readable, get_args(annotation)))
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a string", type(None): "nothing"}
    return "a table" if dataclasses.is_dataclass(annotation) else words.get(annotation, str(annotation))


def construct(factory: Callable[..., Any], table: Mapping[str, Any], place: str, *fixed: Any) -> Any:
    """Call `factory(*fixed, **table)` after checking the table against its keyword-only parameters.

    A parameter that is itself a dataclass takes a table of its own, laid over its default.

    Raises:
        InputError: naming the place, the value and what is allowed.
    """
    try:
        signature = inspect.signature(factory, eval_str=True)
        signature.bind_partial(*fixed)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}.name: is no {place} ({error})") from None
    takes = {p.name: p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
    keywords = {}
    for key, value in table.items():
        require_known(key, takes, place=f"{place}.", owner=f"[{place}]")
        annotation = Any if takes[key].annotation is inspect.Parameter.empty else takes[key].annotation
        if dataclasses.is_dataclass(annotation) and isinstance(value, Mapping):
            default = takes[key].default
            said = {} if default is inspect.Parameter.empty else dataclasses.asdict(default)
            keywords[key] = construct(annotation, {**said, **value}, f"{place}.{key}")
            continue
        try:
            keywords[key] = TypeAdapter(annotation).validate_python(value, strict=True)
        except ValidationError:
            raise InputError(f"{place}.{key}: {value!r}; takes {_readable(annotation)}") from None
    for name, parameter in takes.items():
        if parameter.default is parameter.empty and name not in keywords:
            raise InputError(f"{place}.{name}: missing; takes {_readable(parameter.annotation)}")
    try:
        return factory(*fixed, **keywords)
    except InputError as error:
        raise error.at(f"{place}.") from None


@dataclass(frozen=True)
class Config:
    """A run's tables as plain data; each method makes the component that one of them describes.

    `trusted` is whether tables may name code outside mnas: yes for a file the user runs, no for a
    run directory, which may come from a stranger.
    """

    tables: dict[str, dict[str, Any]]
    trusted: bool = True

    def __post_init__(self) -> None:
        for name, table in self.tables.items():
            require_known(name, _TABLES, owner="a configuration")
            if not isinstance(table, dict):
                raise InputError(f"{name}: {table!r}; takes a table, [{name}]")

    @property
    def digest(self) -> str:
        """Name the configuration in 16 hex digits."""
        return hashlib.sha256(json.dumps(self.tables, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def names_outside_code(self) -> bool:
        """Whether a table names a `package.module:Object` of the user's own, or a cluster that would send us code."""
        tables = [self._table(table) for table in _NAMED]
        return any(":" in str(table.get(key, "")) for table in tables for key in ("name", "address"))

    def _table(self, name: str) -> dict[str, Any]:
        table = dict(self.tables.get(name, {}))
        proxy = self.tables.get("proxy", {})
        if name == "train" and "data" not in table and proxy.get("name", "proxy") == "proxy":
            table = {key: proxy[key] for key in ("data", "path", "size") if key in proxy} | table
        return table

    def _component(self, table: str, *fixed: Any) -> Any:
        names, default = _NAMED[table]
        keywords = self._table(table)
        name = keywords.pop("name", default)
        if not isinstance(name, str):
            found = "missing" if name is None else repr(name)
            raise InputError(f"{table}.name: {found}; takes {', '.join(names)}")
        if not self.trusted and ":" in str(address := keywords.get("address", "")):
            raise InputError(
                f"{table}.address: {address} is a cluster whose answers are code, which a run directory may not name; "
                f"see that it is yours, then say --trust"
            )
        return construct(self._object(table, name, names), keywords, table, *fixed)

    def _object(self, table: str, name: str, names: Mapping[str, str]) -> Callable[..., Any]:
        if ":" not in name:
            require_known(name, names, place=f"{table}.name: ", owner="it")
        elif not self.trusted:
            raise InputError(
                f"{table}.name: {name} is code outside mnas, which a run directory may not name; "
                f"read it, then say --trust"
            )
        module, _, attribute = names.get(name, name).partition(":")
        if ":" in name and (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)  # the user's own file lies where the user stands
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            looked = f"; looked in {Path.cwd()} too" if ":" in name else ""
            raise InputError(f"{table}.name: {name} can't be imported ({error}){looked}") from None
        return found

    def settings(self) -> Settings:
        """Make the loop's settings."""
        made: Settings = construct(Settings, self._table("search"), "search")
        return made

    def views(self) -> Views:
        """Make what is written beside the journal."""
        made: Views = construct(Views, self._table("log"), "log")
        return made

    def space(self) -> Space:
        """Make the search space."""
        made: Space = self._component("space")
        return made

    def problem(self, space: Space) -> Problem:
        """State what the controller is to solve: the space, and the reward but for the accuracy."""
        pricing, reward = Pricing(space), self.reward(space)

        def weigh(genotypes: Sequence[Genotype]) -> Weighed:
            costs = pricing(genotypes).astype(float)
            ratio = costs[:, Cost._fields.index(reward.cost)] / reward.target
            return Weighed(costs, ratio, *reward.line(ratio))

        return Problem(space, weigh, repeats=not self.settings().reuse)

    def controller(self, space: Space) -> Controller:
        """Make the controller, with the search's seed."""
        made: Controller = self._component("controller", self.problem(space), self.settings().seed)
        return made

    def reward(self, space: Space | None = None) -> Reward:
        """Make the reward, and check that its target can be met in `space`.

        Raises:
            InputError: also when even the smallest network of the space is over the target.
        """
        made: Reward = construct(Reward, self._table("reward"), "reward")
        if space is None:
            return made
        least = getattr(cost(space.decode(cheapest(space, made.cost))), made.cost)
        if made.target < least:
            raise InputError(
                f"reward.target: {made.target:,.12g} {made.cost} is below the smallest network "
                f"of the space; takes {least:,} or more"
            )
        return made

    def evaluate(self, space: Space) -> Evaluate:
        """Make the evaluation, and check that the space's networks fit it."""
        made: Evaluate = self._component("proxy")
        made.check(space.template)
        return made

    def training(self) -> Train:
        """Make the full training; the data are those of `[proxy]` where `[train]` names none."""
        made: Train = self._component("train")
        return made

    def runner(self, evaluate: Evaluate, logs: Path) -> Runner:
        """Make the runner; it starts nothing before its first job."""
        made: Runner = self._component("runner", evaluate, logs)
        return made


def _assign(tables: dict[str, Any], override: str) -> None:
    """Carry out one `table.key=value`; the value is TOML, or else a plain string.

    Another `name` is another component: the keys of the old one go.
    """
    path, equals, text = override.partition("=")
    *parents, key = path.strip().split(".")
    if not equals or not parents or not key:
        raise InputError(f"--set {override}: takes table.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise InputError(f"--set {override}: {parent} is a value, not a table")
    if key == "name" and value != tables.get("name", _NAMED.get(parents[0], ({}, None))[1]):
        tables.clear()
    tables[key] = value


def find(name: str) -> Path:
    """Return the configuration file: a path, or the name of a shipped one.

    Raises:
        InputError: naming the shipped ones.
    """
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    if Path(name).is_file():
        return Path(name)
    if name.removesuffix(".toml") in shipped:
        return shipped[name.removesuffix(".toml")]
    raise InputError(f"{name}: no such file, and none of the shipped {', '.join(shipped)}")


def load(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration file and apply `table.key=value` overrides.

    Raises:
        InputError: naming the file and line, or the override, that can't be read.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML ({error})") from None
    try:
        config = Config(tables)
    except InputError as error:
        raise error.at(f"{path}: ") from None
    return override(config, overrides)


def override(config: Config, overrides: Iterable[str]) -> Config:
    """Return a configuration with `table.key=value` overrides applied, and the paths of its data absolute.

    Raises:
        InputError: naming the override that can't be read, or the table that is none.
    """
    tables = copy.deepcopy(config.tables)
    # Names first: they clear their tables.
    for each in sorted(overrides, key=lambda o: not o.partition("=")[0].rstrip().endswith(".name")):
        _assign(tables, each)
    # The data are found again when the run is gone on with from another folder.
    for table in (tables.get("proxy"), tables.get("train")):
        if isinstance(table, dict) and isinstance(data := table.get("path"), str):
            table["path"] = str(Path(data).expanduser().resolve())
    return Config(tables, config.trusted)
