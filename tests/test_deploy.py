"""The launch files, as far as this machine can check them without Slurm, Kubernetes or a cloud."""

import itertools
import subprocess

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from mnas import config
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
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    command = job["spec"]["entrypoint"].split()
    assert command[:2] == ["mnas", "search"]
    assert "--resume-if-exists" in command
    config.load(config.find(command[2]), overrides(command)).settings()


def test_ray_up_takes_the_cluster_file() -> None:
    validate_config(prepare_config(yaml.safe_load((DEPLOY / "cluster.yaml").read_text())))


def test_the_slurm_script_is_bash() -> None:
    subprocess.run(["bash", "-n", DEPLOY / "slurm.sh"], check=True)
