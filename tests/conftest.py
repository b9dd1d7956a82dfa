import os
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
