"""Jobs on a Ray cluster: warm actors under the search's own loop.

An actor imports torch and gets the data once, then trains one child after the other. Ray restarts
and retries nothing: a job whose actor died, hangs or was lost with its node comes back as a failure
of the machine, and the search decides. benchmarks/scale.py measures it beside Ray Tune.
"""

import itertools
import logging
import math
import pickle
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ray
from ray import ObjectRef, cloudpickle
from ray.exceptions import RayActorError, RayError

from runners.base import MACHINE_FAULTS, Evaluate, Failure, FailureKind, Job, Result, overtime
from runners.cluster.connect import OURS, connect
from runners.cluster.worker import Actor, Ready, versions
from search_space.errors import InputError, require

logger = logging.getLogger("mnas")

_LOOK = 1.0  # seconds between two looks at the cluster
_INSTANT = (
    1.0  # seconds within which a worker that had waited is taken to have died before its job came
)
_PATIENCE = 30.0  # seconds without any worker after which that is said


@dataclass(slots=True, eq=False)
class _Node:
    id: str
    host: str
    failed: set[int] = field(
        default_factory=set
    )  # trials that the node failed, since it last carried one out


@dataclass(slots=True, eq=False)
class _Worker:
    actor: Any
    name: str
    ref: "ObjectRef[Any] | None"  # what it was asked: to be ready, or to carry out its job
    node: _Node | None = None  # known once it is ready
    job: Job | None = None
    started: float = 0.0
    idle_since: float = 0.0
    rested: bool = False  # whether it had waited for a while when its job came

    @property
    def place(self) -> str:
        return f"{self.name}@{self.node.host}" if self.node else self.name


