import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.config import Config
from mnas.journal import directory
from mnas.journal.directory import is_running
from mnas.journal.reader import Reader, read
from mnas.journal.records import Ask, Header, Outcome, Retry, to_line
from mnas.journal.writer import Journal
from runners import Failure
from search_space import Decision, InputError, Space
from search_space.mnasnet import tiny
from tests.conftest import ROOT
from tests.stand_in import few

SPACE = tiny()
CONFIG = Config(
    {"search": {"trials": 3}, "space": {"name": "mnasnet-tiny"}, "reward": {"target": 3e6}}
)
ASK = Ask(trial=0, genotype=(0,) * 30, digest="d", macs=5, params=7, time=1.0)
OUTCOME = Outcome(
    trial=0, accuracy=0.5, reward=0.4, curve=(0.25, 0.5), seconds=2.0, worker="1", time=2.0
)


_RETRY = (
    '{"event": "retry", "trial": 0, "failure": {"kind": "machine", "message": ""}, '
    '"seconds": 1, "worker": "%s"}'
)


def _asked(**changed: object) -> str:
    return json.dumps(
        {"event": "ask", "trial": 1, "genotype": [0] * 30, "digest": "d", "macs": 5, "params": 7}
        | changed
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    written = Journal.create(tmp_path / "run", CONFIG, SPACE)
    for record in (
        ASK,
        Retry(trial=0, failure=Failure(kind="worker-died", message="-9"), worker="0", seconds=1.0),
    ):
        written.append(record)
    written.append(OUTCOME)
    written.close()
    return tmp_path / "run"


def test_what_is_written_reads_back(run: Path) -> None:
    log = read(run)
    assert log.asks == {0: ASK}
    assert log.outcomes == {0: OUTCOME}
    assert [retry.failure.kind for retry in log.retries] == ["worker-died"]
    assert log.header.config == CONFIG.tables
    assert log.header.config_digest == CONFIG.digest
    assert log.space == SPACE
    assert {"mnas", "python", "torch", "numpy", "ray"} == log.header.session.versions.keys()


def test_each_line_is_json_that_other_tools_read(run: Path) -> None:
    events = [
        json.loads(line)["event"] for line in (run / "journal.jsonl").read_text().splitlines()
    ]
    assert events == ["search", "ask", "retry", "outcome"]


def test_a_line_can_be_read_by_others_when_append_returns(tmp_path: Path) -> None:
    written = Journal.create(tmp_path / "run", CONFIG, SPACE)
    written.append(ASK)
    assert read(tmp_path / "run").asks == {0: ASK}
    written.close()


def test_going_on_appends(run: Path) -> None:
    written = Journal.reopen(run)
    written.append(Ask(trial=1, genotype=(1,) * 30, digest="e", macs=1, params=1))
    written.append(Ask(trial=2, genotype=(1,) * 30, digest="f", macs=1, params=1))
    written.close()
    log = read(run)
    assert sorted(log.asks) == [0, 1, 2]
    assert len(log.sessions) == 2


def test_a_torn_last_line_is_forgotten_and_written_over(run: Path) -> None:
    path = run / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert read(run).outcomes == {}
    written = Journal.reopen(run)
    written.append(OUTCOME)
    written.close()
    assert read(run).outcomes == {0: OUTCOME}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"event": "ask"', "line 3: "),
        ('{"event": "dance"}', "line 3: "),
        ('{"event": "ask", "trial": "one"}', "line 3: ask.trial: "),
        (
            '{"event": "outcome", "trial": 7, "accuracy": 0.5, "reward": 0.5}',
            "outcome of trial 7, which is not running",
        ),
        (
            '{"event": "ask", "trial": 4, "genotype": [], "digest": "d", "macs": 1, "params": 1}',
            "trial 4 is asked where 1",
        ),
        (_asked(genotype=[0] * 29), "line 3: genotype: 29 numbers; this space asks 30 decisions"),
        (_asked(genotype=[99] * 30), "line 3: genotype.stage1.op: 99; takes 0 to"),
        (_asked(genotype=[-1] * 30), "line 3: genotype.stage1.op: -1; takes 0 to"),
        (_asked(macs=0), "line 3: ask.macs: "),
        (_asked(digest="\x1b[31m"), "line 3: ask.digest: "),
        (_asked(time=1e308), "line 3: ask.time: "),
        # Two lines that make one record together, and one that holds two.
        (
            f"{_RETRY % '}{'}\n{_RETRY % 0},{_RETRY % 0}".replace("}{", "}\n{"),
            "line 3: Invalid JSON",
        ),
        ("", "line 3: "),
        ('{"event": "exhausted", "trials": 1}, {"event": "exhausted", "trials": 1}', "line 3: "),
        ('{"event": "exhausted"\n"trials": 1}', "line 3: "),
        (
            '{"event": "outcome", "trial": 0, "accuracy": 1.5, "reward": 0.5}',
            "line 3: outcome.accuracy: ",
        ),
        ('{"event": "outcome", "trial": 0, "accuracy": 0.5, "reward": NaN}', "line 3: "),
        (
            '{"event": "outcome", "trial": 0, "accuracy": 0.5, "reward": 0.5, "reused_from": 9}',
            "line 3: trial 0 is said to reuse 9, which has no outcome",
        ),
    ],
)
def test_a_broken_inner_line_is_an_error_that_names_it(run: Path, line: str, says: str) -> None:
    path = run / "journal.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n")
    with pytest.raises(InputError) as caught:
        read(run)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reading_leaves_the_garbage_collector_as_it_was(run: Path) -> None:
    """In a notebook, and in a process that follows a search for days."""
    frozen = gc.get_freeze_count()
    read(run)
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


