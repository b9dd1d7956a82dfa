"""`python -m mnas`: the command line, from a checkout that is not installed."""

from mnas.cli import main

main()
