"""How and where one trial is carried out."""

from runners.base import Evaluate, Failure, Job, Result, Runner

RUNNERS = {"local": "runners.local:local"}
PROXIES = {"proxy": "runners.proxy:ProxyTask"}

__all__ = ["PROXIES", "RUNNERS", "Evaluate", "Failure", "Job", "Result", "Runner"]
