"""The reports: what they hold, in which order, and what is cut."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.run_faults import next_action
from relay_core.merge.result import merge_vendors
from relay_core.normalize.result import Normalized
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.compared import Compared, row_counts
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.publish.reports import (
    errors_json,
    invalid_rows_chunks,
    run_summary_json,
)
from relay_core.validation.vendor_failures import InputVerdict
from support.builders import (
    REQUESTED_AT,
    RUN_ID,
    feed,
    run_context,
    tenant_config,
    vendor_document,
)
from support.normalizing import normalize_vendors

LENIENT = {"max_invalid_rows": 100_000, "max_invalid_row_pct": "1"}


def ran(
    *feeds: bytes,
    error_policy: Mapping[str, Any] = LENIENT,
    own_share: str | None = None,
) -> RunFindings:
    """Run the feeds; ``own_share`` limits the refused rows of the last vendor."""
    vendors = [vendor_document(f"v{place}") for place in range(len(feeds))]
    vendors[-1]["max_invalid_row_pct"] = own_share
    config = tenant_config(*vendors, error_policy=error_policy)
    vendors = normalize_vendors(
        config,
        [
            VendorFeed.of_one(*pair, "f.csv")
            for pair in zip(config.vendors, feeds, strict=True)
        ],
        requested_at=REQUESTED_AT,
    )
    normalized = Normalized.of(InputVerdict(), vendors)
    merged = merge_vendors(config, vendors)
    compared = Compared(merged, row_counts(vendors, merged))
    scope = RunScope.of(config, config.vendors)
    return RunFindings.of(scope, None, normalized, compared)


def with_limits(findings: RunFindings, limits: Limits) -> RunFindings:
    return replace(findings, scope=findings.scope._replace(limits=limits))


def errors(
    findings: RunFindings, limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    report = errors_json(run_context(), with_limits(findings, limits))
    assert report is not None
    assert len(report) <= limits.report_bytes
    return dict(json.loads(report))


def test_a_run_without_a_word_to_say_has_no_errors_report() -> None:
    assert errors_json(run_context(), ran(feed("A,1,2"))) is None


def test_entries_are_faults_then_warnings_then_rows_and_every_code_is_counted() -> (
    None
):
    report = errors(ran(feed("A,1,2", "B,1,", ",1,1"), feed("C,x,-1")))

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


def test_rows_and_skus_are_cut_at_ten_thousand_each_and_counted_before() -> (
    None
):
    long_feed = feed(
        *(f"U{place},1," for place in range(10_500)),
        *("B,x,1",) * 10_200,
        "A,1,1",
    )
    findings = ran(long_feed, feed("C,y,1"))

    report = errors(findings)

    assert report["counts"]["UNPRICED_SKU"] == 10_500
    assert report["counts"]["invalid_quantity"] == 10_201
    assert report["truncated"] is True
    assert len(report["entries"]) == 20_001
    assert (
        b"".join(invalid_rows_chunks(findings.normalized)).count(b"\n")
        == 10_202
    )


def test_causes_stand_before_the_entries_the_most_frequent_first() -> None:
    report = errors(
        ran(
            feed("A,1,2", "B,x,1"),
            feed("C,y,1", 'D,1,"2,50"', "E,z,1", "F,1", ",1,1"),
        )
    )

    assert list(report) == [
        "run_id",
        "tenant_id",
        "error_code",
        "error_message",
        "counts",
        "truncated",
        "causes",
        "entries",
    ]
    causes = [
        (cause["vendor_id"], cause["column"], cause["count"])
        for cause in report["causes"]
    ]
    assert causes == [
        ("v1", "quantity_available", 2),
        ("v0", "quantity_available", 1),
        ("v1", "sku", 1),
        ("v1", "cost", 1),
        ("v1", None, 1),
    ]
    assert report["causes"][3] == {
        "error_code": "invalid_decimal",
        "vendor_id": "v1",
        "column": "cost",
        "shape": "9,9",
        "count": 1,
        "samples": [{"row_number": 3, "value": "2,50"}],
        "what_to_do": 'set parser.decimal_separator to ","',
        "patch": [
            {
                "op": "add",
                "path": "/vendors/1/parser/decimal_separator",
                "value": ",",
            }
        ],
    }


def test_a_report_without_a_refused_row_has_no_causes() -> None:
    assert errors(ran(feed("A,1,2", "B,1,")))["causes"] == []


def test_the_first_causes_of_many_are_told_and_count_to_the_limit_of_bytes() -> (
    None
):
    marks = "!#$%&*+-/:<=>?@^_|~"
    findings = ran(
        feed(*(f"A,{mark},{'y' * 900}" for mark in marks), "A,!,1", "B,1,1")
    )
    few = errors(findings, Limits(report_causes=3, report_bytes=20_000))
    assert [(cause["shape"], cause["count"]) for cause in few["causes"]] == [
        ("A…", len(marks)),
        ("!", 2),
        ("#", 1),
    ]
    assert few["truncated"] is True
    assert few["entries"]


def test_a_failure_for_refused_rows_names_what_mends_most_of_them() -> None:
    strict = {"max_invalid_rows": 1, "max_invalid_row_pct": "1"}
    data = 'A,1,"2,50"', 'B,1,"3,50"', "C,x,1", "D,1,1"
    failure = ran(feed(*data), error_policy=strict).failure
    assert failure is not None
    assert next_action(failure) == (
        "Fix the most frequent cause, invalid_decimal in column cost of vendor v0 (2 x): "
        'set parser.decimal_separator to ",", then start a new run.'
    )


def test_a_failure_of_one_vendors_rows_names_a_cause_of_that_vendor() -> None:
    findings = ran(
        feed("A,x,2", "B,x,2", "C,1,1"), feed("D,1,z", "E,1,1"), own_share="0.4"
    )
    assert findings.failure is not None
    assert findings.failure.vendors == ("v1",)
    assert "column cost of vendor v1" in next_action(findings.failure)


def test_a_report_is_no_longer_than_its_limit_and_says_that_it_is_cut() -> None:
    findings = ran(
        feed(*(f"A{place},{'x' * 900},1" for place in range(300)), "B,1,1")
    )
    whole = errors(findings)
    cut = errors(findings, Limits(report_bytes=100_000))

    assert (len(whole["entries"]), whole["truncated"]) == (301, False)
    assert cut["truncated"] is True
    assert cut["counts"] == whole["counts"]
    assert cut["entries"] == whole["entries"][: len(cut["entries"])]
    assert 30 < len(cut["entries"]) < 60


def test_a_report_may_be_as_long_as_its_limit_to_the_byte() -> None:
    findings = ran(feed(*("A,x,1",) * 20, "B,1,1"))
    whole = errors_json(run_context(), findings)
    assert whole is not None
    exact, cut = (
        errors_json(
            run_context(), with_limits(findings, Limits(report_bytes=limit))
        )
        for limit in (len(whole), len(whole) - 1)
    )
    assert exact == whole
    assert cut is not None
    assert (
        len(json.loads(cut)["entries"]) == len(json.loads(whole)["entries"]) - 1
    )


def test_a_record_with_many_long_bad_cells_takes_less_room_in_the_report_than_in_the_feed() -> (
    None
):
    header = "sku,quantity_available,lead_time_days,cost,map_price,price,msrp,condition,updated_at"
    bad = ",".join(["x" * 50_000] * 8)
    data = feed(*(f"A{place},{bad}" for place in range(20)), header=header)

    report = errors_json(run_context(), ran(data))

    assert report is not None
    assert (
        sum("column" in entry for entry in json.loads(report)["entries"])
        == 20 * 8
    )
    assert len(report) < len(data) / 4


def test_refused_records_are_written_in_pieces_however_large_they_are() -> None:
    record = "A,x," + "y" * 50_000
    data = feed(*[record] * 400, header="sku,quantity_available,note")
    config = tenant_config()
    feeds = [VendorFeed.of_one(config.vendors[0], data, "feed.csv")]
    normalized = normalize_vendors(config, feeds, requested_at=REQUESTED_AT)
    sizes = [len(bytes(chunk)) for chunk in invalid_rows_chunks(normalized)]
    assert sum(sizes) > len(data)
    assert max(sizes) < 5 << 20


def summary_of_two_vendors() -> dict[str, Any]:
    """Return the summary of a run whose first vendor has one valid row of two."""
    findings = replace(
        ran(feed("A,1,2", "B,x,2")),
        scope=RunScope(["v0", "absent"], vendor_count=4),
    )
    summary: dict[str, Any] = json.loads(
        run_summary_json(
            run_context(config_version=3, attempt=2),
            findings,
            status=RunStatus.SUCCEEDED,
            stage_times={"NORMALIZE": 0.12345},
            duration_seconds=1.0,
            completed_at=datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC),
        )
    )
    return summary


def test_the_summary_counts_valid_rows_of_every_vendor_of_the_run() -> None:
    summary = summary_of_two_vendors()
    assert summary == {
        "engine_version": metadata.version("relay-inventory"),
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
        "guards": None,
        "changes": None,
        "stage_times": {"NORMALIZE": 0.123},
        "duration_seconds": 1.0,
        "completed_at": "2026-03-01T12:00:05Z",
        "rows": {
            "v0": {
                "read": 2,
                "skipped": 0,
                "refused": 1,
                "duplicates": 0,
                "left_out": 0,
                "same_sku": 0,
                "outbid": 0,
                "unpriced": 0,
                "won": 1,
            }
        },
        "quarantined": None,
    }
    assert list(summary)[-2:] == ["rows", "quarantined"]


def test_the_summary_tells_limits_that_are_not_the_defaults() -> None:
    limits = replace(DEFAULT_LIMITS, columns=3)
    findings = with_limits(ran(feed("A,1,2")), limits)
    summary = json.loads(
        run_summary_json(
            run_context(),
            findings,
            status=RunStatus.SUCCEEDED,
            stage_times={},
            duration_seconds=1.0,
            completed_at=REQUESTED_AT,
        )
    )
    assert summary["limits"] == {
        "feed_bytes": 2 << 30,
        "sku_map_bytes": 256 << 20,
        "columns": 3,
        "cell_bytes": 1 << 20,
    }
