"""The launch files: read by what validates them, and carried out as far as this machine can."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from mnas import config, export
from mnas.log import read
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
SMALL = "--set search.trials=3 --set search.window=3 --set proxy.recipe.epochs=1 --set proxy.val_fraction=0.7"


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
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    command = job["spec"]["entrypoint"].split()
    assert command[:2] == ["mnas", "search"]
    assert "--resume-if-exists" in command
    config.load(config.find(command[2]), overrides(command)).settings()


def test_ray_up_takes_the_cluster_file() -> None:
    validate_config(prepare_config(yaml.safe_load((DEPLOY / "cluster.yaml").read_text())))


FAKES = {
    "scontrol": 'echo "$SLURM_JOB_NODELIST"',
    # Leaves Slurm's own options out and carries the command out here.
    "srun": 'while [[ $1 == --* ]]; do shift; done; [[ $1 == hostname ]] && { echo 127.0.0.1; exit; }; exec "$@"',
}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a Slurm job of one node, whose commands are played on this machine."""
    for name, body in FAKES.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "localhost", "SLURM_CPUS_PER_TASK": "2", "SLURM_GPUS_ON_NODE": "0"}
    return os.environ | slurm | {"PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}", "RAY_PORT": "6399"}


def test_the_slurm_script_starts_a_cluster_and_searches_on_it(slurm: dict[str, str], tmp_path: Path) -> None:
    small = (config.SHIPPED / "quickstart.toml").read_text().replace("trials = 50", "trials = 3")
    (tmp_path / "small.toml").write_text(small.replace("epochs = 2", "epochs = 1"))
    job = subprocess.Popen(
        ["bash", DEPLOY / "slurm.sh", "small.toml", "run"],
        cwd=tmp_path,
        env=slurm,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert job.stdout
    try:
        shown = ""
        for line in job.stdout:
            shown += line
            if "3 of 3 trials done" in line:
                break
        assert "finished, 3 of 3 trials done" in shown
    finally:
        os.killpg(job.pid, signal.SIGKILL)  # as Slurm ends what a job leaves
    assert len(read(tmp_path / "run").outcomes) == 3


def test_a_submitted_job_runs_the_quick_start_to_its_spec(tmp_path: Path) -> None:
    ray = str(BIN / "ray")
    environment = os.environ | {"RAY_TMPDIR": str(tmp_path), "PATH": f"{BIN}:{os.environ['PATH']}"}
    environment.pop("RAY_ADDRESS", None)
    head = ["--head", "--port=6398", "--num-cpus=2", "--dashboard-port=8366", "--block"]
    cluster = subprocess.Popen(
        [ray, "start", *head], env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    )
    run = tmp_path / "run"
    submitted = f"mnas search quickstart --run {run} --resume-if-exists --set runner.name=ray {SMALL}"
    spec = f"mnas export {run} -o {tmp_path}/b0.json"
    command = [ray, "job", "submit", "--address=http://127.0.0.1:8366", f"--working-dir={ROOT / 'deploy'}", "--"]
    try:
        deadline = time.monotonic() + 120
        while True:
            job = subprocess.run([*command, f"{submitted} && {spec}"], env=environment, capture_output=True, text=True)
            if job.returncode == 0 or time.monotonic() > deadline:
                break
            time.sleep(2)  # the dashboard is not up yet
    finally:
        os.killpg(cluster.pid, signal.SIGTERM)
        cluster.wait(timeout=60)
    assert job.returncode == 0, job.stdout + job.stderr
    assert "finished, 3 of 3 trials done" in job.stdout
    assert export.read(tmp_path / "b0.json")["accuracy"]["validation"] > 0
    assert {outcome.worker.partition("@")[1] for outcome in read(run).outcomes.values()} == {"@"}
