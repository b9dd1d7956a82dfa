"""Jobs on this machine: in this process, or in worker processes that stay warm.

A worker process imports torch and reads the data once, then trains one child after the other. It
ends with its parent, whatever ends that. Its output goes to a log file of its own.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from runners.base import Evaluate, Failure, Job, Result
from search_space.errors import require

logger = logging.getLogger("mnas.runner")

# Spawned, not forked: a forked child shares the parent's torch threads and locks, and hangs on them.
_SPAWN = multiprocessing.get_context("spawn")


def attempt(evaluate: Evaluate, job: Job, worker: str) -> Result:
    """Carry out a job; whatever it raises becomes a failure of the result."""
    start = time.perf_counter()
    try:
        return replace(evaluate(job), worker=worker)
    except Exception as error:
        # In a worker process this goes to its log file, in the search's own to RUN/search.log.
        logger.warning("trial %d", job.trial, exc_info=True)
        failure = Failure.of(error)
    return Result(job.trial, 0.0, seconds=time.perf_counter() - start, worker=worker, failure=failure)


def _overtime(limit: float) -> Failure:
    return Failure("time-limit", f"still running after {limit:g} s")


class _TimeLimitError(BaseException):
    """Raised by the alarm; no `except Exception` of a child can swallow it."""


@contextlib.contextmanager
def _alarm(limit: float | None) -> Iterator[None]:
    """Raise _TimeLimitError in this thread after `limit` seconds."""

    def ring(signum: int, frame: object) -> None:
        raise _TimeLimitError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class InProcess:
    """One job at a time in this process, where a debugger reaches it.

    The time limit works between two Python instructions of the main thread; it can't end a hung
    library call, which a worker process can.
    """

    workers = 1

    def __init__(self, evaluate: Evaluate, *, time_limit: float | None = None) -> None:
        self._evaluate, self._limit = evaluate, time_limit
        self._waiting: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Take a job; `next` carries it out."""
        self._waiting.append(job)

    def next(self) -> Result:
        """Carry out the job that has waited longest."""
        job = self._waiting.popleft()
        # An alarm can only ring in the main thread: elsewhere there is no limit.
        timed = self._limit is not None and threading.current_thread() is threading.main_thread()
        try:
            with _alarm(self._limit) if timed else contextlib.nullcontext():
                return attempt(self._evaluate, job, "0")
        except _TimeLimitError:
            assert self._limit is not None
            return Result(job.trial, 0.0, seconds=self._limit, worker="0", failure=_overtime(self._limit))

    def close(self) -> None:
        """Forget the jobs that wait."""
        self._waiting.clear()


def _end_with_parent() -> None:
    """End this process as soon as its parent is gone, even killed, even while a child trains."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(pipe: Connection, log: Path | None, name: str) -> None:
    """Be a worker: receive the evaluation, then jobs, and send each one's result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sink = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(sink, sys.stdout.fileno())
    os.dup2(sink, sys.stderr.fileno())
    evaluate: Evaluate = pipe.recv()
    while True:
        pipe.send(attempt(evaluate, pipe.recv(), name))


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    name: str
    job: Job | None = None
    started: float = 0.0
    deadline: float = float("inf")

    def give(self, job: Job, limit: float | None) -> None:
        self.job, self.started = job, time.monotonic()
        self.deadline = self.started + limit if limit else float("inf")
        with contextlib.suppress(BrokenPipeError):  # it died; `next` will see that
            self.pipe.send(job)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class ProcessPool:
    """Jobs in up to `workers` spawned processes, started when there are jobs for them.

    One that dies or overruns its time is replaced.
    """

    def __init__(
        self, evaluate: Evaluate, *, workers: int, time_limit: float | None = None, logs: Path | None = None
    ) -> None:
        self.workers = workers
        self._evaluate, self._limit, self._logs = evaluate, time_limit, logs
        self._waiting: deque[Job] = deque()
        self._pool: list[_Worker] = []

    def _start(self, name: str) -> _Worker:
        if self._logs:
            self._logs.mkdir(exist_ok=True)
        ours, theirs = _SPAWN.Pipe()
        log = self._logs / f"{name}.log" if self._logs else None
        process = _SPAWN.Process(target=_work, args=(theirs, log, name), name=f"mnas-worker-{name}", daemon=True)
        process.start()
        theirs.close()  # so that the pipe ends when the worker does
        with contextlib.suppress(BrokenPipeError):
            ours.send(self._evaluate)
        return _Worker(process, ours, name)

    def submit(self, job: Job) -> None:
        """Take a job; it starts when a worker is free."""
        self._waiting.append(job)
        self._dispatch()

    def _dispatch(self) -> None:
        for worker in self._pool:
            if worker.job is None and self._waiting:
                worker.give(self._waiting.popleft(), self._limit)
        while self._waiting and len(self._pool) < self.workers:
            self._pool.append(self._start(str(len(self._pool))))
            self._pool[-1].give(self._waiting.popleft(), self._limit)

    def next(self) -> Result:
        """Wait for the next job to end, by itself, by its worker's death or by its time limit."""
        while True:
            busy = {worker.pipe: worker for worker in self._pool if worker.job}
            first = min(worker.deadline for worker in busy.values())
            patience = max(0.0, first - time.monotonic()) if first < float("inf") else None
            ready = connection.wait(list(busy), patience)
            for pipe in ready:
                assert isinstance(pipe, Connection)
                return self._collect(busy[pipe])
            for worker in busy.values():
                if worker.deadline <= time.monotonic():
                    assert self._limit is not None
                    return self._replace(worker, _overtime(self._limit))

    def _collect(self, worker: _Worker) -> Result:
        try:
            result: Result = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            return self._replace(worker, Failure("worker-died", f"exit code {worker.process.exitcode}"))
        worker.job = None
        self._dispatch()
        return result

    def _replace(self, worker: _Worker, failure: Failure) -> Result:
        assert worker.job is not None
        job, seconds = worker.job, time.monotonic() - worker.started
        worker.end()
        self._pool[self._pool.index(worker)] = self._start(worker.name)
        self._dispatch()
        return Result(job.trial, 0.0, seconds=seconds, worker=worker.name, failure=failure)

    def close(self) -> None:
        """Kill all workers; they keep nothing that would be lost."""
        self._waiting.clear()
        for worker in self._pool:
            worker.end()
        self._pool = []


def local(
    evaluate: Evaluate,
    logs: Path | None = None,
    *,
    workers: int = 2,
    time_limit: float | None = None,
) -> InProcess | ProcessPool:
    """Return the runner for this machine.

    Args:
        evaluate: what a job is; picklable when there are worker processes.
        logs: folder for the workers' output; None throws it away.
        workers: processes; 0 carries jobs out in this one.
        time_limit: seconds a job may take.
    """
    require(workers >= 0, "workers", workers, "0 (in this process) or more")
    require(time_limit is None or 0 < time_limit < float("inf"), "time_limit", time_limit, "seconds above 0")
    if workers == 0:
        return InProcess(evaluate, time_limit=time_limit)
    return ProcessPool(evaluate, workers=workers, time_limit=time_limit, logs=logs)
