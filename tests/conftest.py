import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

# Each test process, and what it starts, has one core's worth of threads.
os.environ["OMP_NUM_THREADS"] = "1"

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; users do not have it."""
    found = ROOT.parent / "shared"
    if not (found / "data").is_dir():
        pytest.skip("needs ../shared/data, real data sets that are not part of the project")
    return found


def wait_for(condition: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
