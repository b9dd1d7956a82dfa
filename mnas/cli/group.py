"""What all verbs of the command line share: bad input is one line and exit code 2, Ctrl-C and
SIGTERM 130.
"""

import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from search_space import InputError
from search_space.errors import printable

PATH = click.Path(path_type=Path)


class Command(click.Command):
    """Turns bad input, wherever it is found, into one line and exit code 2."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a verb, and end the process where it does not return."""
        try:
            return super().main(*arguments, **options | {"standalone_mode": False})
        except InputError as error:
            _fail(str(error))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())  # `mnas` alone: the help, as it is
            sys.exit(2)
        except click.ClickException as error:
            _fail(error.format_message())
        except (KeyboardInterrupt, click.Abort):
            sys.exit(130)
        except OSError as error:
            _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


class Group(Command, click.Group):
    """Does so for all its verbs."""


def _fail(message: str) -> NoReturn:
    click.echo(f"mnas: {printable(message, 1000)}", err=True)
    sys.exit(2)


def interruptible() -> None:
    """Let a scheduler's SIGTERM end a search as Ctrl-C does."""

    def stop(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
