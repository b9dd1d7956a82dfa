"""What a journal says, and reading it. Needs no lock; a running search may be read, at once or as
it goes on.

`RUN/journal.jsonl` begins with a header (the configuration, the space as data, the versions) and
then tells what happened, in order: a trial was asked, a job was tried again, a trial has its
outcome, the search was resumed. `mnas.journal.records` has the lines.

A last line without its newline was cut off by a crash, or is being written, and is not read yet.
Any other line that can't be read is an error that names it: guessing would teach the controller
something that did not happen.
"""

import shlex
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from mnas.config import Config
from mnas.journal.directory import NAME
from mnas.journal.records import (
    Ask,
    Confirmed,
    Exhausted,
    Header,
    Outcome,
    Record,
    Resumed,
    Retry,
)
from search_space import Architecture, Genotype, InputError, Space
from search_space.scaling_space import ScalingSpace


class Log:
    """What a journal holds, by trial."""

    def __init__(self, run: Path, header: Header) -> None:
        self.run, self.header = run, header
        self.asks: dict[int, Ask] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.retries: list[Retry] = []
        self.confirmed: dict[tuple[int, int], Confirmed] = {}  # by trial and number of the repeat
        self.sessions = [header.session]
        self.exhausted: int | None = None  # after that many trials nothing was left to try
        self.size = 0  # bytes of whole lines
        self.settings, self.reward = self.config().settings(), self.config().reward()

    def config(self, *, trusted: bool = False) -> Config:
        """Return the run's configuration; it came with the run, so it may not name code
        of its own.
        """
        return Config(self.header.config, trusted)

    @property
    def trials(self) -> int:
        """How many the search is to have; fewer than asked for where the space has no more
        networks.
        """
        return self.settings.trials if self.exhausted is None else self.exhausted

    @property
    def resume_command(self) -> str:
        """What to type to go on."""
        trust = "--trust " if self.config().names_outside_code else ""
        return f"mnas resume {trust}{shlex.quote(str(self.run))}"

    @cached_property
    def space(self) -> Space:
        """The space that the genotypes belong to, from the header's own data."""
        try:
            kind = ScalingSpace if "triples" in self.header.space else Space
            return kind.from_json(self.header.space)
        except InputError as error:
            raise error.at(f"{self.run / NAME}, line 1: ") from None

    def architecture(self, trial: int) -> Architecture:
        """Return the architecture of a trial.

        Raises:
            InputError: when the trial was not asked, or is not of the space.
        """
        if trial not in self.asks:
            raise InputError(f"trial: {trial}; {self.run} has {len(self.asks)}, counted from 0")
        try:
            return self.space.decode(self.asks[trial].genotype)
        except InputError as error:
            raise error.at(f"{self.run}: trial {trial}: ") from None

    def add(self, record: Record, *, of_space: bool = False) -> None:
        """Take in one record.

        Args:
            record: what happened next.
            of_space: whether an ask's genotype is known to be of the space.

        Raises:
            InputError: when it can't follow what is there.
        """
        if isinstance(record, Ask):
            if self.exhausted is not None:
                raise InputError(f"trial {record.trial} is asked of an exhausted space")
            if record.trial != len(self.asks):
                raise InputError(f"trial {record.trial} is asked where {len(self.asks)} is next")
            if not of_space and not _within([record.genotype], self.space.sizes):
                self.space.decode(record.genotype)  # raises, and says what is wrong
            self.asks[record.trial] = record
        elif isinstance(record, Outcome):
            self._require_running(record)
            if record.reused_from is not None and record.reused_from not in self.outcomes:
                raise InputError(
                    f"trial {record.trial} is said to reuse "
                    f"{record.reused_from}, which has no outcome"
                )
            self.outcomes[record.trial] = record
        elif isinstance(record, Retry):
            self._require_running(record)
            self.retries.append(record)
        elif isinstance(record, Resumed):
            self.sessions.append(record.session)
        elif isinstance(record, Exhausted):
            if record.trials != len(self.asks):
                raise InputError(
                    f"exhausted after {record.trials} trials, where {len(self.asks)} were asked"
                )
            self.exhausted = record.trials
        else:
            if record.trial not in self.outcomes or (record.trial, record.repeat) in self.confirmed:
                raise InputError(f"trial {record.trial} is confirmed before it is done, or twice")
            self.confirmed[record.trial, record.repeat] = record

    def _require_running(self, record: Outcome | Retry) -> None:
        if record.trial not in self.asks or record.trial in self.outcomes:
            raise InputError(f"{record.event} of trial {record.trial}, which is not running")


def _within(genotypes: Sequence[Genotype], sizes: Sequence[int]) -> bool:
    """Say whether each has a number from 0 to below its size for each decision; no where one is
    above 255, too.

    A hundred thousand take 0.05 s; number by number they took three times that.
    """
    if any(length != len(sizes) for length in map(len, genotypes)):
        return False
    try:
        numbers = np.frombuffer(b"".join(map(bytes, genotypes)), np.uint8)
    except ValueError:  # a number that is no byte
        return False
    return bool((numbers.reshape(len(genotypes), len(sizes)) < sizes).all())
