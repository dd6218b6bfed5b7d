"""Parts of a vendor: rows that follow those of the base, and columns that base rows are given."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from relay_core.publish.explaining.explanation import explain_sku
from relay_core.publish.reports import (
    config_snapshot_json,
    input_manifest_json,
)
from support.builders import REQUESTED_AT, feed, run_context
from support.file_lists import ListRun, NamedFile, part, run_files
from support.memory_sink import MemorySink
from support.reported_runs import KEYS, errors_of

PRICES = feed("A,1.50,Ay", "B,2,Be", "C,3,Ce", header="sku,cost,title")


def stock(*rows: str, **options: Any) -> NamedFile:
    data = feed(*rows, header=options.pop("header", "sku,quantity_available"))
    return NamedFile("stock.csv", data, "stock", **options)


def joined(
    *rows: str, part_options: dict[str, Any] | None = None, **options: Any
) -> ListRun:
    """Join the price list with a stock file."""
    files = [NamedFile("prices.csv", PRICES), stock(*rows)]
    parts = [part(**(part_options or {}))]
    return run_files(files, parts=parts, **options)


def quantities(run: ListRun) -> dict[str, int]:
    return {row["sku"]: int(row["quantity_available"]) for row in run.rows}


def entries_of(run: ListRun) -> list[dict[str, Any]]:
    """Return the entries of errors.json about rows."""
    entries = errors_of(run.findings)["entries"]
    return [entry for entry in entries if "row_number" in entry]


# --- rows ---------------------------------------------------------------------------------------


def test_rows_of_a_part_follow_those_of_the_base_as_warehouses_do() -> None:
    columns = "sku,quantity_available,cost"
    run = run_files(
        [
            NamedFile("east.csv", feed("A,1,5", "B,2,5", header=columns)),
            NamedFile("west.csv", feed("A,3,9", header=columns), "west"),
            NamedFile("north.csv", feed("A,4,7", header=columns), "north"),
        ],
        parts=[part("west", gives="rows"), part("north", gives="rows")],
        duplicate_skus="sum",
    )
    assert [(row["sku"], row["cost"]) for row in run.rows] == [
        ("A", "5.00"),
        ("A", "9.00"),
        ("A", "7.00"),
        ("B", "5.00"),
    ]
    assert [row["quantity_available"] for row in run.feed] == ["8", "2"]
    assert run.counts == {
        "read": 4,
        "skipped": 0,
        "refused": 0,
        "duplicates": 2,
        "left_out": 0,
        "same_sku": 0,
        "outbid": 0,
        "unpriced": 0,
        "won": 2,
        "parts": {
            name: {"read": 1, "skipped": 0, "refused": 0}
            for name in ("west", "north")
        },
    }


def test_the_last_row_of_a_sku_is_that_of_the_last_file() -> None:
    columns = "sku,quantity_available,cost"
    files = [
        NamedFile("east.csv", feed("A,1,5", "A,2,6", header=columns)),
        NamedFile("west.csv", feed("A,3,9", header=columns), "west"),
    ]
    parts = [part("west", gives="rows")]
    last = run_files(files, parts=parts, duplicate_skus="last")
    assert [row["quantity_available"] for row in last.feed] == ["3"]
    refused = run_files(
        [*files, NamedFile("n.csv", feed("B,1,1", header=columns), "n")],
        parts=[*parts, part("n", gives="rows")],
        duplicate_skus="refuse",
    )
    assert [row["sku"] for row in refused.rows] == ["B"]
    assert refused.rejected == [
        ("east.csv", 2, "duplicate_sku"),
        ("east.csv", 3, "duplicate_sku"),
        ("west.csv", 2, "duplicate_sku"),
    ]


# --- columns ------------------------------------------------------------------------------------


def test_a_part_gives_its_columns_and_no_other_file_has_them() -> None:
    files = [
        NamedFile(
            "prices.csv",
            feed("A,1,77,base", header="sku,cost,quantity_available,title"),
        ),
        stock("A,5,part,9", header="sku,quantity_available,title,cost"),
    ]
    run = run_files(files, parts=[part()])
    (row,) = run.rows
    assert (row["quantity_available"], row["title"], row["cost"]) == (
        *("5", "base"),
        "1.00",
    )


def test_an_unmatched_row_is_left_out_and_an_unused_one_is_counted() -> None:
    run = joined("A,5", "X,1", "Y,2")
    assert quantities(run) == {"A": 5}
    assert run.rejected == []
    assert run.warnings == {}
    assert run.counts["unmatched"] == 2
    assert run.counts["parts"] == {
        "stock": {
            "read": 3,
            "skipped": 0,
            "refused": 0,
            "duplicates": 0,
            "used": 1,
            "unused": 2,
        }
    }
    assert list(run.counts)[:4] == ["read", "skipped", "refused", "unmatched"]
    assert list(run.counts)[-1] == "parts"
    assert run.findings.counts()["total_rows"] == 6
    assert run.findings.valid_rows() == {"acme": 1}


def test_null_keeps_an_unmatched_row_without_the_columns_of_the_part() -> None:
    gives = ["quantity_available", "brand", "updated_at"]
    files = [
        NamedFile("prices.csv", PRICES),
        stock(
            "A,5,Brand,2026-01-02",
            header="sku,quantity_available,brand,updated_at",
        ),
    ]
    run = run_files(files, parts=[part(gives=gives, unmatched=None)])
    names = ("sku", "quantity_available", "brand", "updated_at")
    assert [tuple(row[name] for name in names) for row in run.rows] == [
        ("A", "5", "Brand", "2026-01-02T00:00:00Z"),
        ("B", "0", "", "2026-03-01T12:00:00Z"),
        ("C", "0", "", "2026-03-01T12:00:00Z"),
    ]
    assert run.counts["unmatched"] == 0


@pytest.mark.parametrize("key", ["vendor_sku", "shelf"])
def test_a_key_is_compared_as_the_parsers_made_it_by_code_point(
    key: str,
) -> None:
    base = feed(
        *("1, x ,1", "2,X,1", "3,é,1", "4,,1", "5,none,1"),
        header=f"sku,{key},cost",
    )
    run = run_files(
        [NamedFile("prices.csv", base), stock(" x,5", "e\u0301,6", "none,7")],
        parts=[part(key=key)],
        parser={"format": "csv", "null_values": ["none"]},
    )
    assert quantities(run) == {"1": 5}


def test_a_key_of_gtins_is_read_as_a_gtin() -> None:
    base = feed(
        *("1,4006381333931,1", "2,96385074,1", "3,,1"),
        header="sku,ean,cost",
    )
    rows = ["04006381333931,5", "9638-5074,6", "123,7", ",8"]
    run = run_files(
        [NamedFile("prices.csv", base), stock(*rows)],
        parts=[part(key="ean")],
        config={"extra_columns": ["ean"], "gtin_column": "ean"},
    )
    assert quantities(run) == {"1": 5, "2": 6}
    assert run.rejected == [
        ("stock.csv", 4, "invalid_gtin"),
        ("stock.csv", 5, "missing_sku"),
    ]
    assert [entry["column"] for entry in entries_of(run)] == ["sku", "sku"]


def test_a_delta_replaces_and_deletes_by_the_gtin() -> None:
    base = feed("1,4006381333931,1", "2,96385074,1", header="sku,ean,cost")
    changes = {
        "full": "stock*",
        "delta": "delta*",
        "deleted": {"column": "gone", "is": ["x"]},
    }
    header = "sku,quantity_available,gone"
    rows = feed("4006381333931,9,", "0000096385074,,x", header=header)
    run = run_files(
        [
            NamedFile("prices.csv", base),
            stock("04006381333931,5", "96385074,6"),
            NamedFile("delta.csv", rows, "stock", "delta"),
        ],
        parts=[part(key="ean", changes=changes)],
        config={"extra_columns": ["ean"], "gtin_column": "ean"},
    )
    assert quantities(run) == {"1": 9}


def test_a_row_of_a_part_without_its_key_is_rejected() -> None:
    run = joined("A,5", ",6")
    assert run.rejected == [("stock.csv", 3, "missing_sku")]
    (entry,) = entries_of(run)
    assert list(entry) == [
        *("error_code", "error_message", "vendor_id", "row_number", "file"),
        *("column", "value", "row_data"),
    ]
    assert entry["file"] == "stock.csv"


@pytest.mark.parametrize(
    ("policy", "quantity", "refused", "duplicates"),
    [
        ("first", {"A": 5, "B": 1}, 0, 2),
        ("last", {"A": 7, "B": 1}, 0, 2),
        ("sum", {"A": 18, "B": 1}, 0, 2),
        ("refuse", {"B": 1}, 3, 0),
    ],
)
def test_rows_of_one_key_are_judged_by_the_policy_of_the_part(
    policy: str, quantity: dict[str, int], refused: int, duplicates: int
) -> None:
    rows = ("A,5", "A,6", "B,1", "A,7", "A,x")
    run = joined(*rows, part_options={"duplicate_skus": policy})
    assert quantities(run) == quantity
    figures = run.counts["parts"]["stock"]
    assert figures["refused"] == refused + 1
    assert figures["duplicates"] == duplicates
    assert figures["read"] == sum(figures.values()) - figures["read"]


def test_a_sum_has_a_limit_and_the_first_row_gives_all_else() -> None:
    gives = ["quantity_available", "brand"]
    header = "sku,quantity_available,brand"
    files = [
        NamedFile("prices.csv", PRICES),
        stock("A,2147483647,first", "A,5,second", header=header),
    ]
    parts = [part(gives=gives, duplicate_skus="sum")]
    (row,) = run_files(files, parts=parts).rows
    assert (row["quantity_available"], row["brand"]) == ("2147483647", "first")


def test_defaults_of_a_part_fill_cells_of_its_own_rows_alone() -> None:
    parser = {"format": "csv", "defaults": {"quantity_available": "9"}}
    options = {"parser": parser, "unmatched": None}
    run = joined("A,", "B,2", part_options=options)
    assert quantities(run) == {"A": 9, "B": 2, "C": 0}


def test_amounts_of_a_part_are_in_the_currency_of_the_vendor() -> None:
    files = [
        NamedFile("a.csv", feed("A,1", header="sku,quantity_available")),
        NamedFile("b.csv", feed("A,10", header="sku,cost"), "prices"),
    ]
    run = run_files(
        files,
        parts=[part("prices", gives=["cost"])],
        currency="EUR",
        config={"exchange_rates": {"EUR": "1.5"}},
    )
    assert run.rows[0]["cost"] == "15.00"


def test_a_map_comes_after_the_parts_and_duplicates_come_last() -> None:
    run = joined(
        *("A,5", "B,6", "C,"),
        sku_map=b"vendor_sku,sku\nA,S\nB,S\nC,T\n",
        duplicate_skus="sum",
        part_options={"unmatched": "leave_out"},
    )
    assert [(row["sku"], row["vendor_sku"]) for row in run.rows] == [
        ("S", "A"),
        ("S", "B"),
    ]
    assert [row["quantity_available"] for row in run.feed] == ["11"]
    # A rejected row of the part is known by its own SKU, after the map.
    assert [entry["sku"] for entry in entries_of(run)] == ["T"]


def test_a_part_row_stays_used_if_a_later_part_takes_the_base_row_out() -> None:
    files = [
        NamedFile("prices.csv", PRICES),
        stock("A,1", "B,2", "C,3"),
        NamedFile("names.csv", feed("A,x", header="sku,brand"), "names"),
    ]
    parts = [part(), part("names", gives=["brand"])]
    run = run_files(files, parts=parts)
    assert quantities(run) == {"A": 1}
    assert run.counts["unmatched"] == 2
    used_rows = {
        name: part_counts["used"]
        for name, part_counts in run.counts["parts"].items()
    }
    assert used_rows == {"stock": 3, "names": 1}


# --- trouble ------------------------------------------------------------------------------------


def message_of(run: ListRun) -> str:
    assert run.findings.failure is not None
    assert "acme" not in run.findings.rows
    assert run.findings.counts()["total_rows"] == 0
    return run.findings.failure.error_message


def test_a_part_without_what_it_gives_is_trouble_of_the_vendor() -> None:
    files = [NamedFile("prices.csv", PRICES), stock("A,5", header="sku,amount")]
    run = run_files(files, parts=[part()])
    assert run.findings.failure is not None
    assert run.findings.failure.error_code == "missing_required_columns"
    message = message_of(run)
    assert "vendor 'acme', part 'stock', file 'stock.csv'" in message
    assert "'quantity_available'" in message
    without = stock("A,5", header="nr,quantity_available")
    run = run_files([files[0], without], parts=[part()])
    assert "'sku'" in message_of(run)


def test_the_first_faulty_file_is_the_vendors_fault() -> None:
    files = [
        NamedFile("prices.csv", b"sku,cost\n\xff,1\n"),
        stock("A,5", header="sku,amount"),
    ]
    run = run_files(files, parts=[part()])
    assert run.findings.failure is not None
    assert run.findings.failure.error_code == "DECODE_ERROR"
    assert len(run.findings.faults) == 1


def test_a_file_without_a_row_is_trouble_that_names_the_part() -> None:
    for empty in (b"", b"sku,quantity_available\n"):
        files = [
            NamedFile("prices.csv", PRICES),
            NamedFile("stock.csv", empty, "stock"),
        ]
        run = run_files(files, parts=[part()])
        assert run.findings.failure is not None
        assert run.findings.failure.error_code == "no_rows_parsed"
        assert "part 'stock' of vendor 'acme'" in message_of(run)


def test_a_part_that_matches_nothing_shows_a_key_of_each_side() -> None:
    run = joined("X-1,5", "X-2,6")
    assert run.findings.failure is not None
    assert run.findings.failure.error_code == "no_rows_parsed"
    message = message_of(run)
    assert "part 'stock' of vendor 'acme'" in message
    assert "'X-1'" in message
    assert "'A'" in message


def test_such_trouble_of_an_optional_vendor_leaves_it_out_alone() -> None:
    run = joined(
        "X,5",
        others={"other": feed("O,1,1")},
        on_trouble="leave_out",
    )
    assert run.findings.failure is None
    assert "'X'" in run.warnings["VENDOR_LEFT_OUT"]
    assert [row["sku"] for row in run.feed] == ["O"]


def optional(**options: Any) -> dict[str, Any]:
    return part(
        "names", gives=["brand"], unmatched=None, required=False, **options
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "OPTIONAL_VENDOR_MISSING"),
        (b"", "no_rows_parsed"),
        (b"sku,brand\n\xff,x\n", "DECODE_ERROR"),
        (b"sku,other\nA,x\n", "missing_required_columns"),
        (b"sku,brand\nX,x\n", "no_rows_parsed"),
    ],
)
def test_an_optional_part_is_left_out_with_the_reason(
    data: bytes | None, code: str
) -> None:
    header = "sku,quantity_available,cost"
    files = [NamedFile("a.csv", feed("A,1,2", header=header))]
    if data is not None:
        files.append(NamedFile("names.csv", data, "names"))
    parser = {"format": "csv", "column_map": {"brand": "brand"}}
    run = run_files(files, parts=[optional(parser=parser)])
    assert run.findings.failure is None
    assert code in run.warnings["PART_LEFT_OUT"]
    assert "part 'names' of vendor 'acme'" in run.warnings["PART_LEFT_OUT"]
    assert [row["brand"] for row in run.rows] == [""]
    assert run.counts["parts"] == {}
    assert run.findings.counts()["total_rows"] == 1


def test_a_part_without_a_key_is_left_out_where_columns_may_lack() -> None:
    header = "sku,quantity_available,cost"
    files = [
        NamedFile("a.csv", feed("A,1,2", header=header)),
        NamedFile("names.csv", b"nr,brand\nA,x\n", "names"),
    ]
    policy = {
        "max_invalid_rows": 9,
        "max_invalid_row_pct": 1,
        "fail_on_missing_required_columns": False,
    }
    config = {"error_policy": policy}
    run = run_files(files, parts=[optional()], config=config)
    assert list(run.warnings) == ["PART_LEFT_OUT"]
    run = run_files(
        files,
        parts=[{**optional(), "required": True}],
        config=config,
        others={"other": feed("O,1,1")},
    )
    assert "part 'names'" in run.warnings["missing_required_columns"]
    assert [row["sku"] for row in run.feed] == ["O"]


def hours(count: float) -> dict[str, Any]:
    return {"uploaded_at": REQUESTED_AT - timedelta(hours=count)}


def test_a_missing_or_stale_part_is_trouble_of_the_vendor() -> None:
    base = NamedFile("prices.csv", PRICES, None, "full", REQUESTED_AT)
    missing = run_files([base], parts=[part()])
    assert missing.findings.failure is not None
    assert missing.findings.failure.error_code == "REQUIRED_VENDOR_MISSING"
    assert "part 'stock' of vendor 'acme'" in message_of(missing)
    assert "tenants/acme/inbound/of_part/stock/" in message_of(missing)
    parts = [part(max_feed_age_hours=2)]
    stale = run_files([base, stock("A,5", **hours(2.1))], parts=parts)
    assert stale.findings.failure is not None
    assert stale.findings.failure.error_code == "STALE_FEED"
    assert "part 'stock' of vendor 'acme'" in message_of(stale)
    fresh = run_files([base, stock("A,5", **hours(2))], parts=parts)
    assert fresh.findings.failure is None


def test_the_time_of_a_vendor_is_that_of_its_quantities() -> None:
    base = NamedFile("prices.csv", PRICES, None, "full", REQUESTED_AT)
    run = run_files([base, stock("A,5", **hours(3))], parts=[part()])
    (result,) = run.findings.vendor_results(REQUESTED_AT)
    assert result.age_hours == 3
    header = "sku,quantity_available,cost"
    rows = [
        NamedFile("e.csv", feed("A,1,1", header=header), **hours(1)),
        NamedFile("w.csv", feed("B,1,1", header=header), "west", **hours(5)),
    ]
    run = run_files(rows, parts=[part("west", gives="rows")])
    (result,) = run.findings.vendor_results(REQUESTED_AT)
    assert result.age_hours == 5


# --- reports ------------------------------------------------------------------------------------


def test_invalid_rows_have_the_file_of_every_vendor_in_order() -> None:
    parser = {"format": "csv", "delimiter": ";"}
    files = [
        NamedFile(
            "prices.csv", feed("A,x,t", "B,1,t", header="sku,cost,title")
        ),
        NamedFile(
            "stock.csv",
            feed("A;y", "B;1", header="sku;quantity_available"),
            "stock",
        ),
    ]
    run = run_files(
        files,
        parts=[part(parser=parser)],
        others={"other": feed("O,z,1")},
    )
    assert run.table(KEYS.invalid_rows) == [
        {
            "vendor_id": vendor_id,
            "row_number": "2",
            "error_codes": code,
            "raw": raw,
            "file": file,
        }
        for vendor_id, code, raw, file in (
            ("acme", "invalid_decimal", "A,x,t", "prices.csv"),
            ("acme", "invalid_quantity", "A;y", "stock.csv"),
            ("other", "invalid_quantity", "O,z,1", "other.csv"),
        )
    ]
    files_of_entries = [entry.get("file") for entry in entries_of(run)]
    assert files_of_entries == ["prices.csv", "stock.csv", None]


class RunFiles:
    """The files of a run in memory."""

    def __init__(self, sink: MemorySink) -> None:
        self.files = {key: bytes(data) for key, data in sink.files.items()}
        self.sizes = {key: len(data) for key, data in self.files.items()}

    def read(self, parts: Any) -> list[bytes]:
        return [self.files[key][part.start : part.stop] for key, part in parts]


def test_explanations_name_the_file_of_each_row() -> None:
    run = joined(
        *("A,5", "B,x"),
        hands_over=True,
        others={"other": feed("A,1,9", "B,1,1")},
        duplicate_skus="sum",
    )
    statuses = {"acme": {"status": "found"}, "other": {"status": "found"}}
    run.files[KEYS.config_snapshot] = config_snapshot_json(
        run_context(), run.document
    )
    run.files[KEYS.input_manifest] = input_manifest_json(
        run_context(), statuses, ""
    )
    files = RunFiles(run)
    explanation = explain_sku(files, KEYS, "r", "A")
    assert explanation["winner"] == {
        "vendor_id": "acme",
        "row_number": 2,
        "file": "prices.csv",
    }
    assert [offer.get("file") for offer in explanation["offers"]] == [
        "prices.csv",
        None,
    ]
    assert list(explanation["offers"][0])[2:4] == ["row_number", "file"]
    explanation = explain_sku(files, KEYS, "r", "B")
    assert explanation["refused"] == [
        {
            "vendor_id": "acme",
            "row_number": 3,
            "file": "stock.csv",
            "error_codes": "invalid_quantity",
        }
    ]
