"""What a journal says, and reading it. Needs no lock; a running search may be read, at once or as it goes on.

`RUN/journal.jsonl` begins with a header (the configuration, the space as data, the versions) and then
tells what happened, in order: a trial was asked, a job was tried again, a trial has its outcome, the
search was resumed. `mnas.records` has the lines.

A last line without its newline was cut off by a crash, or is being written, and is not read yet. Any other
line that can't be read is an error that names it: guessing would teach the controller something that did
not happen.
"""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from pydantic import ValidationError

from mnas import __version__
from mnas.collection import no_collection
from mnas.config import Config
from mnas.records import (
    FORMAT,
    HEADER,
    RECORD,
    RECORDS,
    Ask,
    Confirmed,
    Exhausted,
    Header,
    Outcome,
    Record,
    Resumed,
    Retry,
    Session,
    to_line,
)
from search_space import Architecture, Genotype, InputError, Space
from search_space.scaling_space import ScalingSpace

__all__ = [
    "NAME",
    "TRAINING",
    "Ask",
    "Confirmed",
    "Exhausted",
    "Header",
    "Log",
    "Outcome",
    "Reader",
    "Record",
    "Resumed",
    "Retry",
    "Session",
    "has_begun",
    "read",
    "to_line",
]

NAME = "journal.jsonl"
TRAINING = "training.json"  # what a training's run directory has in its place; see mnas.train
BLOCK = 1 << 20  # bytes read at a time: of a long journal only its records are held, never its text


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
        """Return the run's configuration; it came with the run, so it may not name code of its own."""
        return Config(self.header.config, trusted)

    @property
    def trials(self) -> int:
        """How many the search is to have; fewer than asked for where the space has no more networks."""
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
                raise InputError(f"trial {record.trial} is said to reuse {record.reused_from}, which has no outcome")
            self.outcomes[record.trial] = record
        elif isinstance(record, Retry):
            self._require_running(record)
            self.retries.append(record)
        elif isinstance(record, Resumed):
            self.sessions.append(record.session)
        elif isinstance(record, Exhausted):
            if record.trials != len(self.asks):
                raise InputError(f"exhausted after {record.trials} trials, where {len(self.asks)} were asked")
            self.exhausted = record.trials
        else:
            if record.trial not in self.outcomes or (record.trial, record.repeat) in self.confirmed:
                raise InputError(f"trial {record.trial} is confirmed before it is done, or twice")
            self.confirmed[record.trial, record.repeat] = record

    def _require_running(self, record: Outcome | Retry) -> None:
        if record.trial not in self.asks or record.trial in self.outcomes:
            raise InputError(f"{record.event} of trial {record.trial}, which is not running")


def has_begun(run: Path) -> bool:
    """Say whether a search was begun in `run`: whether its journal has a whole line."""
    path = run / NAME
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline().endswith(b"\n")


class Reader:
    """Reads a journal as it grows: each call takes in the whole lines that were written since the last one.

    The file is opened anew each time, which is when a network drive shows what others wrote.
    """

    def __init__(self, run: Path) -> None:
        if (run / TRAINING).is_file():
            raise InputError(f"{run}: a training; takes the run directory of a search")
        self._run, self._path = run, run / NAME
        self._log: Log | None = None
        self._lines = 0  # read so far

    def __call__(self) -> Log:
        """Return the log as the journal's whole lines have it; the same object each time, taken further.

        Raises:
            InputError: when there is no journal, or a line of it can't be read.
        """
        try:
            with self._path.open("rb") as file, no_collection():
                while lines := _whole_lines(file, self._log.size if self._log else 0):
                    self._take(lines)
                if self._log and os.fstat(file.fileno()).st_size < self._log.size:
                    raise InputError(f"{self._path}: shorter than it was; another file has taken its place")
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"{self._run}: no run directory; it holds no {NAME}") from None
        if self._log is None:
            raise InputError(f"{self._path}: empty; nothing was searched here yet")
        return self._log

    def _take(self, block: bytes) -> None:
        if self._log is None:
            header, _, block = block.partition(b"\n")
            self._log = _begin(self._run, header)
            self._lines, self._log.size = 1, len(header) + 1
        at_once = _records(block)
        asked = [each.genotype for each in at_once if isinstance(each, Ask)]
        of_space = bool(at_once) and _within(asked, self._log.space.sizes)
        taken = 0
        try:
            for record in at_once or _one_by_one(block):
                self._log.add(record, of_space=of_space)
                taken += 1
        except InputError as error:
            block = block.removesuffix(block.split(b"\n", taken)[-1])
            raise error.at(f"{self._path}, line {self._lines + taken + 1}: ") from None
        finally:
            self._lines += taken
            self._log.size += len(block)


