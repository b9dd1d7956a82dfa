"""Reading a journal, at once or as it grows, without a lock."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from mnas.journal.collection import no_collection
from mnas.journal.directory import NAME, TRAINING
from mnas.journal.log import Log, _within
from mnas.journal.records import FORMAT, HEADER, RECORD, RECORDS, Ask, Record
from mnas.version import __version__
from search_space.errors import InputError

BLOCK = 1 << 20  # bytes read at a time: of a long journal only its records are held, never its text


class Reader:
    """Reads a journal as it grows: each call takes in the whole lines that were written since the
    last one.

    The file is opened anew each time, which is when a network drive shows what others wrote.
    """

    def __init__(self, run: Path) -> None:
        if (run / TRAINING).is_file():
            raise InputError(f"{run}: a training; takes the run directory of a search")
        self._run, self._path = run, run / NAME
        self._log: Log | None = None
        self._lines = 0  # read so far

    def __call__(self) -> Log:
        """Return the log as the journal's whole lines have it; the same object each time, taken
        further.

        Raises:
            InputError: when there is no journal, or a line of it can't be read.
        """
        try:
            with self._path.open("rb") as file, no_collection():
                while lines := _whole_lines(file, self._log.size if self._log else 0):
                    self._take(lines)
                if self._log and os.fstat(file.fileno()).st_size < self._log.size:
                    raise InputError(
                        f"{self._path}: shorter than it was; another file has taken its place"
                    )
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"{self._run}: no run directory; it holds no {NAME}") from None
        if self._log is None:
            raise InputError(f"{self._path}: empty; nothing was searched here yet")
        return self._log

    def _take(self, block: bytes) -> None:
        if self._log is None:
            header, _, block = block.partition(b"\n")
            self._log = _begin(self._run, header)
            self._lines, self._log.size = 1, len(header) + 1
        at_once = _records(block)
        asked = [each.genotype for each in at_once if isinstance(each, Ask)]
        of_space = bool(at_once) and _within(asked, self._log.space.sizes)
        taken = 0
        try:
            for record in at_once or _one_by_one(block):
                self._log.add(record, of_space=of_space)
                taken += 1
        except InputError as error:
            block = block.removesuffix(block.split(b"\n", taken)[-1])
            raise error.at(f"{self._path}, line {self._lines + taken + 1}: ") from None
        finally:
            self._lines += taken
            self._log.size += len(block)


def _records(block: bytes) -> list[Record]:
    """Return the record of each line, all read at once, which is quicker; nothing where one can't
    be read.

    Lines that begin and end with braces can't share a record: where one ended inside an object, the
    next would have to begin with a quote, no list in a record takes an object, and no string the
    line's end that is put between them. Of that many records each line has one.
    """
    lines = block.count(b"\n")
    if not (
        block.startswith(b"{") and block.endswith(b"}\n") and block.count(b"}\n{") == lines - 1
    ):
        return []
    try:
        records = RECORDS.validate_json(b"[%b]" % block[:-1].replace(b"\n", b",\n"))
    except ValidationError:
        return []
    return records if len(records) == lines else []


def _one_by_one(block: bytes) -> Iterator[Record]:
    """Yield the record of each line; raise InputError at the one that can't be read."""
    for line in block.split(b"\n")[:-1]:
        try:
            yield RECORD.validate_json(line)
        except ValidationError as error:
            raise InputError(_why(error)) from None


def _whole_lines(file: IO[bytes], start: int) -> bytes:
    """Return the whole lines of about the next BLOCK bytes from `start`; nothing when there is none
    yet.
    """
    most = BLOCK
    while True:
        # From the start of the line each time: what was torn may have been cut off meanwhile and
        # written anew.
        file.seek(start)
        content = file.read(most)
        whole = content.rfind(b"\n") + 1
        if whole or len(content) < most:
            return content[:whole]
        most *= 2


def read(run: Path) -> Log:
    """Read a run's journal, of a finished search or beside a running one.

    Raises:
        InputError: when there is none, or a line of it can't be read.
    """
    return Reader(run)()


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _begin(run: Path, line: bytes) -> Log:
    path = run / NAME
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("event") != "search":
        raise InputError(f"{path}, line 1: not a journal of mnas")
    if data.get("format") != FORMAT:
        session = data.get("session")
        versions = session.get("versions", {}) if isinstance(session, dict) else {}
        by = (
            f", written by mnas {versions['mnas']}"
            if isinstance(versions, dict) and "mnas" in versions
            else ""
        )
        raise InputError(
            f"{path}: journal format {data.get('format')!r}{by}; "
            f"mnas {__version__} reads format {FORMAT}"
        )
    try:
        log = Log(run, HEADER.validate_json(line))
    except ValidationError as error:
        raise InputError(f"{path}, line 1: {_why(error)}") from None
    except InputError as error:
        raise error.at(f"{path}, line 1: ") from None
    if log.config().digest != log.header.config_digest:
        raise InputError(
            f"{path}, line 1: the configuration was changed after the search had begun"
        )
    _ = log.space  # a header without one says so before the trials
    return log
