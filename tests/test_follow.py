"""A live view beside a search that is killed and resumed: from the journal alone, never wrong,
never in the way.
"""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections import Counter
from pathlib import Path

import pytest

from mnas.analysis.vitals import RECENT, entropy, lag, vitals
from mnas.engine.loop import search
from mnas.journal.directory import NAME
from mnas.journal.log import Log
from mnas.journal.reader import Reader
from mnas.journal.records import Ask, Outcome, Resumed, Retry, Session
from mnas.journal.writer import Journal
from mnas.show import follow
from runners import Failure
from search_space import InputError
from tests.conftest import ROOT
from tests.test_journal import ASK, CONFIG, OUTCOME, SPACE
from tests.test_search import config

TRIALS = 120
TOML = f"""
search = {{trials = {TRIALS}, window = 4}}
space = {{name = "mnasnet-tiny"}}
controller = {{name = "evolution"}}
reward = {{target = 3e6}}
runner = {{workers = 0}}
proxy = {{name = "tests.stand_in:Arithmetic", sleep = 0.02}}
"""


def events(run: Path) -> Counter[str]:
    """Count the journal's whole lines, by another reader than ours."""
    *lines, _ = (run / NAME).read_bytes().split(b"\n")
    return Counter(json.loads(line)["event"] for line in lines)


