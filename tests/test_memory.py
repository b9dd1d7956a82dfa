"""What a process keeps of the memory that it frees."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

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
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], cwd=ROOT, capture_output=True, text=True, check=True)
    assert least < float(done.stdout) < most