@given(st.lists(st.lists(st.integers(-2, 4), min_size=1, max_size=3), max_size=4), st.booleans())
def test_just_the_genotypes_that_can_be_decoded_are_read(
    genotypes: list[list[int]], broken: bool
) -> None:
    """With a broken line behind them, too, for which the lines are read one by one."""
    space = few()
    lines = [_asked(trial=trial, genotype=genotype) for trial, genotype in enumerate(genotypes)] + [
        "{"
    ] * broken
    header = to_line(
        Header(config=CONFIG.tables, config_digest=CONFIG.digest, space=space.to_json())
    )
    wrong = [place for place, genotype in enumerate(genotypes) if not _is_of(space, genotype)]
    wrong += [len(genotypes)] * broken
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "journal.jsonl").write_bytes(
            header + "".join(f"{line}\n" for line in lines).encode()
        )
        reader = Reader(Path(folder))
        for _ in range(2 * bool(wrong)):  # who looks again is told the same
            with pytest.raises(InputError, match=f"line {wrong[0] + 2}: "):
                reader()
        if not wrong:
            assert [list(ask.genotype) for ask in reader().asks.values()] == genotypes


def _is_of(space: Space, genotype: list[int]) -> bool:
    try:
        space.decode(tuple(genotype))
    except InputError:
        return False
    return True


def test_a_decision_may_have_more_choices_than_a_byte(tmp_path: Path) -> None:
    wide = Space(SPACE.template, (Decision(1, "channels", tuple(range(8, 308))),))
    with Journal.create(tmp_path / "run", CONFIG, wide) as journal:
        for trial, answer in enumerate((255, 256, 299)):
            journal.append(Ask(trial=trial, genotype=(answer,), digest="d", macs=5, params=7))
    assert [ask.genotype for ask in read(tmp_path / "run").asks.values()] == [
        (255,),
        (256,),
        (299,),
    ]
    with (tmp_path / "run" / "journal.jsonl").open("a") as file:
        file.write(_asked(trial=3, genotype=[300]) + "\n")
    with pytest.raises(InputError, match=r"line 5: genotype.stage1.channels: 300; takes 0 to 299"):
        read(tmp_path / "run")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty; nothing was searched here yet"),
        ("hello\nworld\n", "line 1: not a journal of mnas"),
        ("[1]\n", "line 1: not a journal of mnas"),
        ('{"event": "search", "format": 1}\n', "line 1: config: "),
        (
            '{"event": "search", "format": 9, "session": {"versions": {"mnas": "7.0"}}}\n',
            "journal format 9, written by mnas 7.0; mnas 0.1.0 reads format 1",
        ),
    ],
)
def test_what_is_no_journal_of_this_version_is_refused(
    tmp_path: Path, content: str, says: str
) -> None:
    (tmp_path / "journal.jsonl").write_text(content)
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert says in str(caught.value)


def test_what_is_no_run_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"no run directory; it holds no journal.jsonl"):
            Journal.reopen(path)
    assert list(tmp_path.iterdir()) == []


def test_a_second_search_in_a_run_directory_is_refused(run: Path) -> None:
    before = (run / "journal.jsonl").read_bytes()
    with pytest.raises(
        InputError, match=f"a search was begun here; go on with it: mnas resume {run}"
    ):
        Journal.create(run, CONFIG, SPACE)
    assert (run / "journal.jsonl").read_bytes() == before


