"""The command line."""

import click

from mnas.cli.group import Group
from mnas.cli.inspect import inspect, report
from mnas.cli.networks import export_network, import_weights, scale, show_zoo, space
from mnas.cli.runs import resume, scale_search, search, train_networks
from mnas.version import __version__


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mnas")
def main() -> None:
    """Search for a baseline network, inspect the search, scale what it found."""


VERBS = (search, resume, inspect, report, train_networks, scale_search)
for verb in (*VERBS, export_network, import_weights, scale, space, show_zoo):
    main.add_command(verb)