class RayRunner:
    """Jobs on the warm actors of a Ray cluster, as many as there are slots and jobs for them.

    Args:
        evaluate: what a job is; its data, where they are small, travel through Ray's object store
            once a node.
        logs: folder for the workers' output, where their nodes can see it; elsewhere Ray's own log
            has it.
        address: of the cluster; see `ray_cluster.connect`.
        workers: how many actors; `all` follows the cluster as nodes come and go, and asks an
            autoscaler for up to as many again as there are.
        cpus: logical cores of each.
        gpus: of each; a fraction packs several children on one card. None: one where the cluster
            has any.
        resources: of each, by the cluster's own names.
        time_limit: seconds a job may take.
        strikes: trials in a row that a node may fail by its own fault before it is taken out.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        logs: Path | None = None,
        *,
        address: str | None = None,
        workers: int | Literal["all"] = "all",
        cpus: float = 1.0,
        gpus: float | None = None,
        resources: dict[str, float] | None = None,
        time_limit: float | None = None,
        strikes: int = 5,
    ) -> None:
        require(
            workers == "all" or 1 <= workers <= 100_000, "workers", workers, "all, or 1 to 100,000"
        )
        require(0 <= cpus <= 1024, "cpus", cpus, "0 to 1,024")
        require(gpus is None or 0 <= gpus <= 64, "gpus", gpus, "0 to 64; a fraction shares a card")
        require(
            time_limit is None or 0 < time_limit <= 1e6,
            "time_limit",
            time_limit,
            "seconds above 0, to 1,000,000",
        )
        require(strikes >= 1, "strikes", strikes, "1 or more")
        for name, amount in (resources or {}).items():
            own = name not in ("CPU", "GPU", "memory", "object_store_memory")
            require(
                own and amount > 0,
                f"resources.{name}",
                amount,
                "an amount above 0 of a resource of your own",
            )
        self._evaluate, self._logs, self._address = evaluate, logs, address
        self._limit, self._cpus, self._gpus, self._resources = workers, cpus, gpus, resources or {}
        self._time_limit, self._strikes = time_limit, strikes
        self._waiting: deque[Job] = deque()
        self._pool: list[_Worker] = []
        self._nodes: dict[str, _Node] = {}
        self._excluded: list[_Node] = []
        self._evaluate_ref: ObjectRef[Evaluate] | None = None
        self._capacity, self._looked = 0, -math.inf
        self._failed_starts, self._pause_until = (
            0,
            -math.inf,
        )  # in a row; when the next may be tried
        self._since: float | None = None  # when it began to wait for a first worker

    def _connect(self) -> None:
        """Join the cluster and put what a job is where every worker finds it."""
        wanted = 1 if self._limit == "all" else self._limit
        self._here = connect(self._address, math.ceil(wanted * self._cpus))
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0  # type: ignore[no-untyped-call]
        if self._gpus is None:
            self._gpus = 1.0 if has_gpus and getattr(self._evaluate, "takes_gpu", True) else 0.0
        # Ray leaves all cards visible to an actor that asked for none, on nodes that come later
        # too.
        bare = self._here and not has_gpus
        self._hidden = {} if self._gpus or bare else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
        module = sys.modules[type(self._evaluate).__module__]
        if not self._here and module.__name__.partition(".")[0] not in OURS:
            # The user's own file: the nodes need not have it.
            cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
        if share := getattr(self._evaluate, "share", None):
            share()
        self._evaluate_ref = ray.put(self._evaluate)
        if self._here and not self._look():
            raise InputError(
                f"runner: a worker asks for {_listed(self._asked())}, which this machine has not"
            )
        if self._logs:
            self._logs.mkdir(exist_ok=True)
            if self._logs.is_symlink():
                raise InputError(
                    f"{self._logs}: a link; a run directory's files may not lead elsewhere"
                )
            self._logs = self._logs.resolve()  # other nodes stand elsewhere

    def submit(self, job: Job) -> None:
        """Take a job; it starts when a worker is free."""
        if self._evaluate_ref is None:
            self._connect()
        self._waiting.append(job)
        self._dispatch()

    def _dispatch(self) -> None:
        """Give jobs that wait to workers that do, and start more workers if there are jobs for
        them.
        """
        for worker in self._pool:
            if self._waiting and worker.ref is None:
                worker.job, worker.started = self._waiting.popleft(), time.monotonic()
                worker.rested = worker.started - worker.idle_since > _INSTANT
                # As bytes: Ray's own pickler takes a multiple of the time for what needs no more
                # than this.
                worker.ref = worker.actor.run.remote(pickle.dumps(worker.job))
        if time.monotonic() < self._pause_until:
            return
        starting = sum(worker.node is None for worker in self._pool)
        for _ in range(min(len(self._waiting) - starting, self._slots() - len(self._pool))):
            self._start()

    def _slots(self) -> int:
        """How many workers there may be, those that wait for a node included."""
        if time.monotonic() - self._looked > _LOOK:
            self._capacity, self._looked = self._look(), time.monotonic()
        if self._limit != "all":
            return self._limit
        return self._capacity if self._here else max(1, 2 * self._capacity)

    def _look(self) -> int:
        """Return how many workers the cluster's nodes can hold; let those go whose node has left
        it.
        """
        asked = self._asked()
        alive = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
        for worker in list(self._pool):  # those that wait do not learn that their node is gone
            if worker.node and worker.node.id not in alive and worker.job is None:
                self._end(worker)
        excluded = {node.id for node in self._excluded}
        held = [
            math.floor(
                min((has.get(name, 0) / amount for name, amount in asked.items()), default=1)
            )
            for node, has in alive.items()
            if node not in excluded
        ]
        return sum(held)

    def _asked(self) -> dict[str, float]:
        """Return what one worker asks of its node."""
        asked = {"CPU": self._cpus, "GPU": self._gpus or 0.0, **self._resources}
        return {name: amount for name, amount in asked.items() if amount}

    def _start(self) -> None:
        taken = {worker.name for worker in self._pool}
        name = next(name for name in map(str, itertools.count()) if name not in taken)
        options: dict[str, Any] = {
            "num_cpus": self._cpus,
            "num_gpus": self._gpus,
            "resources": self._resources,
            # The journal retries, not Ray.
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        if self._hidden:
            options["runtime_env"] = self._hidden
        if self._excluded:
            options["label_selector"] = {
                "ray.io/node-id": f"!in({','.join(node.id for node in self._excluded)})"
            }
        actor: Any = (
            ray.remote(Actor).options(**options).remote(self._evaluate_ref, name, self._logs)
        )
        self._pool.append(_Worker(actor, name, actor.prepare.remote()))

    def next(self) -> Result:
        """Wait for the next job to end, by itself, with its worker or node, or by its time limit.

        Raises:
            InputError: when no worker can be started, a node lacks the data, or every node was
                taken out.
        """
        while True:
            asked = {worker.ref: worker for worker in self._pool if worker.ref is not None}
            if asked:
                done, _ = ray.wait(list(asked), timeout=self._patience())
            else:
                done = []
                time.sleep(0.1)
            result = self._overdue()
            if done and result is None:
                result = self._collect(asked[done[0]])
            self._dispatch()
            if result:
                return result
            self._say_if_stuck()

    def _patience(self) -> float:
        running = [worker.started for worker in self._pool if worker.job]
        if self._time_limit is None or not running:
            return _LOOK
        return min(_LOOK, max(0.0, min(running) + self._time_limit - time.monotonic()))

    def _overdue(self) -> Result | None:
        """End the worker whose job has run for longest, if that is too long."""
        running = [worker for worker in self._pool if worker.job]
        if self._time_limit is None or not running:
            return None
        worker = min(running, key=lambda worker: worker.started)
        if time.monotonic() - worker.started < self._time_limit:
            return None
        return self._lose(worker, overtime(self._time_limit))

    def _collect(self, worker: _Worker) -> Result | None:
        """Take what a worker says: that it is ready, why it can't be, or a result; or see that it
        is lost.
        """
        try:
            word: Ready | Result = ray.get(worker.ref)  # type: ignore[arg-type]  # it was asked something
        except RayError as error:
            kind: FailureKind = "worker-died" if isinstance(error, RayActorError) else "machine"
            return self._lose(worker, Failure(kind, " ".join(str(error).split())[:500]))
        worker.ref = None
        if isinstance(word, Ready):
            self._welcome(worker, word)
            return None
        assert worker.node is not None
        worker.job, worker.idle_since = None, time.monotonic()
        failure = word.failure
        # What a child that failed leaves behind (a broken CUDA context, say) must not fail the next
        # one.
        if worker.node in self._excluded or (failure and failure.kind != "diverged"):
            self._end(worker)
        if failure and failure.kind in MACHINE_FAULTS:
            self._blame(worker.node, word.trial, failure.message)
        else:
            worker.node.failed.clear()
        return word

    def _welcome(self, worker: _Worker, ready: Ready) -> None:
        if any(
            node.id == ready.node for node in self._excluded
        ):  # it was on its way when that was decided
            self._end(worker)
            return
        if ready.bad_input:
            self._end(worker)
            self._excluded.append(_Node(ready.node, ready.host))
            if not self._look():
                raise InputError(f"node {ready.host}: {ready.bad_input}")
            logger.warning("node %s is not used: %s", ready.host, ready.bad_input)
            return
        if ready.node not in self._nodes:
            self._nodes[ready.node] = _Node(ready.node, ready.host)
            ours = versions()
            for package, version in ready.versions.items():
                if version != ours.get(package):
                    logger.warning(
                        "node %s has %s %s, the driver %s",
                        ready.host,
                        package,
                        version,
                        ours.get(package),
                    )
        worker.node, worker.idle_since = self._nodes[ready.node], time.monotonic()
        self._failed_starts, self._since = 0, None

    def _blame(self, node: _Node, trial: int, why: str) -> None:
        """Count a failure against its node, and take the node out when it is one too many."""
        node.failed.add(trial)
        if len(node.failed) >= self._strikes and node not in self._excluded:
            self._exclude(node, f"it failed {len(node.failed)} trials in a row ({why})")

    def _exclude(self, node: _Node, why: str) -> None:
        logger.warning("node %s is taken out: %s", node.host, why)
        self._excluded.append(node)
        for worker in [
            worker for worker in self._pool if worker.node is node and worker.job is None
        ]:
            self._end(worker)
        if not self._look():
            raise InputError(f"runner: no node is left; the last was {node.host}: {why}")

    def _lose(self, worker: _Worker, failure: Failure) -> Result | None:
        """Give a worker up; return the failure of the job it had, if it had one."""
        job, seconds = worker.job, time.monotonic() - worker.started
        self._end(worker)
        if worker.node is None:
            # Workers that were starting on a node that dies all fail at once: that is one failure.
            self._failed_starts += time.monotonic() >= self._pause_until
            self._pause_until = time.monotonic() + _LOOK
            logger.warning("a worker could not be started: %s", failure.message)
            if self._failed_starts >= 5 and not any(other.node for other in self._pool):
                raise InputError(f"runner: no worker can be started ({failure.message})")
        if job is None:
            return None
        if failure.kind == "worker-died" and worker.rested and seconds < _INSTANT:
            # It had died before it got the job, which Ray tells only now: that is no job's failure.
            self._waiting.appendleft(job)
            return None
        # A child that takes too long may be to blame itself.
        if worker.node and failure.kind != "time-limit":
            self._blame(worker.node, job.trial, failure.message)
        return Result(job.trial, 0.0, seconds=seconds, worker=worker.place, failure=failure)

    def _end(self, worker: _Worker) -> None:
        ray.kill(worker.actor)
        self._pool.remove(worker)

    def _say_if_stuck(self) -> None:
        """Say what is asked for when no worker has had a place for long; the cluster may still
        grow.
        """
        if any(worker.node for worker in self._pool):
            return
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > _PATIENCE:
            has = _listed(ray.available_resources())  # type: ignore[no-untyped-call]
            asked = _listed(self._asked())
            logger.warning(
                "no worker has a place yet; each asks for %s, free in the cluster: %s", asked, has
            )
            self._since = now

    def close(self) -> None:
        """End all workers; they keep nothing that would be lost."""
        self._waiting.clear()
        for worker in list(self._pool):
            self._end(worker)


def _listed(resources: dict[str, float]) -> str:
    named = {
        name: amount
        for name, amount in resources.items()
        if not name.startswith(("node:", "object"))
    }
    return ", ".join(f"{amount:g} {name}" for name, amount in named.items()) or "nothing"
