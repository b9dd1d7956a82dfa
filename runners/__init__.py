"""How and where one trial is carried out."""

from runners.base import Evaluate, Failure, Job, Result, Runner, Train

RUNNERS = {"local": "runners.local:local", "ray": "runners.cluster.runner:RayRunner"}
PROXIES = {
    "proxy": "runners.training.proxy:ProxyTask",
    "table": "runners.surrogate:Table",
    "trees": "runners.surrogate:Trees",
}
TRAININGS = {"full": "runners.training.full:FullTraining"}

__all__ = [
    "PROXIES",
    "RUNNERS",
    "TRAININGS",
    "Evaluate",
    "Failure",
    "Job",
    "Result",
    "Runner",
    "Train",
]
