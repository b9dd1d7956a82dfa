"""One exception for everything a user can get wrong, and the sentences it speaks in.

The message of an InputError is one line that a person can act on: the place, the value, what is
allowed. The command line prints it and exits with 2; a program may catch it as a ValueError.
"""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user's input is wrong; the message says what, where, and what is allowed."""

    def at(self, place: str) -> "InputError":
        """Return this error with `place` in front: `kernel: 4; …` becomes `stage
        3.kernel: 4; …`.
        """
        return InputError(f"{place}{self}")


def printable(text: str, most: int = 500) -> str:
    """Return `text` as one line of at most `most` characters that can't steer a terminal."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: most + 1])
    return line if len(line) <= most else line[: most - 1] + "…"


def require(ok: bool, name: str, value: object, allowed: str) -> None:
    """Raise `NAME: VALUE; takes ALLOWED` unless `ok`."""
    if not ok:
        raise InputError(f"{name}: {value!r}; takes {allowed}")


def require_known(name: str, allowed: Iterable[str], *, place: str = "", owner: str = "") -> None:
    """Raise with the allowed names, the nearest of them first, unless `name` is one of them."""
    names = list(allowed)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    takes = f"{owner} takes" if owner else "takes"
    raise InputError(f"{place}{name}: unknown{hint}; {takes} {', '.join(names) or 'nothing'}")
