"""Writing the journal: append-only JSON lines, the only state of a search (`mnas.journal.log` reads
them).

One writer at a time, locked. A line is on the disk before anything comes of it: before the job that
it announces runs, before the search waits for the next.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

from mnas.config import Config
from mnas.journal.directory import NAME, locked, no_follow, refuse_begun
from mnas.journal.log import Log
from mnas.journal.reader import read
from mnas.journal.records import Header, Record, Resumed, to_line
from search_space import InputError, Space


class Journal:
    """The one writer of a run's journal. Holds the run's lock until closed, or until its process
    dies.
    """

    def __init__(
        self, log: Log, file: IO[bytes], lock: IO[str], pending: Resumed | None = None
    ) -> None:
        self.log = log
        self._file, self._lock, self._pending = file, lock, pending
        self._synced = True

    @classmethod
    def create(cls, run: Path, config: Config, space: Space) -> Self:
        """Begin a new run directory.

        Raises:
            InputError: when the run has begun already, or the disk is full.
            OSError: when the directory can't be made or written.
        """
        refuse_begun(run)
        header = Header(config=config.tables, config_digest=config.digest, space=space.to_json())
        run.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as opened:
            lock = opened.enter_context(locked(run))
            refuse_begun(run)  # by someone who was quicker
            # The header is there whole or not at all.
            temporary = run / f"{NAME}.new"
            file = opened.enter_context(open(temporary, "wb", buffering=0, opener=no_follow))
            journal = cls(Log(run, header), file, lock)
            try:
                journal._write(header)
                os.fsync(file.fileno())
            except OSError as error:
                temporary.unlink()
                raise InputError(f"{run}: {error.strerror}; nothing was begun") from None
            temporary.rename(run / NAME)
            for directory in (run, run.parent):
                _sync(directory)
            opened.pop_all()  # from here on the journal closes them
        return journal

    @classmethod
    def reopen(cls, run: Path) -> Self:
        """Go on with a run: lock it, read it, cut a torn last line off.

        Raises:
            InputError: when it is being written, or can't be read.
        """
        read(run)  # a directory that is no run gets no lock file
        with contextlib.ExitStack() as opened:
            lock = opened.enter_context(locked(run))
            log = read(run)
            file = opened.enter_context(open(run / NAME, "r+b", buffering=0, opener=no_follow))
            file.truncate(log.size)
            file.seek(log.size)
            opened.pop_all()
        return cls(log, file, lock, Resumed())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def append(self, record: Record) -> None:
        """Write a record, then take it into the log; the first one after a resume says so before
        it.

        From here on it outlives this process; `sync` makes it outlive the machine.

        Raises:
            InputError: when the disk takes no more.
        """
        if self._pending:
            resumed, self._pending = self._pending, None
            self.append(resumed)
        with self._disk():
            self._write(record)
        self.log.add(record)
        self._synced = False

    def sync(self) -> None:
        """Put on the disk what was appended: before a job runs, and before the search waits.

        Raises:
            InputError: when the disk takes no more.
        """
        if not self._synced:
            with self._disk():
                os.fsync(self._file.fileno())
            self._synced = True

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = f"what is written is kept: make room, then {self.log.resume_command}"
            raise InputError(f"{self.log.run / NAME}: {error.strerror}; {remedy}") from None

    def _write(self, record: Header | Record) -> None:
        # Where a file system does not share its locks, this still tells that someone else took the
        # run over.
        if os.fstat(self._file.fileno()).st_size != self._file.tell():
            raise InputError(f"{self.log.run / NAME}: another process writes it; this one stops")
        line = to_line(record)
        while line:
            line = line[self._file.write(line) :]

    def close(self) -> None:
        """Release the run."""
        if not self._synced:
            with contextlib.suppress(OSError):  # who appended and did not sync is told no more
                os.fsync(self._file.fileno())
        self._file.close()
        self._lock.close()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
