"""The launch files, as far as this machine can check them without Slurm, Kubernetes or a cloud."""

import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from mnas.config import files
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"


def overrides(command: list[str]) -> list[str]:
    return [value for option, value in itertools.pairwise(command) if option == "--set"]


def test_the_kuberay_job_has_the_fields_of_ray_io_v1_and_a_search_that_can_be() -> None:
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"].keys() <= {
        "entrypoint",
        "backoffLimit",
        "shutdownAfterJobFinishes",
        "ttlSecondsAfterFinished",
        "rayClusterSpec",
    }
    cluster = job["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for part in (cluster["headGroupSpec"], group):
        pod = part["template"]["spec"]
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            volume["name"] for volume in pod["volumes"]
        }
    command = job["spec"]["entrypoint"].split()
    assert command[:2] == ["mnas", "search"]
    assert "--resume-if-exists" in command
    files.load(files.find(command[2]), overrides(command)).settings()


def test_ray_up_takes_the_cluster_file() -> None:
    validate_config(prepare_config(yaml.safe_load((DEPLOY / "cluster.yaml").read_text())))


def test_the_slurm_script_is_bash() -> None:
    subprocess.run(["bash", "-n", DEPLOY / "slurm.sh"], check=True)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Start a Ray head with its dashboard; give its address and the environment that its secret is
    in.
    """
    port, dashboard, agent = free_ports(3)
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    folder = tempfile.mkdtemp(
        dir="/tmp"
    )  # Ray's sockets lie in it, and their paths are at most 107 bytes
    command = [
        "ray",
        "start",
        "--head",
        "--node-ip-address=127.0.0.1",
        f"--port={port}",
        f"--temp-dir={folder}",
    ]
    command += [f"--dashboard-port={dashboard}", "--num-cpus=2", "--block"]
    # By default the agent that starts jobs listens on one fixed port, which another test's cluster
    # may have.
    command += [f"--dashboard-agent-listen-port={agent}"]
    with (tmp_path / "head.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        for _ in range(120):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", dashboard), 1),
            ):
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{dashboard}", environment
    finally:
        process.terminate()  # it ends what it began
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def test_a_submitted_job_searches_and_exports_and_submitted_again_repeats_nothing(
    head: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    """The README's `ray job submit`, in a shell line that ends with the spec."""
    address, environment = head
    run, spec = tmp_path / "run", tmp_path / "b0.json"
    line = (
        f"mnas search quickstart --run {run} --resume-if-exists "
        "--set runner.name=ray --set search.trials=2"
    )
    submit = [
        "ray",
        "job",
        "submit",
        "--address",
        address,
        "--working-dir",
        ".",
        "--",
        "bash",
        "-c",
    ]

    def job(name: str, command: str) -> str:
        with (tmp_path / name).open("wb") as log:
            ended = subprocess.run(
                [*submit, command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=180,
            )
        text = (tmp_path / name).read_text()
        assert ended.returncode == 0, text
        return text

    job("first.log", line)
    journal = (run / "journal.jsonl").read_bytes()
    again = job("again.log", f"{line} && mnas export {run} -o {spec}")
    assert "finished, 2 of 2 trials done" in again
    assert (run / "journal.jsonl").read_bytes() == journal
    assert json.loads(spec.read_text())["format"] == "mnas-spec"
