"""The page of a run: the blocks of its report, and a form for each of its actions.

The module knows blocks, and none of Relay's features: ``makers`` make the forms.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from fastapi import Response

from relay_core.domain.codes import RunStatus
from relay_core.report.blocks import (
    Block,
    Cell,
    Column,
    Steps,
    Table,
    Verdict,
)
from relay_core.report.chapters.older_run import report_of_older_run
from relay_core.report.current import current_report
from relay_core.report.html import BlockView
from relay_core.report.report import Chapter, Report, read_report
from relay_core.report.verdicts import NOTHING_PUBLISHED, REVIEW_ONLY
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.runs.model import RunRecord
from relay_dagster.services import runs as api_runs
from relay_dagster.web import error_words, frame, visits, words
from relay_dagster.web.run_forms import ActionForm, FormOf, ShownRun, forms_of
from relay_dagster.web.shop import Shop, shop_of_run
from relay_dagster.wire import runs as wire
from relay_dagster.wiring import Platform

_MAX_VENDORS = 10
_REPORT = "report_data"
_CUT = "\N{HORIZONTAL ELLIPSIS}"


class PageView(BlockView):
    """What templates ask for to show the blocks of a report on the page of its run."""

    def __init__(self, shown: ShownRun) -> None:
        """Begin the page of a run."""
        super().__init__(shown.report)
        self._shown = shown

    def file_address(self, artifact: str) -> str:
        """Return the address of a file of the run; empty if the run does not have it."""
        if artifact not in self._shown.run.artifacts:
            return ""
        return self._shown.path(f"files/{quote(artifact)}")

    def cell_address(self, column: Column, cell: Cell) -> str:
        """Return the address of the page about a SKU, unless the SKU is cut."""
        sku = str(cell.value or "")
        if column.name != "sku" or not sku or sku.endswith(_CUT):
            return ""
        run = self._shown.run
        query = urlencode({"sku": sku, "run": run.run_id})
        return f"{frame.HOME}/tenants/{run.tenant_id}/skus?{query}"


def run_page(
    run_id: str,
    visit: visits.Visit,
    makers: Mapping[str, FormOf],
    *,
    changed: int | None = None,
    rejected_form: visits.RejectedForm | None = None,
) -> Response:
    """Return the page of a run, with the values and the errors of a rejected form.

    ``changed`` is the number of rows that the last form changed.
    """
    record = api_runs.find_run(run_id, visit)
    run = api_runs.run_response(record, visit)
    shop = shop_of_run(visit, run.config_version)
    report = report_of(record, run, shop, visit.platform)
    shown = ShownRun(run, record, report, visit, shop, changed)
    forms = {form.action.name: form for form in forms_of(shown, makers)}
    # The script reloads the page, which would send a rejected form again.
    has_script = not run.has_ended and rejected_form is None
    return frame.page(
        "run.html.jinja",
        visit,
        status=200 if rejected_form is None else 422,
        shop=shop,
        has_script=has_script,
        follows_progress=has_script,
        run=run,
        verdict=verdict(run, report),
        next_step=error_words.next_step(run.error_code, run.next_action),
        vendors_to_check=_vendors_to_check(run, visit.platform),
        report=report,
        view=PageView(shown),
        chapters=_shown_chapters(shown, forms),
        forms=forms,
        files=words.files_of(run.artifacts),
        rejected=rejected_form,
    )


def report_of(
    record: RunRecord, run: wire.Run, shop: Shop, platform: Platform
) -> Report:
    """Return the report of a run; without report.json, what its record and summary say."""
    key = record.artifacts.get(_REPORT)
    if key is not None and record.has_ended:
        try:
            return read_report(platform.objects.read(key))
        except (ExternalServiceError, ValueError):
            # The run can be shown without its report.
            pass
    return report_of_older_run(
        run.model_dump(mode="json"),
        api_runs.summary_of(record, platform),
        timezone=str(shop.zone),
        currency=shop.currency,
    )


def _shown_chapters(
    shown: ShownRun, forms: Mapping[str, ActionForm]
) -> list[Chapter]:
    """Return the chapters with the actions that the visitor can take now.

    A chapter in which a form selects rows comes before the others, below the next steps.
    The table whose rows the form shows is left out.
    """
    current = current_report(
        shown.report, shown.run.status, lambda action: action.name in forms
    )
    tables = {form.action.table for form in forms.values() if form.selection}

    def is_shown(block: Block) -> bool:
        return not isinstance(block, Table) or block.name not in tables

    beginning: list[Chapter] = []
    selecting: list[Chapter] = []
    others: list[Chapter] = []
    for chapter in current.chapters:
        blocks = tuple(filter(is_shown, chapter.blocks))
        shown_chapter = chapter._replace(blocks=blocks)
        if len(blocks) < len(chapter.blocks):
            selecting.append(shown_chapter)
        else:
            others.append(shown_chapter)
        if any(isinstance(block, Steps) for block in blocks):
            beginning, others = others, []
    return [*beginning, *selecting, *others]


def _vendors_to_check(run: wire.Run, platform: Platform) -> list[str]:
    """Return the vendors whose files a failed run could not use, or rejected in part."""
    if run.status != RunStatus.FAILED:
        return []
    vendor_ids = []
    for result in platform.runs.vendor_results(run.tenant_id, run.run_id):
        use = words.vendor_use(result.status, result.rows)
        if use.tone != "good" or result.invalid_rows:
            vendor_ids.append(result.vendor_id)
    return vendor_ids[:_MAX_VENDORS]


def verdict(run: wire.Run, report: Report) -> Verdict:
    """Return the result of a run, or its progress if it has not ended.

    The report's own verdict is about the status in which the run ended first. A person may
    have decided on the run since.
    """
    if report.verdict.headline and report.status == run.status:
        return report.verdict
    state = words.run_state(run.status)

    def made(headline: str, sentence: str) -> Verdict:
        return Verdict(state.tone, state.text, headline, sentence)

    if run.status == RunStatus.FAILED:
        return made("No new feed was made", NOTHING_PUBLISHED)
    if run.status == RunStatus.CANCELLED:
        return made("The run was cancelled", NOTHING_PUBLISHED)
    skus = _size_of_feed(report)
    if run.status == RunStatus.HELD:
        return made(
            f"A new feed{skus} is on hold",
            "More has changed than your settings allow. Review the changes, and "
            "release or discard the feed. Until then, your shop keeps its live feed.",
        )
    if run.status != RunStatus.SUCCEEDED:
        activity = words.STAGES.get(run.stage, run.stage)
        return made("The run is in progress", activity)
    if run.vendors is not None:
        return made(f"A feed of some vendors{skus}", REVIEW_ONLY)
    return made(f"A new feed{skus}", _outcome(run))


def _size_of_feed(report: Report) -> str:
    """Return the number of SKUs in the feed, as a part of a headline."""
    for figure in report.figures:
        if figure.name == "record_count":
            return f" with {words.counted(int(figure.value or 0), 'SKU')}"
    return ""


def _outcome(run: wire.Run) -> str:
    """Return how a run's feed was published."""
    if run.released_at is not None:
        return f"The feed was released from hold. Reason: {run.release_reason}"
    if run.changes is None:
        return "This is your first feed."
    return "It replaced the previous feed."
