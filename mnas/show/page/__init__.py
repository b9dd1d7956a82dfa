"""A search as one HTML file for a reader who has never seen mnas: opens offline, asks no network
for anything.

The charts are ours, in plain JavaScript, SVG and canvas: plotly.js alone has 4.5 MB, and a page of
a thousand trials is to be sent by mail. A stranger's journal can't run anything in it: Jinja
escapes the text, the data are JSON without a `<`, and the page's own policy lets only our script
and style run, by their digests.

The page is a function of the journal: the same journal gives the same bytes, so nothing in it says
when it was made.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.export.coefficients import is_one
from mnas.formatting import millions
from mnas.journal.log import Log
from mnas.show.page import series, words
from mnas.version import __version__
from runners.files import replacing
from search_space import InputError

if TYPE_CHECKING:
    from jinja2 import Template

HERE = Path(__file__).parent
SCRIPTS = (
    "plot",
    "scatter",
    "progress",
    "asked",
    "timeline",
    "curves",
    "details",
    "page",
)  # in this order


def write(log: Log, path: Path, compared: Log | None = None) -> None:
    """Write the page of a search, whole or not at all.

    Args:
        log: of the run.
        path: the file to write.
        compared: another search of the same space, reward and proxy task, drawn beside it.

    Raises:
        InputError: when there is nothing to show yet, the page can't show this run, or the two
            can't be compared.
    """
    content = html(log, compared)
    with replacing(path) as temporary:
        temporary.write_text(content, "utf-8")


def html(log: Log, compared: Log | None = None) -> str:
    """Return the page of a search; see `write`."""
    if is_one(log):
        raise InputError(
            f"{log.run}: a coefficient search, which the page "
            f"can't show; mnas inspect {log.run} does"
        )
    if not log.outcomes:
        raise InputError(f"{log.run}: no trial is done yet; there is nothing to report")
    if compared is not None:
        _check_alike(log, compared)

    said = words.told(log)
    charts = series.charts(log, compared, said)
    style = (HERE / "report.css").read_text("utf-8")
    script = "\n".join((HERE / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    return _template().render(
        **said,
        charts=charts,
        data=embedded(charts),
        style=style,
        script=script,
        policy=_policy(style, script),
        log=log,
        compared=compared,
        version=__version__,
    )


def _template() -> "Template":
    from jinja2 import (
        Environment,
        FileSystemLoader,
        StrictUndefined,
    )  # a twentieth of the command line's start

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "millions": millions,
        "percent": words.percent,
        "short": words.short,
        "span": words.span,
        "when": words.when,
    }
    return environment.get_template("report.html")


def _check_alike(log: Log, other: Log) -> None:
    """Raise InputError unless the trials of two searches are worth the same."""

    def said(found: Log, table: str) -> dict[str, Any]:
        return {
            key: value for key, value in found.header.config.get(table, {}).items() if key != "path"
        }

    differ = [table for table in ("reward", "proxy") if said(log, table) != said(other, table)]
    differ += ["space"] if log.header.space != other.header.space else []
    if differ:
        raise InputError(
            f"--compare {other.run}: its [{differ[0]}] is not that of "
            f"{log.run}; takes a search of the same space, "
            f"reward and proxy"
        )
    if not other.outcomes:
        raise InputError(f"--compare {other.run}: no trial is done yet")


def embedded(data: object) -> str:
    """Write data as JSON that can stand in a script element: nothing in it can end that."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _policy(style: str, script: str) -> str:
    """Return the page's Content-Security-Policy: our style and script, pictures that they draw, and
    nothing else.
    """

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {source(script)}; "
        f"style-src {source(style)}; img-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )
