"""The report as one HTML page, made by a template that escapes every text."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import RunStatus
from relay_core.domain.records import RunContext
from relay_core.publish.findings import RunFindings
from relay_core.publish.report.content import report_of

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_TEXT_LENGTH = 2_000
"""So many characters of a text are shown."""
_REPORT = "relay_core.publish.report"
_SHOWN_CONTROLS = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}


def report_html(ctx: RunContext, findings: RunFindings, status: RunStatus) -> bytes:
    """Return report.html: the same bytes for the same run and findings.

    Args:
        ctx: the run.
        findings: its findings.
        status: its end.
    """
    page = pages(_REPORT).get_template("page.html.jinja")
    text = page.render(report=report_of(ctx, findings, status))
    return text.encode(errors="xmlcharrefreplace")


def load_templates() -> None:
    """Load what pages are made with: it takes longer than making one, and a thread can do it."""
    for name in pages(_REPORT).list_templates():
        pages(_REPORT).get_template(name)


@cache
def pages(package: str) -> Environment:
    """Return the engine that makes a package's pages; a process that makes none does not load it.

    The report's templates are there too.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_REPORT)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: object) -> object:
    """Return a text as a page can show it: cut, its control characters as symbols of them."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return cut(value, MAX_TEXT_LENGTH).translate(_SHOWN_CONTROLS)
