"""How long the verbs that train nothing take to answer, beside an empty Python and `import torch`.

    python benchmarks/startup.py [--rounds 7]

Whole processes, interleaved, the median of each, in seconds and as a share of `import torch`.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
from tabulate import tabulate

from mnas.cli.group import Command

ROOT = Path(__file__).parent.parent


def _seconds(arguments: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begun


@click.command(cls=Command)
@click.option("--rounds", default=7, show_default=True, help="Processes of each kind.")
def main(rounds: int) -> None:
    """Time the verbs."""
    with tempfile.TemporaryDirectory() as folder:
        spec = str(Path(folder) / "b0.json")
        kinds = {
            "import torch": ["-c", "import torch"],
            "python": ["-c", "pass"],
            "import mnas": ["-c", "import mnas"],
            "mnas --help": ["-m", "mnas", "--help"],
            "mnas zoo NAME -o": ["-m", "mnas", "zoo", "efficientnet-b0", "-o", spec],
            "mnas scale SPEC": ["-m", "mnas", "scale", spec, "--table", "efficientnet"],
            "mnas space imagenet": ["-m", "mnas", "space", "imagenet"],
        }
        _seconds(kinds["mnas zoo NAME -o"])  # what `scale` reads
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, arguments in kinds.items():
                times[kind].append(_seconds(arguments))
    base = median(times["import torch"])
    rows = [
        [kind, f"{median(t):.2f}", f"{min(t):.2f}", f"{median(t) / base:.2f}"]
        for kind, t in times.items()
    ]
    print(
        tabulate(rows, ["process", "median s", "least s", "of import torch"], disable_numparse=True)
    )


if __name__ == "__main__":
    main()
