"""The journal: append-only JSON lines, the only state of a search.

`RUN/journal.jsonl` begins with a header (the configuration, the space as data, the versions) and then
tells what happened, in order: a trial was asked, a job was tried again, a trial has its outcome, the
search was resumed. A line is on the disk before the search goes on. Nothing in it is code.

A last line without its newline was cut off by a crash and is forgotten. Any other line that can't be
read is an error that names it: guessing would teach the controller something that did not happen.
"""

import contextlib
import fcntl
import json
import os
import platform
import socket
import time
from dataclasses import asdict, field
from importlib import metadata
from pathlib import Path
from typing import IO, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mnas import __version__
from mnas.config import Config
from search_space.errors import InputError
from search_space.space import Space

FORMAT = 1
NAME = "journal.jsonl"
_STRICT = ConfigDict(strict=True, extra="forbid")


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
    time: float = field(default_factory=time.time)  # seconds since 1970


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
    trial: int
    genotype: tuple[int, ...]
    digest: str  # of the architecture
    macs: int
    params: int
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Fault:
    """Why a job brought no accuracy; see `runners.base.Failure`."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Retry:
    """A job failed by its machine's fault and is run again."""

    event: Literal["retry"] = "retry"
    trial: int
    failure: Fault
    worker: str
    seconds: float
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Outcome:
    """A trial's result and reward: what the controller is told."""

    event: Literal["outcome"] = "outcome"
    trial: int
    accuracy: float  # on the validation images, 0 to 1; 0 when it failed
    reward: float
    curve: tuple[float, ...] = ()  # accuracy after each epoch
    seconds: float = 0.0
    worker: str = ""
    failure: Fault | None = None
    reused_from: int | None = None  # the earlier trial of the same network, whose result this is
    time: float = field(default_factory=time.time)


Record = Resumed | Ask | Retry | Outcome
_HEADER = TypeAdapter(Header)
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="event")])


class Log:
    """What a journal holds, by trial."""

    def __init__(self, run: Path, header: Header) -> None:
        self.run, self.header = run, header
        self.asks: dict[int, Ask] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.retries: list[Retry] = []
        self.sessions = [header.session]
        self.size = 0  # bytes of whole lines

    @property
    def trials(self) -> int:
        """How many trials the search is to have."""
        return self.config().settings().trials

    def config(self, *, trusted: bool = False) -> Config:
        """Return the run's configuration; it came with the run, so it may not name code of its own."""
        return Config(self.header.config, trusted)

    def space(self) -> Space:
        """Return the space that the genotypes belong to, from the header's own data."""
        return Space.from_json(self.header.space)

    def add(self, record: Record) -> None:
        """Take in one record.

        Raises:
            InputError: when it can't follow what is there.
        """
        if isinstance(record, Resumed):
            self.sessions.append(record.session)
        elif isinstance(record, Ask):
            if record.trial != len(self.asks):
                raise InputError(f"trial {record.trial} is asked where {len(self.asks)} is next")
            self.asks[record.trial] = record
        elif record.trial not in self.asks or record.trial in self.outcomes:
            raise InputError(f"{record.event} of trial {record.trial}, which is not running")
        elif isinstance(record, Retry):
            self.retries.append(record)
        else:
            self.outcomes[record.trial] = record


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def read(run: Path) -> Log:
    """Read a run's journal, of a finished search or beside a running one.

    Raises:
        InputError: when there is none, or a line of it can't be read.
    """
    path = run / NAME
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{run}: no run directory; it holds no {NAME}") from None
    *lines, _torn = content.split(b"\n")
    if not lines:
        raise InputError(f"{path}: empty; nothing was searched here yet")
    log = Log(run, _read_header(path, lines[0]))
    for number, line in enumerate(lines[1:], start=2):
        try:
            log.add(_RECORD.validate_json(line))
        except ValidationError as error:
            raise InputError(f"{path}, line {number}: {_why(error)}") from None
        except InputError as error:
            raise error.at(f"{path}, line {number}: ") from None
    log.size = len(content) - len(_torn)
    return log