def test_one_writer_at_a_time(run: Path) -> None:
    written = Journal.reopen(run)
    assert is_running(run)
    with pytest.raises(InputError, match=f"process {os.getpid()} on .* is writing this run"):
        Journal.reopen(run)
    written.close()
    assert not is_running(run)
    Journal.reopen(run).close()


def test_a_writer_whose_run_was_taken_over_stops_where_locks_did_not_hold(run: Path) -> None:
    # As on storage that does not share its locks: the other one never saw ours.
    with Journal.reopen(run) as ours:
        (run / "lock").unlink()
        with Journal.reopen(run) as theirs:
            theirs.append(
                Ask(trial=len(theirs.log.asks), genotype=(0,) * 30, digest="a", macs=1, params=1)
            )
            whole = (run / "journal.jsonl").read_bytes()
            with pytest.raises(InputError, match="another process writes it; this one stops"):
                ours.append(
                    Ask(trial=len(ours.log.asks), genotype=(0,) * 30, digest="a", macs=1, params=1)
                )
    assert (run / "journal.jsonl").read_bytes() == whole


def test_the_lock_of_a_killed_process_is_free(run: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from mnas.journal.writer import Journal
held = Journal.reopen(Path({str(run)!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == -9
    Journal.reopen(run).close()


def test_a_full_disk_is_one_error_and_loses_nothing(run: Path) -> None:
    """A real ENOSPC: the journal's path leads to /dev/full."""
    written = Journal.reopen(run)
    with Path("/dev/full").open("wb", buffering=0) as full:
        kept, written._file = written._file, full
        written._pending = None
        with pytest.raises(
            InputError, match=f"No space left on device; what is written is kept.*mnas resume {run}"
        ):
            written.append(Ask(trial=1, genotype=(1,) * 30, digest="e", macs=1, params=1))
    assert sorted(written.log.asks) == [0]
    kept.close()
    written.close()
    assert sorted(read(run).asks) == [0]


def test_a_disk_that_fills_in_the_middle_of_a_line_leaves_a_run_that_goes_on(
    tmp_path: Path,
) -> None:
    """A real limit on the file's size stops the write half way through a record."""
    program = f"""
import resource, signal
from pathlib import Path
from mnas.journal.writer import Journal
from mnas.journal.log import Ask
from tests.test_journal import CONFIG, SPACE
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal.create(Path({str(tmp_path / "run")!r}), CONFIG, SPACE)
size = (Path({str(tmp_path / "run")!r}) / "journal.jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300, size + 300))
for trial in range(9):
    journal.append(Ask(trial=trial, genotype=(0,) * 30, digest="d", macs=5, params=7))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert "File too large; what is written is kept" in ended.stderr
    log = read(tmp_path / "run")
    whole = (tmp_path / "run" / "journal.jsonl").read_bytes()
    assert 0 < len(log.asks) < 9
    assert log.size < len(whole)  # the torn line is there
    Journal.reopen(tmp_path / "run").close()
    assert read(tmp_path / "run").asks == log.asks


def test_a_changed_configuration_is_refused(run: Path) -> None:
    path = run / "journal.jsonl"
    path.write_text(path.read_text().replace('"trials":3', '"trials":4', 1))
    with pytest.raises(
        InputError, match="line 1: the configuration was changed after the search had begun"
    ):
        read(run)


@pytest.mark.parametrize("name", ["lock", "journal.jsonl"])
def test_a_strangers_links_are_not_written_through(run: Path, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(
        (run / "journal.jsonl").read_bytes() if name == "journal.jsonl" else b"precious"
    )
    before = mine.read_bytes()
    (run / name).unlink()
    (run / name).symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"):
        Journal.reopen(run)
    assert mine.read_bytes() == before


def test_a_search_that_was_begun_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone quicker begins between our look and our lock."""
    from mnas.journal import writer as journal

    taken = directory.locked

    def slow(run: Path) -> object:
        monkeypatch.setattr(journal, "locked", taken)
        Journal.create(run, CONFIG, SPACE).close()
        return taken(run)

    monkeypatch.setattr(journal, "locked", slow)
    with pytest.raises(InputError, match="a search was begun here"):
        Journal.create(tmp_path / "run", CONFIG, SPACE)


def test_a_journal_that_was_cut_inside_its_header_can_be_begun_again(run: Path) -> None:
    path = run / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="empty; nothing was searched here yet"):
        Journal.reopen(run)
    Journal.create(run, CONFIG, SPACE).close()
    assert read(run).asks == {}
