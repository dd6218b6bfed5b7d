"""Tables of what a run found: their rows, and their columns where there are none."""

import dagster as dg
import pytest

from relay_core.merge.result import MergedInventory, merge_vendors
from relay_core.merge.row_counts import RowCounts
from relay_core.normalize.result import NormalizedVendor
from relay_dagster.orchestration.metadata_tables import (
    fault_table,
    input_table,
    row_table,
    rule_table,
    table,
    vendor_table,
    winner_table,
)
from support.builders import REQUESTED_AT, feed, tenant_config, vendor_document
from support.normalizing import normalize_vendor

CONFIG = tenant_config(
    vendor_document("north"),
    vendor_document("south"),
    error_policy={"max_invalid_rows": 9, "max_invalid_row_pct": "1"},
)
FOUND = {
    "status": "found",
    "s3_key": "tenants/acme/a.csv",
    "expected_prefix": "tenants/acme/",
    "size": 12,
    "last_modified": "2026-03-01T12:00:00Z",
}
MISSING = {
    **dict.fromkeys(FOUND),
    "status": "missing",
    "expected_prefix": "tenants/acme/",
}


def vendors(**feeds: bytes) -> list[NormalizedVendor]:
    return [
        normalize_vendor(
            CONFIG,
            CONFIG.vendor(name),
            data,
            file_name="f.csv",
            requested_at=REQUESTED_AT,
        )
        for name, data in feeds.items()
    ]


@pytest.fixture(scope="module")
def normalized() -> list[NormalizedVendor]:
    return vendors(
        north=feed("A,5,10.00", "B,many,1.00", "C,few,1.00"),
        south=feed("A,5,9.00"),
    )


@pytest.fixture(scope="module")
def merged(normalized: list[NormalizedVendor]) -> MergedInventory:
    return merge_vendors(CONFIG, normalized, warnings=())


def rows_of(shown: dg.TableMetadataValue) -> list[dict[str, object]]:
    return [dict(record.data) for record in shown.records]


def columns_of(shown: dg.TableMetadataValue) -> list[str]:
    return [column.name for column in shown.schema.columns]


def test_a_table_without_rows_has_its_columns_all_the_same() -> None:
    assert columns_of(table([], {"rows": "int", "columns": "string"})) == [
        "rows",
        "columns",
    ]


def test_an_input_is_shown_where_it_was_found_or_where_it_is_expected() -> None:
    table = input_table({"north": FOUND, "south": MISSING})
    assert columns_of(table) == [
        "vendor_id",
        "status",
        "s3_key",
        "bytes",
        "last_modified",
    ]
    first, second = rows_of(table)
    assert (first["s3_key"], first["bytes"]) == ("tenants/acme/a.csv", 12)
    assert (second["s3_key"], second["bytes"]) == ("tenants/acme/", 0)


def test_a_vendor_is_shown_with_its_counts_and_with_its_wins_where_they_are_known(
    normalized: list[NormalizedVendor],
) -> None:
    north, _ = rows_of(vendor_table(normalized))
    assert (north["rows"], north["valid"], north["invalid"]) == (3, 1, 2)
    assert "skus_won" not in north
    assert [
        row["skus_won"]
        for row in rows_of(vendor_table(normalized, {"south": 1}))
    ] == [0, 1]


def counts_of(**counts: int) -> RowCounts:
    outcomes = ("skipped", "refused", "duplicates", "left_out")
    outcomes += ("same_sku", "outbid", "unpriced", "won")
    return RowCounts(**{**dict.fromkeys(outcomes, 0), **counts})  # type: ignore[arg-type]  # all are numbers


def test_rows_are_shown_by_where_they_went() -> None:
    table = row_table(
        {"north": counts_of(read=3, refused=1, same_sku=1, won=1)}
    )
    assert columns_of(table)[:4] == ["vendor_id", "read", "skipped", "refused"]
    assert rows_of(table)[0]["same_sku"] == 1


def test_a_count_that_only_one_vendor_has_is_null_for_the_others() -> None:
    table = row_table(
        {
            "north": counts_of(read=3, refused=1, same_sku=1, won=1),
            "south": counts_of(read=2, unmatched=1, won=1),
        }
    )
    assert columns_of(table)[4:6] == ["unmatched", "duplicates"]
    assert [row["unmatched"] for row in rows_of(table)] == [None, 1]


def test_faults_are_counted_by_vendor_and_code_the_most_frequent_first(
    normalized: list[NormalizedVendor],
) -> None:
    assert rows_of(fault_table(normalized)) == [
        {"vendor_id": "north", "error_code": "invalid_quantity", "entries": 2}
    ]


def test_a_feed_that_cannot_be_used_is_a_fault_too() -> None:
    assert rows_of(
        fault_table(vendors(north=b"sku,quantity_available\nA,\xff\n"))
    ) == [{"vendor_id": "north", "error_code": "DECODE_ERROR", "entries": 1}]


def test_every_vendor_of_the_config_has_won_some_or_none(
    merged: MergedInventory,
) -> None:
    assert merged.skus_won() == {"north": 0, "south": 1}
    assert rows_of(winner_table(merged)) == [
        {"vendor_id": "north", "skus_won": 0},
        {"vendor_id": "south", "skus_won": 1},
    ]


def test_a_merged_feed_that_holds_breaks_no_rule(
    merged: MergedInventory,
) -> None:
    table = rule_table(merged)
    assert (rows_of(table), columns_of(table)) == (
        [],
        ["column", "rule", "rows"],
    )
