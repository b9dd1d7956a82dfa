"""One TOML file a run, and the objects it describes.

Each table names a component and gives its constructor's keywords: the constructor is the schema.
This is the only place where a name, or a `package.module:Object` of the user's own, becomes an
object.
"""

import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controllers import CONTROLLERS, Controller, Problem, Weighed
from mnas.config.construct import construct
from mnas.config.settings import Settings, Views
from mnas.reward import Reward
from runners import PROXIES, RUNNERS, TRAININGS, Evaluate, Runner, Train
from search_space import SPACES, Cost, Genotype, Space
from search_space.cost import cheapest, cost
from search_space.errors import InputError, require_known
from search_space.pricing import Pricing

# The tables whose component is chosen by name, and what is taken where the file names none.
_NAMED: dict[str, tuple[Mapping[str, str], str | None]] = {
    "space": (SPACES, None),
    "controller": (CONTROLLERS, "ppo"),
    "runner": (RUNNERS, "local"),
    "proxy": (PROXIES, "proxy"),
    "train": (TRAININGS, "full"),
}
_TABLES = ("search", "space", "controller", "reward", "runner", "proxy", "train", "log")


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
        """Whether a table names a `package.module:Object` of the user's own, or a cluster that
        would send us code.
        """
        tables = [self._table(table) for table in _NAMED]
        return any(
            ":" in str(table.get(key, "")) for table in tables for key in ("name", "address")
        )

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
                f"{table}.address: {address} is a cluster whose answers "
                "are code, which a run directory may not name; "
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
