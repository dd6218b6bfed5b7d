"""The reports: what they hold, in which order, and what is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from builders import REQUESTED_AT, RUN_ID, feed, run_context, tenant_config, vendor_document
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.pipeline import merge_vendors, normalize_vendor
from relay_core.publish.reports import (
    ArtifactKeys,
    errors_json,
    invalid_rows_chunks,
    run_summary_json,
)

LENIENT = {"max_invalid_rows": 100_000, "max_invalid_row_pct": "1"}


def ran(*feeds: bytes) -> tuple[list[NormalizedVendor], MergedInventory]:
    vendors = [vendor_document(f"v{place}") for place in range(len(feeds))]
    config = tenant_config(*vendors, error_policy=LENIENT)
    normalized = [
        normalize_vendor(config, vendor, data, file_name="f", requested_at=REQUESTED_AT)
        for vendor, data in zip(config.vendors, feeds, strict=True)
    ]
    return normalized, merge_vendors(config, normalized)


def errors(normalized: Sequence[NormalizedVendor], merged: MergedInventory) -> dict[str, object]:
    report = errors_json(
        run_context(),
        merged.failure,
        faults=merged.faults,
        warnings=merged.warnings,
        warning_counts=merged.warning_counts,
        normalized=normalized,
    )
    assert report is not None
    return dict(json.loads(report))


def test_a_run_without_a_word_to_say_has_no_errors_report() -> None:
    normalized, merged = ran(feed("A,1,2"))

    assert errors_json(run_context(), merged.failure, normalized=normalized) is None


def test_entries_are_faults_then_warnings_then_rows_and_every_code_is_counted() -> None:
    normalized, merged = ran(feed("A,1,2", "B,1,", ",1,1"), feed("C,x,-1"))

    report = errors(normalized, merged)

    assert [entry["error_code"] for entry in report["entries"]] == [
        "invalid_rows_within_threshold",
        "UNPRICED_SKU",
        "missing_sku",
        "invalid_quantity",
        "negative_amount",
    ]
    assert report["counts"] == {
        "UNPRICED_SKU": 1,
        "invalid_quantity": 1,
        "invalid_rows_within_threshold": 1,
        "missing_sku": 1,
        "negative_amount": 1,
    }
    assert report["truncated"] is False


def test_rows_and_skus_are_cut_at_ten_thousand_each_and_counted_before() -> None:
    many = feed(*(f"U{place},1," for place in range(10_500)), *("B,x,1",) * 10_200, "A,1,1")
    normalized, merged = ran(many, feed("C,y,1"))

    report = errors(normalized, merged)

    assert report["counts"]["UNPRICED_SKU"] == 10_500
    assert report["counts"]["invalid_quantity"] == 10_201
    assert report["truncated"] is True
    assert len(report["entries"]) == 20_001
    assert b"".join(invalid_rows_chunks(normalized)).count(b"\n") == 10_202


def test_keys_lie_under_the_run_and_its_tenant() -> None:
    keys = ArtifactKeys(RUN_ID, "acme")

    assert keys.errors == f"{RUN_ID}/tenants/acme/reports/errors.json"
    assert keys.normalized("v") == f"{RUN_ID}/tenants/acme/normalized/v/normalized.csv"
    assert ArtifactKeys("", "acme").merged_inventory == "outputs/merged_inventory.csv"


def test_the_summary_counts_valid_rows_of_every_vendor_of_the_run() -> None:
    normalized, merged = ran(feed("A,1,2", "B,x,2"))
    summary = json.loads(
        run_summary_json(
            run_context(config_version=3, attempt=2),
            status="SUCCEEDED",
            error_code=None,
            vendors=["v0", "absent"],
            vendor_count=4,
            normalized=normalized,
            record_count=merged.record_count,
            unpriced_skus=merged.unpriced_skus,
            warning_counts=merged.warning_counts,
            stage_times={"NORMALIZE": 0.12345},
            duration_seconds=1.0,
            completed_at=datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC),
        )
    )

    assert summary == {
        "run_id": RUN_ID,
        "tenant_id": "acme",
        "config_version": 3,
        "status": "SUCCEEDED",
        "error_code": None,
        "attempt": 2,
        "vendor_count": 4,
        "vendor_record_counts": {"v0": 1, "absent": 0},
        "record_count": 1,
        "invalid_rows": 1,
        "total_rows": 2,
        "unpriced_skus": 0,
        "warnings": {"invalid_rows_within_threshold": 1},
        "stage_times": {"NORMALIZE": 0.123},
        "duration_seconds": 1.0,
        "completed_at": "2026-03-01T12:00:05Z",
    }
