"""What a process keeps of the memory that it frees, and by which allocator."""

import contextlib
import ctypes
import os
import subprocess
import sys

import pytest

from runners import Job, Result, Runner
from runners.cluster.runner import RayRunner
from runners.local import local
from runners.memory import allocator, beginning_with
from tests.conftest import ROOT
from tests.stand_in import Arithmetic
from tests.test_runners import run

PROGRAM = """
import sys
import torch
from pathlib import Path
from runners.memory import keep_freed

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6  # MB

if sys.argv[1] == "keep":
    keep_freed()
before = held()
blocks = [torch.ones(5_000_000) for _ in range(10)]  # 200 MB
del blocks
print(held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is kept")
@pytest.mark.parametrize(("how", "least", "most"), [("keep", 150, 250), ("give back", -50, 50)])
def test_a_training_process_keeps_what_it_frees(how: str, least: float, most: float) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert least < float(done.stdout) < most


class Asking(Arithmetic):
    """Says whether jemalloc serves its process, and never gives back: accuracy 1."""

    def __call__(self, job: Job) -> Result:
        milliseconds, size = ctypes.c_ssize_t(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_ssize_t))
        ask = getattr(ctypes.CDLL(None), "mallctl", None)
        known = ask and not ask(
            b"opt.dirty_decay_ms", ctypes.byref(milliseconds), ctypes.byref(size), None, 0
        )
        return Result(job.trial, float(bool(known) and milliseconds.value == -1))


BROUGHT = pytest.mark.skipif(
    not allocator(), reason="ray brings no jemalloc here, or another allocator was chosen"
)


@BROUGHT
@pytest.mark.parametrize("name", ["two workers", "ray"])
def test_workers_begin_with_the_allocator_that_ray_brings_and_this_process_goes_on_with_its_own(
    name: str,
) -> None:
    asking = Asking()
    runner: Runner = (
        RayRunner(asking, address="local", workers=2) if name == "ray" else local(asking, workers=2)
    )
    try:
        assert run(runner, 4) == dict.fromkeys(range(4), (1.0, None))
    finally:
        runner.close()
    assert not {"LD_PRELOAD", "MALLOC_CONF"} & os.environ.keys()


@BROUGHT
@pytest.mark.parametrize("name", ["LD_PRELOAD", "MALLOC_CONF"])
def test_an_allocator_that_the_user_chose_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert allocator() == {}


def test_what_a_process_begins_with_is_taken_back_even_where_it_fails_to_begin() -> None:
    with contextlib.suppress(OSError), beginning_with({"MNAS_TEST": "1"}):
        assert subprocess.check_output(["printenv", "MNAS_TEST"]) == b"1\n"
        raise OSError("no such program")
    assert "MNAS_TEST" not in os.environ
