"""The records of a journal: what a line of `RUN/journal.jsonl` may be. docs/journal.md says it for
people.

Nothing in them is code. A change that older versions would misread raises FORMAT.
"""

import os
import platform
import socket
import time
from dataclasses import field
from importlib import metadata
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from mnas.version import __version__
from runners import Failure

FORMAT = 1

_STRICT = ConfigDict(strict=True, extra="forbid")
Count = Annotated[int, Field(ge=0, lt=2**63)]
Price = Annotated[int, Field(ge=1, lt=2**63)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]+$")]  # printed as it is
Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]  # 30,000 years: sums of them are finite


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
    genotype: tuple[int, ...]  # numbers that the log checks with its space
    digest: Digest  # of the architecture
    macs: Price
    params: Price
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
    stopped_early: bool = False  # ended before its last epoch; the accuracy is what was expected
    reused_from: Count | None = None  # the earlier trial of the same network, whose result this is
    time: Seconds = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Exhausted:
    """The controller had nothing left to propose: the search ends with fewer trials than it might
    have had.
    """

    event: Literal["exhausted"] = "exhausted"
    trials: Annotated[int, Field(ge=1)]
    time: Seconds = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Confirmed:
    """A trial's network was trained again, after the search, with another seed; the controller is
    not told.
    """

    event: Literal["confirmed"] = "confirmed"
    trial: Count
    repeat: Count  # which of its further trainings
    accuracy: Share  # 0 when it failed
    reward: Finite
    curve: tuple[Share, ...] = ()
    seconds: Seconds = 0.0
    worker: str = ""
    failure: Failure | None = None
    time: Seconds = field(default_factory=time.time)


Record = Resumed | Ask | Retry | Outcome | Exhausted | Confirmed
HEADER = TypeAdapter(Header)
_Record = Annotated[Record, Field(discriminator="event")]
RECORD: TypeAdapter[Record] = TypeAdapter(_Record)
RECORDS: TypeAdapter[list[Record]] = TypeAdapter(list[_Record])


def to_line(record: Header | Record) -> bytes:
    """Write a record as a journal's line."""
    return (
        HEADER.dump_json(record) if isinstance(record, Header) else RECORD.dump_json(record)
    ) + b"\n"
