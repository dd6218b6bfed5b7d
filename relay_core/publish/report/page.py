"""The report as one HTML page, made by a template that escapes every text."""

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import RunContext
from relay_core.publish.findings import RunFindings
from relay_core.publish.report.content import report_of
from relay_core.publish.report.templating import REPORT, pages


def report_html(ctx: RunContext, findings: RunFindings, status: RunStatus) -> bytes:
    """Return report.html: the same bytes for the same run and findings."""
    page = pages(REPORT).get_template("page.html.jinja")
    text = page.render(report=report_of(ctx, findings, status))
    return text.encode(errors="xmlcharrefreplace")


def load_templates() -> None:
    """Load what pages are made with: it takes longer than making one, and a thread can do it."""
    for name in pages(REPORT).list_templates():
        pages(REPORT).get_template(name)