def _read_header(path: Path, line: bytes) -> Header:
    try:
        data = json.loads(line)
    except ValueError:
        raise InputError(f"{path}, line 1: not a journal of mnas") from None
    if not isinstance(data, dict) or data.get("event") != "search":
        raise InputError(f"{path}, line 1: not a journal of mnas")
    if data.get("format") != FORMAT:
        session = data.get("session")
        versions = session.get("versions", {}) if isinstance(session, dict) else {}
        by = f", written by mnas {versions['mnas']}" if isinstance(versions, dict) and "mnas" in versions else ""
        raise InputError(f"{path}: journal format {data.get('format')!r}{by}; mnas {__version__} reads format {FORMAT}")
    try:
        return _HEADER.validate_json(line)
    except ValidationError as error:
        raise InputError(f"{path}, line 1: {_why(error)}") from None


class Journal:
    """The one writer of a run's journal. Holds the run's lock until closed, or until its process dies."""

    def __init__(self, log: Log, file: IO[bytes], lock: IO[str]) -> None:
        self.log = log
        self._file, self._lock = file, lock

    @classmethod
    def create(cls, run: Path, config: Config, space: Space) -> Self:
        """Begin a new run directory.

        Raises:
            InputError: when the run has begun already, or the directory can't be written.
        """
        if (run / NAME).exists():
            raise InputError(f"{run}: a search was begun here; go on with it: mnas resume {run}")
        header = Header(config=config.tables, config_digest=config.digest, space=space.to_json())
        run.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as opened:
            lock = opened.enter_context(_locked(run))
            # The header is there whole or not at all.
            temporary = run / f"{NAME}.new"
            file = opened.enter_context(temporary.open("wb", buffering=0))
            journal = cls(Log(run, header), file, lock)
            try:
                journal._write(header)
            except OSError as error:
                temporary.unlink()
                raise InputError(f"{run}: {error.strerror}; nothing was begun") from None
            temporary.rename(run / NAME)
            _sync_directory(run)
            opened.pop_all()  # from here on the journal closes them
        return journal

    @classmethod
    def reopen(cls, run: Path) -> Self:
        """Go on with a run: lock it, read it, cut a torn last line off.

        Raises:
            InputError: when it is being written, or can't be read.
        """
        read(run)  # a directory that is no run gets no lock file
        with contextlib.ExitStack() as opened:
            lock = opened.enter_context(_locked(run))
            log = read(run)
            file = opened.enter_context((run / NAME).open("r+b", buffering=0))
            file.truncate(log.size)
            file.seek(log.size)
            opened.pop_all()
        return cls(log, file, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def append(self, record: Record) -> None:
        """Put a record on the disk, then into the log.

        Raises:
            InputError: when the disk takes no more.
        """
        try:
            self._write(record)
        except OSError as error:
            run = self.log.run
            raise InputError(
                f"{run / NAME}: {error.strerror}; what is written is kept: make room, then mnas resume {run}"
            ) from None
        self.log.add(record)

    def _write(self, record: Header | Record) -> None:
        line = json.dumps(asdict(record), allow_nan=False, separators=(",", ":")).encode() + b"\n"
        while line:
            line = line[self._file.write(line) :]
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Release the run."""
        self._file.close()
        self._lock.close()


def _locked(run: Path) -> IO[str]:
    """Take the run's lock, which the system releases when this process ends, however it ends."""
    lock = (run / "lock").open("a+")
    for patience in (0.1, 0.2, None):  # `is_running` may hold it for an instant
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if patience is None:
                lock.seek(0)
                holder = lock.read().strip()
                lock.close()
                raise InputError(f"{run}: process {holder} is writing this run") from None
            time.sleep(patience)
    lock.truncate(0)
    lock.write(f"{os.getpid()} on {socket.gethostname()}")
    lock.flush()
    return lock


def is_running(run: Path) -> bool:
    """Say whether some process holds the run's lock. Takes it for no longer than the question."""
    try:
        with (run / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
