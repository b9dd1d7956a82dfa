"""Jobs on this machine: in this process, or in worker processes that stay warm.

A worker process imports torch once, then trains one child after the other. Data that fit in memory
are read once, and all workers see the same copy. A worker ends with its parent, whatever ends that;
its output goes to a log file of its own.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from runners.base import Evaluate, Failure, Job, Result, attempt, overtime
from runners.memory import allocator, beginning_with
from runners.sharing import Shared
from search_space.errors import InputError, require

# Spawned, not forked: a forked child shares the parent's torch threads and locks, and hangs on
# them.
_SPAWN = multiprocessing.get_context("spawn")


class _TimeLimitError(BaseException):
    """Raised by the alarm; no `except Exception` of a child can swallow it."""


@contextlib.contextmanager
def _alarm(limit: float) -> Iterator[None]:
    """Raise _TimeLimitError in this thread after `limit` seconds."""

    def ring(signum: int, frame: object) -> None:
        raise _TimeLimitError

    before = signal.signal(signal.SIGALRM, ring)
    # Rings again each second: the first ring may get lost where Python swallows exceptions.
    signal.setitimer(signal.ITIMER_REAL, limit, 1.0)
    try:
        yield
    finally:
        while signal.getitimer(signal.ITIMER_REAL)[0]:
            with contextlib.suppress(_TimeLimitError):  # it rang while we took it down
                signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class InProcess:
    """One job at a time in this process, where a debugger reaches it.

    The time limit works between two Python instructions of the main thread; it can't end a hung
    library call, which a worker process can.
    """

    def __init__(self, evaluate: Evaluate, *, time_limit: float | None = None) -> None:
        self._evaluate, self._limit = evaluate, time_limit
        self._waiting: deque[Job] = deque()
        self._ready = False

    def submit(self, job: Job) -> None:
        """Take a job; `next` carries it out."""
        self._waiting.append(job)

    def next(self) -> Result:
        """Carry out the job that has waited longest.

        Raises:
            InputError: when the evaluation can't be prepared.
        """
        if not self._ready:
            self._evaluate.prepare()
            self._ready = True
        job = self._waiting.popleft()
        # An alarm can only ring in the main thread: elsewhere there is no limit.
        if self._limit is None or threading.current_thread() is not threading.main_thread():
            return attempt(self._evaluate, job, "0")
        try:
            with _alarm(self._limit):
                return attempt(self._evaluate, job, "0")
        except _TimeLimitError:
            return Result(
                job.trial, 0.0, seconds=self._limit, worker="0", failure=overtime(self._limit)
            )

    def close(self) -> None:
        """Forget the jobs that wait."""
        self._waiting.clear()


def _end_with_parent() -> None:
    """End this process as soon as its parent is gone, even killed, even while a child trains."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(shared: Shared, pipe: Connection, log: Path | None, name: str) -> None:
    """Be a worker: make the evaluation ready, say that it is, then receive jobs and send
    results.
    """
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sink = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    try:
        evaluate: Evaluate = shared.take()
        evaluate.prepare()
    except InputError as error:
        pipe.send(str(error))
        return
    pipe.send(None)
    while True:
        pipe.send(attempt(evaluate, pipe.recv(), name))


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    name: str
    ready: bool = False
    job: Job | None = None
    started: float = 0.0

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class ProcessPool:
    """Jobs in up to `workers` spawned processes, started when there are jobs for them.

    One that dies or overruns its time is replaced; so is one whose child raised or ran out of
    memory, for what that leaves behind (a broken CUDA context, say) must not fail the next child.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        *,
        workers: int,
        time_limit: float | None = None,
        logs: Path | None = None,
    ) -> None:
        self._evaluate, self._workers, self._limit, self._logs = evaluate, workers, time_limit, logs
        self._waiting: deque[Job] = deque()
        self._pool: list[_Worker] = []
        self._failed_starts = 0  # in a row
        self._shared: Shared | None = None  # the evaluation, once there are workers

    def _start(self, name: str) -> _Worker:
        log = None
        if self._logs:
            self._logs.mkdir(exist_ok=True)
            if self._logs.is_symlink():
                raise InputError(
                    f"{self._logs}: a link; a run directory's files may not lead elsewhere"
                )
            log = self._logs / f"{name}.log"
        if self._shared is None:
            if share := getattr(self._evaluate, "share", None):
                share()
            self._shared = Shared(self._evaluate)
        ours, theirs = _SPAWN.Pipe()
        arguments = self._shared, theirs, log, name
        process = _SPAWN.Process(
            target=_work, args=arguments, name=f"mnas-worker-{name}", daemon=True
        )
        with beginning_with(allocator()):
            process.start()
        theirs.close()  # so that the pipe ends when the worker does
        return _Worker(process, ours, name)

    def submit(self, job: Job) -> None:
        """Take a job; it starts when a worker is free."""
        self._waiting.append(job)
        self._dispatch()

    def _dispatch(self) -> None:
        """Give jobs that wait to workers that do, and start more workers if there are jobs for
        them.
        """
        for worker in self._pool:
            if self._waiting and worker.ready and worker.job is None:
                try:
                    worker.pipe.send(self._waiting[0])
                except OSError:  # it died idle: that is no job's failure
                    self._replace(worker)
                else:
                    worker.job, worker.started = self._waiting.popleft(), time.monotonic()
        starting = sum(not worker.ready for worker in self._pool)
        for _ in range(min(len(self._waiting) - starting, self._workers - len(self._pool))):
            self._pool.append(self._start(str(len(self._pool))))

    def next(self) -> Result:
        """Wait for the next job to end, by itself, by its worker's death or by its time limit.

        Raises:
            InputError: when workers can't start.
        """
        while True:
            # Looks up each second: a pipe that a grandchild holds open does not tell of a death.
            connection.wait([worker.pipe for worker in self._pool], timeout=self._patience())
            for worker in self._pool:
                if worker.pipe.poll():
                    result = self._collect(worker)
                elif not worker.process.is_alive():
                    result = self._bury(worker)
                elif (
                    worker.job and self._limit and time.monotonic() - worker.started >= self._limit
                ):
                    result = self._fail(worker, overtime(self._limit))
                else:
                    continue
                self._dispatch()
                if result:
                    return result

    def _patience(self) -> float:
        running = [worker.started for worker in self._pool if worker.job]
        if self._limit is None or not running:
            return 1.0
        return min(1.0, max(0.0, min(running) + self._limit - time.monotonic()))

    def _collect(self, worker: _Worker) -> Result | None:
        """Take what a worker sent: that it is ready, why it can't be, or a result; or see that it
        died.
        """
        try:
            message: Result | str | None = worker.pipe.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if message is None:
            worker.ready, self._failed_starts = True, 0
            return None
        if isinstance(message, str):
            raise InputError(message)
        worker.job = None
        if message.failure and message.failure.kind != "diverged":
            self._replace(worker)
        return message

    def _bury(self, worker: _Worker) -> Result | None:
        worker.process.join(1)  # its pipe may end an instant before it does
        worker.process.kill()
        worker.process.join()
        return self._fail(worker, Failure("worker-died", f"exit code {worker.process.exitcode}"))

    def _fail(self, worker: _Worker, failure: Failure) -> Result | None:
        """Replace a worker; return the failure of the job it had, if it had one."""
        job, seconds = worker.job, time.monotonic() - worker.started
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts == 3:
                where = f"; see {self._logs / worker.name}.log" if self._logs else ""
                raise InputError(
                    f"runner: no worker process can be started ({failure.message}){where}"
                )
        self._replace(worker)
        return (
            Result(job.trial, 0.0, seconds=seconds, worker=worker.name, failure=failure)
            if job
            else None
        )

    def _replace(self, worker: _Worker) -> None:
        worker.end()
        self._pool[self._pool.index(worker)] = self._start(worker.name)

    def close(self) -> None:
        """Kill all workers; they keep nothing that would be lost."""
        self._waiting.clear()
        for worker in self._pool:
            worker.end()
        self._pool = []
        if self._shared:
            self._shared.close()
            self._shared = None


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
    require(0 <= workers <= 1024, "workers", workers, "0 (in this process) to 1,024")
    require(
        time_limit is None or 0 < time_limit <= 1e6,
        "time_limit",
        time_limit,
        "seconds above 0, to 1,000,000",
    )
    if workers == 0:
        return InProcess(evaluate, time_limit=time_limit)
    return ProcessPool(evaluate, workers=workers, time_limit=time_limit, logs=logs)
