"""Full training of networks that leave the search: their run directory, from begin to test
accuracy.

`RUN/training.json` says what is trained and how, and is written once. Each network has a folder of
its own: a checkpoint while it trains, its spec and its weights (of the running average, where there
is one) when it is done. MnasNet and EfficientNet train the best trials of a search fully and choose
among those: `trials` takes them, and `mnas.show.training` says how the proxy task had ranked them.
"""

import contextlib
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnas.analysis.recommend import promising
from mnas.config import Config
from mnas.export import spec as export
from mnas.export.trial import trial_spec
from mnas.journal.directory import TRAINING, locked, refuse_begun
from mnas.journal.log import Log
from mnas.journal.records import Session
from mnas.version import __version__
from runners import checkpoint
from runners.base import Train
from runners.checkpoint import Moment, Record
from search_space import InputError
from search_space.errors import require

FORMAT = "mnas-training"
VERSION = 1

Progress = Callable[[str, Moment], None]


@dataclass(frozen=True, slots=True)
class Member:
    """One network of a training."""

    folder: Path
    spec: dict[str, Any]  # as it came

    @property
    def name(self) -> str:
        """Its spec's."""
        return str(self.spec["name"])

    @property
    def weights(self) -> Path:
        """Where its weights are when it is done."""
        return self.folder / "weights.safetensors"

    @property
    def finished(self) -> Path:
        """Where its spec with the accuracies of the training is when it is done."""
        return self.folder / "spec.json"

    @property
    def trained(self) -> bool:
        """Whether it is done."""
        return self.finished.is_file()

    @property
    def record(self) -> Record:
        """How far it is.

        Raises:
            InputError: when that can't be read.
        """
        if not self.trained:
            return checkpoint.read(self.folder, self.spec["digest"])
        try:
            record = checkpoint.from_json(json.dumps(export.read(self.finished).get("training")))
        except InputError as error:
            raise error.at(f"{self.finished}: training: ") from None
        if not record.epochs:
            raise InputError(
                f"{self.finished}: training: no epoch, and yet it is done; edited by hand?"
            )
        return record


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A training's run directory."""

    run: Path
    config: Config
    epochs: int
    members: tuple[Member, ...]

    @property
    def resume_command(self) -> str:
        """What to type to go on with it."""
        return f"mnas resume {'--trust ' if self.config.names_outside_code else ''}{self.run}"

    @property
    def best(self) -> Member:
        """The network of highest validation accuracy among those that are done: the test images
        choose nothing.

        Raises:
            InputError: when none is done.
        """
        done = [member for member in self.members if member.trained]
        if not done:
            raise InputError(
                f"{self.run}: no network is trained to the end "
                f"yet; go on with: {self.resume_command}"
            )
        return max(done, key=lambda member: member.record.epochs[-1].accuracy)


def is_one(run: Path) -> bool:
    """Say whether a directory is a training's."""
    return (run / TRAINING).is_file()


def read(run: Path, *, trusted: bool = False) -> TrainingRun:
    """Read a training's directory, finished or not.

    Raises:
        InputError: when it can't be read.
    """
    path = run / TRAINING
    data = export.read_json(path, "a training")
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
        raise InputError(f"{path}: no training that mnas {__version__} reads")
    specs, epochs, tables = data.get("networks"), data.get("epochs"), data.get("config")
    if not isinstance(specs, list) or not isinstance(epochs, int) or not isinstance(tables, dict):
        raise InputError(f"{path}: takes config, epochs and networks")
    try:
        members = tuple(Member(run / export.checked(spec)["name"], spec) for spec in specs)
    except InputError as error:
        raise error.at(f"{path}: networks: ") from None
    return TrainingRun(run, Config(tables, trusted), epochs, members)


def trials(log: Log, top: int) -> list[dict[str, Any]]:
    """Return the specs of a search's most promising networks, the best first.

    Raises:
        InputError: when there are fewer.
    """
    found = promising(log, top)
    require(
        len(found) == top,
        "top",
        top,
        f"1 to {len(found)}, the networks of {log.run} that have an accuracy",
    )
    return [trial_spec(log, row.trial) for row in found]


def begin(
    config: Config, specs: Sequence[dict[str, Any]], run: Path, progress: Progress
) -> TrainingRun:
    """Train networks, one after the other, in a new run directory.

    Their classifiers and stems are fitted to the data's classes and channels.

    Raises:
        InputError: when the configuration can't be, the run exists, or the disk is full.
        KeyboardInterrupt: on Ctrl-C; what the last checkpoints hold stays, for `resume`.
    """
    refuse_begun(run)
    task = config.training()
    fitted = [
        {**spec, **export.spec(task.fitted(export.architecture(spec)), spec["name"])}
        for spec in specs
    ]
    names = [spec["name"] for spec in fitted]
    require(
        len(set(names)) == len(names), "networks", ", ".join(names), "a name of its own for each"
    )
    content = {
        "format": FORMAT,
        "version": VERSION,
        "config": config.tables,
        "epochs": task.epochs,
        "session": asdict(Session()),
        "networks": fitted,
    }
    run.mkdir(parents=True, exist_ok=True)
    with locked(run):
        refuse_begun(run)  # by someone who was quicker
        export.write(run / TRAINING, content)
        return _carry_on(read(run, trusted=True), task, progress)


def resume(run: Path, progress: Progress, *, trusted: bool = False) -> TrainingRun:
    """Go on with a training from its last checkpoint; a finished one is returned as it is.

    Raises:
        InputError: when it can't be read, or is running.
        KeyboardInterrupt: as in `begin`.
    """
    with locked(run):
        training = read(run, trusted=trusted)
        if all(member.trained for member in training.members):
            return training
        return _carry_on(training, training.config.training(), progress)


def _carry_on(training: TrainingRun, task: Train, progress: Progress) -> TrainingRun:
    for member in training.members:
        if member.trained:
            continue
        if member.folder.is_symlink():
            raise InputError(
                f"{member.folder}: a link; a run directory's files may not lead elsewhere"
            )
        try:
            task(
                export.architecture(member.spec),
                member.folder,
                functools.partial(progress, member.name),
            )
        except InputError as error:
            raise error.at(f"{member.name}: ") from None
        _finish(training, member)
    return training


def _finish(training: TrainingRun, member: Member) -> None:
    """Turn the last checkpoint of a network into its weights and its spec."""
    from mnas.export import weights  # torch: seconds

    record = member.record
    weights.from_checkpoint(
        export.architecture(member.spec), member.folder / checkpoint.NAME, member.weights
    )
    curve = [epoch.accuracy for epoch in record.epochs]
    more = {
        "accuracy": {"validation": curve[-1], "test": record.test, "curve": curve},
        "training": json.loads(checkpoint.to_json(record)),
        "provenance": {
            "run": str(training.run.resolve()),
            "config": training.config.tables,
            "spec": member.spec,
        },
    }
    made = export.spec(export.architecture(member.spec), member.name, **more)
    export.write(member.finished, made)
    with contextlib.suppress(OSError):
        (member.folder / checkpoint.NAME).unlink()
