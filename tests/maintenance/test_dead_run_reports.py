"""Reports that a run could not write itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_dagster.execution.published_copies import feed_copy_key
from relay_dagster.maintenance.reconciler import write_reports
from relay_dagster.runs.model import Outcome, RunRecord
from relay_dagster.wiring import Platform
from support.builders import RUN_ID, config_document, vendor_document
from support.fakes import dispatch_run

TENANT = "acme"


def running(platform: Platform, **changes: Any) -> RunRecord:
    dispatch_run(platform, **changes)
    return platform.ledger.claim(RUN_ID, 1, "dagster-1")


def report(platform: Platform, record: RunRecord, name: str) -> Any:
    return json.loads(platform.objects.read(record.artifacts[name]))


def test_poison_is_reported_with_its_cause(platform: Platform) -> None:
    running(platform)
    record = write_reports(
        platform, platform.ledger.poison(RUN_ID, "attempts used up (3 of 3)")
    )
    assert (
        report(platform, record, "errors")["error_message"]
        == "attempts used up (3 of 3)"
    )
    assert report(platform, record, "run_summary")["status"] == "FAILED"
    assert not record.needs_reports
    assert record.errors_artifact_key == record.artifacts["errors"]


def test_a_cancelled_run_has_a_summary_and_no_errors(
    platform: Platform,
) -> None:
    running(platform)
    record = write_reports(platform, platform.ledger.cancel(RUN_ID))
    assert report(platform, record, "run_summary")["status"] == "CANCELLED"
    assert b"The run was cancelled" in platform.objects.read(
        record.artifacts["report"]
    )
    assert "errors" not in record.artifacts


def test_how_it_ended_can_be_read_on_a_page(platform: Platform) -> None:
    running(platform)
    record = write_reports(
        platform, platform.ledger.poison(RUN_ID, "attempts used up (3 of 3)")
    )
    page = platform.objects.read(record.artifacts["report"]).decode()
    assert "No new feed was made" in page
    assert "attempts used up (3 of 3)" in page


def test_what_a_run_that_did_not_succeed_has_published_is_taken_away(
    platform: Platform,
) -> None:
    merged = f"{RUN_ID}/tenants/{TENANT}/outputs/merged_inventory.csv"
    record = running(platform)
    for key in (merged, feed_copy_key(record, "csv")):
        platform.objects.put(key, b"sku\n")
    record = write_reports(platform, platform.ledger.cancel(RUN_ID))
    assert not platform.objects.exists(feed_copy_key(record, "csv"))
    assert "merged_inventory" not in record.artifacts


def test_a_run_that_succeeded_keeps_the_reports_that_it_wrote(
    platform: Platform,
) -> None:
    record = running(platform)
    key = f"{RUN_ID}/tenants/{TENANT}/reports/run_summary.json"
    platform.objects.put(key, b'{"status": "its own"}')
    succeeded = platform.ledger.succeed(record.fence, Outcome())
    assert report(
        platform, write_reports(platform, succeeded), "run_summary"
    ) == {"status": "its own"}


def test_the_summary_names_the_vendors_of_the_config(
    platform: Platform,
) -> None:
    vendors = (vendor_document("vendor_1"), vendor_document("vendor_2"))
    document = config_document(*vendors, guards={"quarantine": {}})
    platform.tenants.put(TENANT, json.dumps(document))
    running(platform, config_version=1, vendors=("vendor_2", "vendor_9"))
    record = write_reports(platform, platform.ledger.cancel(RUN_ID))
    summary = report(platform, record, "run_summary")
    assert summary["vendor_record_counts"] == {"vendor_2": 0}
    assert (summary["vendor_count"], summary["quarantined"]) == (2, 0)


def test_the_summary_tells_limits_that_are_not_the_defaults(
    platform: Platform,
) -> None:
    platform.tenants.put(TENANT, json.dumps(config_document()))
    running(platform, config_version=1)
    tight = platform.settings.model_copy(update={"max_cell_bytes": 20})
    record = platform.ledger.cancel(RUN_ID)
    record = write_reports(replace(platform, settings=tight), record)
    assert report(platform, record, "run_summary")["limits"]["cell_bytes"] == 20


@pytest.mark.parametrize(
    "text", ['{"tenant_id": 5}', None], ids=["does not hold", "is not there"]
)
def test_without_a_config_the_record_s_own_vendors_are_named(
    platform: Platform, text: str | None
) -> None:
    if text is not None:
        platform.tenants.put(TENANT, text)
    running(platform, config_version=1, vendors=("vendor_2",))
    record = write_reports(platform, platform.ledger.cancel(RUN_ID))
    assert report(platform, record, "run_summary")["vendor_record_counts"] == {
        "vendor_2": 0
    }


def test_a_failure_of_its_own_keeps_its_code_and_stage(
    platform: Platform,
) -> None:
    record = running(platform)
    failure = RunFailure(
        "DECODE_ERROR", "decode error: vendor_1", Stage.NORMALIZE
    )
    failed = platform.ledger.fail(record.fence, failure)
    written = write_reports(platform, failed)
    assert report(platform, written, "errors")["error_code"] == "DECODE_ERROR"
    assert written.status is RunStatus.FAILED
