"""A run as Python has it at hand in a notebook: `mnas.open_run(path)`."""

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mnas.analysis import ranking, rerank, table
from mnas.journal.log import Log
from mnas.journal.reader import read
from mnas.show.overview import headline, question
from mnas.show.tables import trial_table
from search_space import Architecture

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A search's log, as far as it was when it was opened."""

    log: Log

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the log of the run directory `path`."""
        return cls(read(path))

    @cached_property
    def trials(self) -> "DataFrame":
        """A row for each trial that was asked; docs/journal.md has the columns."""
        return table.trials(self.log)

    def best(self, count: int = 5) -> "DataFrame":
        """Return the trials of highest reward, each network once, the best first."""
        return self._rows(ranking.best(self.log, count))

    def pareto(self) -> "DataFrame":
        """Return the trials that no other beats in accuracy at the same cost or less, the cheapest
        first.
        """
        return self._rows(ranking.front(self.log))

    def architecture(self, trial: int) -> Architecture:
        """Return the architecture of a trial."""
        return self.log.architecture(trial)

    def rerank(self, spec: str = "", **said: Any) -> "Run":
        """Return the run as it would read under another reward: `rerank(target=300e6)` or
        `rerank("target=300M")`.

        Raises:
            InputError: when that is no reward, or its target can't be met in the space.
        """
        words = [spec, *(f"{key}={value}" for key, value in said.items())]
        wanted = rerank.parse(",".join(word for word in words if word), self.log.reward)
        return Run(rerank.under(self.log, wanted))

    def _rows(self, chosen: list[ranking.Row]) -> "DataFrame":
        return self.trials.iloc[[each.trial for each in chosen]]

    def __repr__(self) -> str:
        """Say which run it is, its state and question, and what is best."""
        return "\n".join([*self._lines(), trial_table(self._top())])

    def _lines(self) -> list[str]:
        return [headline(self.log), question(self.log)]

    def _repr_html_(self) -> str:
        names = ("trial", "accuracy", "reward", "macs", "params")
        head = "".join(f"<th>{name}</th>" for name in names)
        shown = [
            (r.trial, f"{r.accuracy:.4f}", f"{r.reward:.4f}", f"{r.macs:,}", f"{r.params:,}")
            for r in self._top()
        ]
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in shown)
        words = "<br>".join(map(html.escape, self._lines()))
        return f"<p>{words}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _top(self) -> list[ranking.Row]:
        return ranking.best(self.log, 5)
