"""What the asset checks say, from bytes of a feed."""

from dataclasses import replace
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from relay_core.merge.result import merge_vendors, rules_broken_by
from relay_core.publish.findings import RunFindings
from relay_core.publish.state import read_state
from relay_dagster.orchestration.checks import (
    merged_results,
    normalized_results,
)
from support.builders import (
    REQUESTED_AT,
    feed,
    run_context,
    tenant_config,
    vendor_document,
)
from support.explaining import run_in_memory
from support.normalizing import normalize_vendor


def verdicts(*feeds: bytes, **policy: Any) -> dict[str, dg.AssetCheckResult]:
    """Return each check's result for vendors with these feeds."""
    documents = [
        vendor_document(f"vendor_{n}") for n in range(1, len(feeds) + 1)
    ]
    config = tenant_config(*documents, error_policy=policy)
    normalized = [
        normalize_vendor(
            config, vendor, data, file_name="f.csv", requested_at=REQUESTED_AT
        )
        for vendor, data in zip(config.vendors, feeds, strict=True)
    ]
    results = [*normalized_results(config.error_policy, normalized)]
    results += merged_results(
        merge_vendors(config, normalized), RunFindings(), run_context()
    )
    return {str(result.check_name): result for result in results}


def rows(
    result: dg.AssetCheckResult, table: str = "vendors"
) -> list[dict[str, Any]]:
    value = result.metadata[table]
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


def test_clean_feeds_pass_every_check() -> None:
    assert all(result.passed for result in verdicts(feed("A,5,10.00")).values())


def test_each_vendor_has_a_row_in_each_table() -> None:
    results = verdicts(feed("A,5,10.00"), feed("A,5,9.00", "B,x,1.00"))
    for name in (
        "canonical_schema_holds",
        "invalid_rows_within_max",
        "invalid_pct_within_max",
    ):
        assert [
            (row["vendor_id"], row["invalid"]) for row in rows(results[name])
        ] == [
            ("vendor_1", 0),
            ("vendor_2", 1),
        ]


def test_a_refused_row_breaks_the_canonical_schema_as_a_warning() -> None:
    result = verdicts(feed("A,5,10.00", "B,x,1.00"), max_invalid_rows=9)[
        "canonical_schema_holds"
    ]
    assert not result.passed
    assert result.severity is dg.AssetCheckSeverity.WARN
    assert rows(result, "errors_by_code") == [
        {
            "vendor_id": "vendor_1",
            "error_code": "invalid_quantity",
            "entries": 1,
        }
    ]


@pytest.mark.parametrize(
    ("policy", "rows_pass", "pct_passes"),
    [
        pytest.param(
            {"max_invalid_rows": 1, "max_invalid_row_pct": "0.5"},
            True,
            True,
            id="both",
        ),
        pytest.param({"max_invalid_rows": 1}, True, False, id="part too great"),
        pytest.param(
            {"max_invalid_row_pct": "0.5"}, False, True, id="rows too many"
        ),
        pytest.param({}, False, False, id="neither"),
    ],
)
def test_each_limit_has_a_check_of_its_own(
    policy: dict[str, Any], rows_pass: bool, pct_passes: bool
) -> None:
    results = verdicts(feed("A,5,10.00", "B,x,1.00"), **policy)
    assert results["invalid_rows_within_max"].passed is rows_pass
    assert results["invalid_pct_within_max"].passed is pct_passes


def test_the_merged_check_tells_how_many_skus_each_vendor_won() -> None:
    result = verdicts(feed("A,5,10.00", "C,1,1.00"), feed("A,5,9.00"))[
        "merged_schema_holds"
    ]
    assert result.passed
    assert rows(result) == [
        {"vendor_id": "vendor_1", "skus_won": 1},
        {"vendor_id": "vendor_2", "skus_won": 1},
    ]


def test_a_sku_that_stands_twice_breaks_both_checks_of_the_merged_rows() -> (
    None
):
    config = tenant_config()
    vendor = normalize_vendor(config, config.vendors[0], feed("A,5,10.00"))
    merged = merge_vendors(config, [vendor])
    assert merged.feed is not None
    twice = pa.concat_tables([merged.feed, merged.feed])
    broken = replace(merged, feed=twice, broken_rules=rules_broken_by(twice))
    results = {
        str(result.check_name): result
        for result in merged_results(broken, RunFindings(), run_context())
    }
    assert {name: result.passed for name, result in results.items()} == {
        "merged_schema_holds": False,
        "one_row_per_sku": False,
        "feed_within_guards": True,
    }
    assert rows(results["merged_schema_holds"], "broken_rules") == [
        {"column": "sku", "rule": "field_uniqueness", "rows": 2}
    ]


def test_prices_that_are_kept_back_stand_beside_the_guards() -> None:
    config = tenant_config(
        vendor_document("v1"), guards={"quarantine": {"max_pct": 1}}
    )
    before = run_in_memory(
        config, {"v1": feed(*(f"S{n:02},5,10" for n in range(20)))}
    )
    baseline = read_state(before.files[before.keys.state], keeps_rows=True)
    low = feed("S00,5,1", *(f"S{n:02},5,10" for n in range(1, 20)))
    run = run_in_memory(config, {"v1": low}, baseline=baseline)
    at = {"file_name": "f.csv", "requested_at": REQUESTED_AT}
    merged = merge_vendors(
        config, [normalize_vendor(config, config.vendors[0], low, **at)]
    )
    *_, result = merged_results(merged, run.findings, run_context())
    assert result.passed
    assert result.metadata["quarantined"].value == 1
    (row,) = rows(result, "quarantine")
    assert (row["sku"], row["price_published"], row["price_computed"]) == (
        "S00",
        "10.00",
        "1.00",
    )
