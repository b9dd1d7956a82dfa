"""What a journal says: its records, and reading them. Needs no lock; a running search may be read.

`RUN/journal.jsonl` begins with a header (the configuration, the space as data, the versions) and then
tells what happened, in order: a trial was asked, a job was tried again, a trial has its outcome, the
search was resumed. Nothing in it is code.

A last line without its newline was cut off by a crash and is forgotten. Any other line that can't be
read is an error that names it: guessing would teach the controller something that did not happen.
"""

import json
import os
import platform
import socket
import time
from dataclasses import field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mnas import __version__
from mnas.config import Config
from runners import Failure
from search_space import Architecture, InputError, Space
from search_space.scaling_space import ScalingSpace

FORMAT = 1
NAME = "journal.jsonl"
TRAINING = "training.json"  # what a training's run directory has in its place; see mnas.train

_STRICT = ConfigDict(strict=True, extra="forbid")
Count = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _versions() -> dict[str, str]:
    found = {"mnas": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "ray"):
        try:
            found[package] = metadata.version(package)  # without importing it
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Session:
    """Who writes: this process, on this machine, with these versions."""

    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    versions: dict[str, str] = field(default_factory=_versions)
    time: Seconds = field(default_factory=time.time)  # since 1970


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Header:
    """The first line: what is searched, and how."""

    event: Literal["search"] = "search"
    format: int = FORMAT
    config: dict[str, dict[str, Any]]
    config_digest: str
    space: dict[str, Any]
    session: Session = field(default_factory=Session)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Resumed:
    """The search went on in a new process."""

    event: Literal["resume"] = "resume"
    session: Session = field(default_factory=Session)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Ask:
    """The controller proposed a trial."""

    event: Literal["ask"] = "ask"
    trial: Count
    genotype: tuple[int, ...]
    digest: str  # of the architecture
    macs: Count
    params: Count
    time: Seconds = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Retry:
    """A job failed by its machine's fault and is run again."""

    event: Literal["retry"] = "retry"
    trial: Count
    failure: Failure
    worker: str
    seconds: Seconds
    time: Seconds = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Outcome:
    """A trial's result and reward: what the controller is told."""

    event: Literal["outcome"] = "outcome"
    trial: Count
    accuracy: Share  # of the validation images; 0 when it failed
    reward: Finite
    curve: tuple[Share, ...] = ()  # accuracy after each epoch
    seconds: Seconds = 0.0
    worker: str = ""
    failure: Failure | None = None
    reused_from: Count | None = None  # the earlier trial of the same network, whose result this is
    time: Seconds = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Exhausted:
    """The controller had nothing left to propose: the search ends with fewer trials than it might have had."""

    event: Literal["exhausted"] = "exhausted"
    trials: Annotated[int, Field(ge=1)]
    time: Seconds = field(default_factory=time.time)


Record = Resumed | Ask | Retry | Outcome | Exhausted
_HEADER = TypeAdapter(Header)
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="event")])


def to_line(record: Header | Record) -> bytes:
    """Write a record as a journal's line."""
    return (_HEADER.dump_json(record) if isinstance(record, Header) else _RECORD.dump_json(record)) + b"\n"


class Log:
    """What a journal holds, by trial."""

    def __init__(self, run: Path, header: Header) -> None:
        self.run, self.header = run, header
        self.asks: dict[int, Ask] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.retries: list[Retry] = []
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
        return f"mnas resume {trust}{self.run}"

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

    def add(self, record: Record) -> None:
        """Take in one record.

        Raises:
            InputError: when it can't follow what is there.
        """
        if isinstance(record, Resumed):
            self.sessions.append(record.session)
        elif isinstance(record, Exhausted):
            if record.trials != len(self.asks):
                raise InputError(f"exhausted after {record.trials} trials, where {len(self.asks)} were asked")
            self.exhausted = record.trials
        elif isinstance(record, Ask):
            if self.exhausted is not None:
                raise InputError(f"trial {record.trial} is asked of an exhausted space")
            if record.trial != len(self.asks):
                raise InputError(f"trial {record.trial} is asked where {len(self.asks)} is next")
            self.asks[record.trial] = record
        elif record.trial not in self.asks or record.trial in self.outcomes:
            raise InputError(f"{record.event} of trial {record.trial}, which is not running")
        elif isinstance(record, Retry):
            self.retries.append(record)
        elif record.reused_from is not None and record.reused_from not in self.outcomes:
            raise InputError(f"trial {record.trial} is said to reuse {record.reused_from}, which has no outcome")
        else:
            self.outcomes[record.trial] = record


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def has_begun(run: Path) -> bool:
    """Say whether a search was begun in `run`: whether its journal has a whole line."""
    path = run / NAME
    return path.is_file() and b"\n" in path.read_bytes()


def read(run: Path) -> Log:
    """Read a run's journal, of a finished search or beside a running one.

    Raises:
        InputError: when there is none, or a line of it can't be read.
    """
    path = run / NAME
    if (run / TRAINING).is_file():
        raise InputError(f"{run}: a training; takes the run directory of a search")
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{run}: no run directory; it holds no {NAME}") from None
    *lines, torn = content.split(b"\n")
    if not lines:
        raise InputError(f"{path}: empty; nothing was searched here yet")
    log = _begin(run, lines[0])
    for number, line in enumerate(lines[1:], start=2):
        try:
            log.add(_RECORD.validate_json(line))
        except ValidationError as error:
            raise InputError(f"{path}, line {number}: {_why(error)}") from None
        except InputError as error:
            raise error.at(f"{path}, line {number}: ") from None
    log.size = len(content) - len(torn)
    return log


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
        log = Log(run, _HEADER.validate_json(line))
    except ValidationError as error:
        raise InputError(f"{path}, line 1: {_why(error)}") from None
    except InputError as error:
        raise error.at(f"{path}, line 1: ") from None
    if log.config().digest != log.header.config_digest:
        raise InputError(f"{path}, line 1: the configuration was changed after the search had begun")
    return log