def _records(block: bytes) -> list[Record]:
    """Return the record of each line, all read at once, which is quicker; nothing where one can't be read.

    Lines that begin and end with braces can't share a record: where one ended inside an object, the next would
    have to begin with a quote, no list in a record takes an object, and no string the line's end that is put between
    them. Of that many records each line has one.
    """
    lines = block.count(b"\n")
    if not (block.startswith(b"{") and block.endswith(b"}\n") and block.count(b"}\n{") == lines - 1):
        return []
    try:
        records = RECORDS.validate_json(b"[%b]" % block[:-1].replace(b"\n", b",\n"))
    except ValidationError:
        return []
    return records if len(records) == lines else []


def _one_by_one(block: bytes) -> Iterator[Record]:
    """Yield the record of each line; raise InputError at the one that can't be read."""
    for line in block.split(b"\n")[:-1]:
        try:
            yield RECORD.validate_json(line)
        except ValidationError as error:
            raise InputError(_why(error)) from None


def _within(genotypes: Sequence[Genotype], sizes: Sequence[int]) -> bool:
    """Say whether each has a number from 0 to below its size for each decision; no where one is above 255, too.

    A hundred thousand take 0.05 s; number by number they took three times that.
    """
    if any(length != len(sizes) for length in map(len, genotypes)):
        return False
    try:
        numbers = np.frombuffer(b"".join(map(bytes, genotypes)), np.uint8)
    except ValueError:  # a number that is no byte
        return False
    return bool((numbers.reshape(len(genotypes), len(sizes)) < sizes).all())


def _whole_lines(file: IO[bytes], start: int) -> bytes:
    """Return the whole lines of about the next BLOCK bytes from `start`; nothing when there is none yet."""
    most = BLOCK
    while True:
        # From the start of the line each time: what was torn may have been cut off meanwhile and written anew.
        file.seek(start)
        content = file.read(most)
        whole = content.rfind(b"\n") + 1
        if whole or len(content) < most:
            return content[:whole]
        most *= 2


def read(run: Path) -> Log:
    """Read a run's journal, of a finished search or beside a running one.

    Raises:
        InputError: when there is none, or a line of it can't be read.
    """
    return Reader(run)()


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _begin(run: Path, line: bytes) -> Log:
    path = run / NAME
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("event") != "search":
        raise InputError(f"{path}, line 1: not a journal of mnas")
    if data.get("format") != FORMAT:
        session = data.get("session")
        versions = session.get("versions", {}) if isinstance(session, dict) else {}
        by = f", written by mnas {versions['mnas']}" if isinstance(versions, dict) and "mnas" in versions else ""
        raise InputError(f"{path}: journal format {data.get('format')!r}{by}; mnas {__version__} reads format {FORMAT}")
    try:
        log = Log(run, HEADER.validate_json(line))
    except ValidationError as error:
        raise InputError(f"{path}, line 1: {_why(error)}") from None
    except InputError as error:
        raise error.at(f"{path}, line 1: ") from None
    if log.config().digest != log.header.config_digest:
        raise InputError(f"{path}, line 1: the configuration was changed after the search had begun")
    _ = log.space  # a header without one says so before the trials
    return log
