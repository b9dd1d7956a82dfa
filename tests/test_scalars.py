"""Scalars for TensorBoard: written when asked, each step once, through kills and resumes."""

from dataclasses import replace
from pathlib import Path

import pytest
from tensorboardX import proto

from mnas.analysis.vitals import lag
from mnas.config import Config
from mnas.engine.loop import resume, search
from mnas.engine.tensorboard import Scalars
from mnas.journal.directory import NAME
from mnas.journal.log import Log
from mnas.journal.reader import read
from mnas.journal.writer import Journal
from search_space import InputError, Space
from search_space.mnasnet import tiny
from tests.test_journal import ASK, OUTCOME
from tests.test_search import config


def asked(**table: object) -> Config:
    return Config(config(trials=20).tables | {"log": table or {"tensorboard": True}})


def steps(run: Path) -> list[tuple[str, int, float]]:
    """Read the event files back, in the order of their names: length, checksum, event, checksum."""
    found = []
    for path in sorted((run / "tensorboard").glob("events.*")):
        content = path.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            event = proto.event_pb2.Event.FromString(content[12 : 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            content = content[16 + length :]
    return found


def test_each_trial_is_a_step_of_each_scalar(tmp_path: Path) -> None:
    log = search(asked(), tmp_path / "run")
    found = steps(log.run)
    tags = {"reward", "reward/best_so_far", "accuracy", "macs", "lag", "entropy"}
    assert sorted(found, key=lambda each: each[:2]) == sorted(set(found), key=lambda each: each[:2])
    assert {(tag, step) for tag, step, _ in found} == {
        (tag, step) for tag in tags for step in range(20)
    }
    values = {(tag, step): value for tag, step, value in found}
    for trial, outcome in log.outcomes.items():
        assert values["reward", trial] == pytest.approx(outcome.reward)
        assert values["macs", trial] == pytest.approx(log.asks[trial].macs)
        assert values["lag", trial] == lag(log, trial)


def test_nothing_is_written_when_not_asked(tmp_path: Path) -> None:
    search(config(trials=5), tmp_path / "run")
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_going_on_writes_no_step_twice_and_leaves_none_out(tmp_path: Path) -> None:
    log: Log = search(asked(), tmp_path / "run")
    lines = (log.run / NAME).read_bytes().splitlines(keepends=True)
    (log.run / NAME).write_bytes(b"".join(lines[:25]))
    assert 0 < len(read(log.run).outcomes) < 20
    resume(log.run, trusted=True)
    found = [(tag, step) for tag, step, _ in steps(log.run)]
    assert len(found) == len(set(found)) == 6 * 20


def test_a_finished_search_gets_back_what_a_killed_process_still_held(tmp_path: Path) -> None:
    log = search(asked(), tmp_path / "run")
    (path,) = (log.run / "tensorboard").glob("events.*")
    path.write_bytes(path.read_bytes()[:500])
    resume(log.run)
    assert len(steps(log.run)) == 6 * 20


def test_a_space_without_a_decision_has_no_entropy(tmp_path: Path) -> None:
    only = Space(tiny().template, ())
    with Journal.create(tmp_path, asked(), only) as journal, Scalars(tmp_path) as scalars:
        journal.append(replace(ASK, genotype=()))
        journal.append(OUTCOME)
        scalars(journal.log)
    assert {tag for tag, _, _ in steps(tmp_path)} == {
        "reward",
        "reward/best_so_far",
        "accuracy",
        "macs",
        "lag",
    }


def test_a_strangers_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "events.out.tfevents.1").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="a link; takes a folder of this run's own"):
        search(asked(), tmp_path / "run")
    assert (tmp_path / "mine" / "events.out.tfevents.1").read_text() == "precious"


def test_the_table_takes_tensorboard_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"log.tensorbord: unknown \(did you mean tensorboard\?\)"):
        search(asked(tensorbord=True), tmp_path / "run")
    with pytest.raises(InputError, match=r"log.tensorboard: 1; takes true or false"):
        search(asked(tensorboard=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()