def start(run: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Begin or go on with a search, and return when its journal has a line of it."""
    had = (run / NAME).stat().st_size if (run / NAME).exists() else 0
    command = [sys.executable, "-m", "mnas", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (run / NAME).exists() or (run / NAME).stat().st_size <= had:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_beside_a_search_that_is_killed_and_resumed_every_count_is_the_journals(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    (tmp_path / "run.toml").write_text(TOML)
    process = start(run, "search", str(tmp_path / "run.toml"), "--run", str(run))
    kill_at, stopped_for, states, seen = [25, 60, 90], 0, [], 0
    before = events(run)
    for log, found in follow.snapshots(run, 0.005):
        after = events(run)
        now = Counter(search=1, ask=found.asked, outcome=found.told, resume=len(log.sessions) - 1)
        assert all(before[event] <= now[event] <= after[event] for event in after), (
            before,
            now,
            after,
        )
        follow.view(log, found, 60)
        before, seen = now, seen + 1
        states += [found.state] if states[-1:] != [found.state] else []
        if kill_at and found.told >= kill_at[0]:
            kill_at.pop(0)
            process.send_signal(signal.SIGKILL)
            process.wait()
            with (run / NAME).open("ab") as journal:
                journal.write(
                    b'{"event":"outcome","tri'
                )  # as a write that was cut in the middle leaves it
            before = events(run)
        elif found.state == "stopped" and process.poll() is not None:
            stopped_for += 1
            if stopped_for % 5 == 0:
                process = start(run, "resume", "--trust", str(run))
    assert process.wait() == 0
    assert (found.told, found.state, found.lag) == (TRIALS, "finished", 0)
    assert Counter(states) == {"running": 4, "stopped": 3, "finished": 1}
    assert seen > 50


def test_a_log_read_as_it_grows_is_the_log_read_at_once(tmp_path: Path) -> None:
    whole = search(config(trials=30), tmp_path / "whole")
    content = (whole.run / NAME).read_bytes()
    grown = tmp_path / "grown"
    grown.mkdir()
    header = content.index(b"\n") + 1
    (grown / NAME).write_bytes(content[:header])
    reader = Reader(grown)
    for end in [*range(header, len(content), 777), len(content)]:
        (grown / NAME).write_bytes(content[:end])
        log = reader()
        assert log.size == content[:end].rfind(b"\n") + 1
    assert (log.asks, log.outcomes, log.size) == (whole.asks, whole.outcomes, len(content))


def test_a_line_longer_than_a_block_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(config(trials=5), tmp_path / "run")
    monkeypatch.setattr("mnas.journal.reader.BLOCK", 50)
    assert Reader(whole.run)().outcomes == whole.outcomes


def test_a_journal_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    log = search(config(trials=5), tmp_path / "run")
    reader = Reader(log.run)
    reader()
    os.truncate(log.run / NAME, log.size // 2)
    with pytest.raises(InputError, match="shorter than it was; another file has taken its place"):
        reader()


def test_a_line_that_can_not_be_read_the_second_time_either_is_an_error(tmp_path: Path) -> None:
    log = search(config(trials=5), tmp_path / "run")
    (log.run / NAME).write_bytes((log.run / NAME).read_bytes() + b"\0\0\0\n")
    with pytest.raises(InputError, match="line 12: "):
        list(follow.snapshots(log.run, 0.01))


def written(run: Path, *records: Ask | Outcome | Retry | Resumed) -> Log:
    with Journal.create(run, CONFIG, SPACE) as journal:
        for record in records:
            journal.append(record)
    return journal.log


def test_a_search_of_another_machine_is_silent_after_a_while_not_stopped(tmp_path: Path) -> None:
    log = written(
        tmp_path / "run", Resumed(session=Session(host="elsewhere", time=100.0)), ASK, OUTCOME
    )
    assert vitals(log, now=130.0).state == "running"
    assert vitals(log, now=1000.0).state == "silent"
    assert "Nothing written for a while" in "\n".join(follow.view(log, vitals(log, now=1000.0), 60))


def test_a_process_that_has_the_number_of_one_that_ended_is_not_it(tmp_path: Path) -> None:
    log = written(tmp_path / "run", Resumed(session=Session(time=1.0)), ASK)
    assert vitals(log).state == "stopped"
    assert vitals(written(tmp_path / "other", ASK)).state == "running"


def test_a_process_is_as_old_as_it_is_whenever_it_is_looked_at_first(tmp_path: Path) -> None:
    begun = time.time()
    with subprocess.Popen(["sleep", "60"]) as process:
        time.sleep(1.5)
        for since, state in ((begun, "running"), (begun - 5, "stopped")):
            session = Resumed(session=Session(pid=process.pid, time=since))
            assert vitals(written(tmp_path / state, session, ASK)).state == state
        process.kill()


def test_pace_and_time_left_are_of_this_session(tmp_path: Path) -> None:
    asks = [
        Ask(trial=n, genotype=(0,) * 30, digest=str(n), macs=5, params=7, time=50.0 + n)
        for n in range(3)
    ]
    old = Outcome(trial=0, accuracy=0.5, reward=0.4, worker="0", time=60.0)
    new = Outcome(trial=1, accuracy=0.5, reward=0.4, worker="1", time=1020.0)
    session = Resumed(session=Session(host="elsewhere", time=1000.0))
    found = vitals(written(tmp_path / "run", *asks, old, session, new), now=1021.0)
    assert (found.per_hour, found.seconds_left, found.workers, found.busy) == (180.0, 20.0, 1, 1)


def test_entropy_is_one_of_uniform_answers_and_zero_of_one_answer(tmp_path: Path) -> None:
    log = search(config(trials=200, controller={"name": "random"}), tmp_path / "run")
    assert 0.95 < (entropy(log) or 0) <= 1
    assert entropy(log, 1) == 0.0
    for trial in range(200 - RECENT, 200):
        log.asks[trial] = log.asks[100]
    assert entropy(log) == 0.0


def test_lag_is_the_window_until_nothing_is_left_to_ask(tmp_path: Path) -> None:
    """Where each trial ends before the next one begins."""
    log = search(config(trials=30, controller={"name": "random"}), tmp_path / "run")
    lags = [lag(log, trial) for trial in range(30)]
    assert lags == [3] * 27 + [2, 1, 0]


def shown(terminal: int) -> str:
    text = b""
    while True:
        try:
            text += os.read(terminal, 65536)
        except OSError:  # the other side is closed
            return text.decode()


def test_a_narrow_terminal_is_drawn_on_in_place(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (tmp_path / "run.toml").write_text(TOML)
    process = start(run, "search", str(tmp_path / "run.toml"), "--run", str(run))
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (30, 60))
    environment = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")
    }
    command = [sys.executable, "-m", "mnas", "inspect", str(run), "--follow"]
    view = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=inside, stderr=inside)
    os.close(inside)
    text = shown(terminal)
    os.close(terminal)
    assert (view.wait(), process.wait()) == (0, 0)
    drawn = re.split(r"\x1b\[\d+A\r\x1b\[J|\r\x1b\[J", text)[1:]
    assert len(drawn) > 1
    assert all(len(line) < 60 for each in drawn for line in each.splitlines())
    assert "100%" in drawn[-1]
    assert re.search(r"best so far [▁-█]+ 0\.\d{4}", drawn[-1])
    assert "controller entropy 0." in drawn[-1]


def test_elsewhere_each_change_is_a_plain_line(tmp_path: Path) -> None:
    log = search(config(trials=8), tmp_path / "run")
    out = io.StringIO()
    follow.follow(log.run, out=out)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d finished, 8 of 8 trials done, best \d\.\d{4} \(trial \d\)\n",
        out.getvalue(),
    )


def test_failures_retries_and_how_to_go_on_are_said(tmp_path: Path) -> None:
    records = [
        Resumed(session=Session(time=1.0)),
        ASK,
        Retry(trial=0, failure=Failure("worker-died", "-9"), worker="0", seconds=1.0),
        Outcome(trial=0, accuracy=0.0, reward=0.0, failure=Failure("diverged", "nan"), worker="0"),
    ]
    log = written(tmp_path / "run", *records)
    text = "\n".join(follow.view(log, vitals(log), 60))
    assert "1 retries, 1 failed (diverged 1)" in text
    assert f"Stopped; go on with:mnas resume {log.run}" in text.replace("\n", "")


def test_ctrl_c_ends_the_view_quietly(tmp_path: Path) -> None:
    run = written(tmp_path / "run", ASK).run
    command = [sys.executable, "-m", "mnas", "inspect", str(run), "--follow"]
    view = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert view.stdout
    view.stdout.readline()
    view.send_signal(signal.SIGINT)
    _, errors = view.communicate(timeout=30)
    assert (view.returncode, errors.strip()) == (130, "")


@pytest.mark.parametrize(
    ("values", "drawn"), [([1.0, 2.0, 3.0], "▁▅█"), ([2.0, 2.0], "▁▁"), ([0.0, 7.0], "▁█")]
)
def test_a_sparkline_goes_from_the_least_to_the_greatest(values: list[float], drawn: str) -> None:
    assert follow.sparkline(values) == drawn
