"""How far a training is: its checkpoint's own words, which can be read without torch.

A checkpoint is one safetensors file that is replaced after each epoch; the record stands in its
head.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open

from search_space.errors import InputError

NAME = "checkpoint.safetensors"
KEY = "mnas_training"

_STRICT = ConfigDict(strict=True, extra="forbid")
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Epoch:
    """What one epoch brought."""

    loss: Annotated[
        float, Field(allow_inf_nan=False)
    ]  # mean over the epoch, of the network as it was then
    accuracy: Share  # of the validation images, after the epoch
    seconds: Positive  # that its training took, measuring left out
    images: Annotated[int, Field(gt=0)]  # seen in it

    @property
    def images_per_second(self) -> float:
        """How fast it trained."""
        return self.images / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Record:
    """A training so far."""

    digest: str  # of the architecture
    epochs: tuple[Epoch, ...] = ()
    test: Share | None = (
        None  # accuracy on the test images, which are read when all epochs are done
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where a training stands."""

    seen: int  # images, of the epoch that runs
    of: int  # images in an epoch
    epochs: int  # in all
    record: Record  # of those that are done


Tell = Callable[[Moment], None]

_RECORD = TypeAdapter(Record)


def to_json(record: Record) -> str:
    """Write a record as JSON."""
    return _RECORD.dump_json(record).decode()


def from_json(text: str) -> Record:
    """Read what `to_json` wrote.

    Raises:
        InputError: when it is something else.
    """
    try:
        return _RECORD.validate_json(text)
    except ValidationError:
        raise InputError("no record of a training") from None


def read(folder: Path, digest: str) -> Record:
    """Read the record of the checkpoint in `folder`; where there is none, nothing was trained yet.

    Raises:
        InputError: when it can't be read, or is of another network than `digest`.
    """
    path = folder / NAME
    if not path.exists():
        return Record(digest=digest)
    try:
        with safe_open(path, "numpy") as file:
            record = from_json((file.metadata() or {}).get(KEY, ""))
    except (SafetensorError, OSError, InputError):
        raise InputError(f"{path}: no checkpoint of a training") from None
    if record.digest != digest:
        raise InputError(f"{path}: of the network {record.digest}; this one is {digest}")
    return record
