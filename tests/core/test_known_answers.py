"""Feeds of one oddity each, and the bytes that they become, spelled out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reference_runs import EngineRun, run_document
from support.builders import config_document, vendor_document

FEEDS = Path(__file__).parents[1] / "data" / "feeds"
HEADER = (
    "sku,vendor_sku,vendor_id,quantity_available,lead_time_days,cost,map_price,price,msrp,"
    "condition,brand,title,updated_at"
)
NOW = datetime(2024, 6, 1, 12, 0, 0, 999_999, tzinfo=UTC)
LENIENT = {"max_invalid_rows": 1000, "max_invalid_row_pct": "1.0"}


def run_feed(
    name: str, *, parser: dict[str, Any] | None = None, **changes: Any
) -> EngineRun:
    """Run one vendor's sample feed; any number of its rows may be refused."""
    sku_map = changes.pop("sku_map", None)
    vendor = vendor_document("v", parser=parser or {})
    if sku_map is not None:
        vendor["sku_map"] = {"type": "file", "local_path": "sku_map.csv"}
    document = config_document(vendor, **{"error_policy": LENIENT, **changes})
    maps = {} if sku_map is None else {"v": sku_map}
    return run_document(document, {"v": (FEEDS / name).read_bytes()}, maps, NOW)


def normalized(run: EngineRun) -> list[str]:
    """Return the lines of normalized.csv without its header, the run's own time as NOW."""
    text = run.outcome.normalized["v"].decode()
    assert text.startswith(HEADER + "\n")
    assert text.endswith("\n")
    body = text[len(HEADER) + 1 : -1].replace("2024-06-01T12:00:00Z", "NOW")
    return body.split("\n") if body else []


def refused(run: EngineRun) -> list[tuple[int, str, str | None, str | None]]:
    """Return record number, code, column and value of each row entry."""
    return [
        (e.row_number, e.error_code, e.column, e.value)
        for e in run.outcome.entries
    ]


def invalid_rows(run: EngineRun) -> str:
    return run.outcome.invalid_rows.decode()


def test_utf_16_with_tabs_reads_like_any_other_feed() -> None:
    run = run_feed(
        "utf16_tabs.tsv",
        parser={
            "delimiter": "\t",
            "encoding": "utf-16",
            "decimal_separator": ",",
            "thousands_separator": ".",
            "column_map": {
                "sku": "SKU",
                "quantity_available": "Menge",
                "cost": "Preis",
                "title": "Titel",
            },
        },
    )
    assert normalized(run) == [
        "b-2,,v,0,,1234.50,,,,,,Tab\there,NOW",
        'ä-1,,v,3,,4.50,,,,,,"Rohr 5"" lang",NOW',
    ]


def test_a_decimal_comma_reads_points_as_thousands_in_groups_of_three_only() -> (
    None
):
    run = run_feed(
        "decimal_comma.csv",
        parser={
            "delimiter": ";",
            "decimal_separator": ",",
            "thousands_separator": ".",
        },
    )
    assert normalized(run) == [
        "A,,v,1970,,1234.50,,,,,,,NOW",
        "B,,v,12,,0.005,,,,,,,NOW",
        "E,,v,1,,0.50,,,,,,,NOW",
    ]
    assert refused(run) == [
        (4, "invalid_decimal", "cost", "4.20"),
        (5, "invalid_decimal", "cost", "1970.000"),
    ]
    assert invalid_rows(run) == (
        "vendor_id,row_number,error_codes,raw\n"
        "v,4,invalid_decimal,C;1;4.20\n"
        "v,5,invalid_decimal,D;1;1970.000\n"
    )


def test_one_currency_symbol_at_each_end_is_removed_longest_first() -> None:
    run = run_feed(
        "currency.csv",
        parser={
            "thousands_separator": ",",
            "currency_symbols": ["$", "US$", "USD"],
        },
    )
    assert normalized(run) == [
        "A,,v,1234,,1234.50,,5.00,,,,,NOW",
        "B,,v,1,,7.00,,5.00,,,,,NOW",
        "G,,v,1,,9.00,,1.00,,,,,NOW",
    ]
    assert refused(run) == [
        (4, "invalid_decimal", "cost", "$"),
        (5, "invalid_decimal", "cost", "$$5"),
        (6, "negative_amount", "cost", "$-5"),
        (7, "invalid_decimal", "cost", "-$5"),
    ]


def test_line_ends_inside_quotes_are_kept_and_count_as_no_record() -> None:
    run = run_feed("quoted_newlines.csv")
    assert run.outcome.normalized["v"].decode() == (
        f"{HEADER}\n"
        'A,,v,1,,,,,,,,"two\nlines",2024-06-01T12:00:00Z\n'
        'B,,v,2,,,,,,,,"three\r\nmore\r\rlines",2024-06-01T12:00:00Z\n'
    )
    assert refused(run) == [(4, "invalid_quantity", "quantity_available", "x")]


def test_carriage_returns_alone_end_lines() -> None:
    run = run_feed("cr_line_ends.csv")
    assert normalized(run) == [
        "A,,v,1,,,,,,,,one,NOW",
        'B,,v,2,,,,,,,,"kept\rinside",NOW',
    ]


def test_all_three_line_ends_may_stand_in_one_feed() -> None:
    run = run_feed("mixed_line_ends.csv")
    assert [line[:6] for line in normalized(run)] == [
        "A,,v,1",
        "B,,v,2",
        "C,,v,3",
        "D,,v,4",
    ]


def test_a_quote_opens_a_field_only_as_its_first_character() -> None:
    run = run_feed("inch_mark.csv")
    assert normalized(run) == [
        'A,,v,1,,,,,,,,"5"" pipe",NOW',
        'B,,v,2,,,,,,,,"5"" pipe",NOW',
        'C,,v,3,,,,,,,,"quoted and ""more""",NOW',
        'D,,v,4,,,,,,,,"""spaced""",NOW',
    ]


def test_a_record_of_another_width_has_one_fault_and_spoils_only_itself() -> (
    None
):
    run = run_feed("ragged.csv")
    assert normalized(run) == ["A,,v,1,,,,,,,,ok,NOW", "D,,v,4,,,,,,,,ok,NOW"]
    assert refused(run) == [(n, "column_count", None, None) for n in (3, 4, 6)]
    assert [entry.row_data for entry in run.outcome.entries] == [
        ["B", "2"],
        ["C", "3", "too", "many"],
        ["E"],
    ]
    assert invalid_rows(run) == (
        "vendor_id,row_number,error_codes,raw\n"
        'v,3,column_count,"B,2"\n'
        'v,4,column_count,"C,3,too,many"\n'
        "v,6,column_count,E\n"
    )


def test_an_unclosed_quote_is_a_decode_error() -> None:
    run = run_feed("unclosed_quote.csv")
    assert (run.outcome.failure, run.outcome.stage) == (
        "DECODE_ERROR",
        "NORMALIZE",
    )
    assert run.outcome.normalized == {}


@pytest.mark.parametrize(
    "name", ["empty.csv", "only_header.csv", "only_blank.csv"]
)
def test_a_required_feed_without_a_row_ends_the_run(name: str) -> None:
    run = run_feed(name)
    assert (run.outcome.failure, run.outcome.stage) == (
        "no_rows_parsed",
        "MERGE_PRICE",
    )
    assert run.outcome.normalized == {"v": f"{HEADER}\n".encode()}


def test_a_preamble_and_blank_records_before_the_header_take_no_number() -> (
    None
):
    run = run_feed("preamble.csv", parser={"skip_lines": 3})
    assert normalized(run) == ["A,,v,1,,,,,,,,,NOW"]


def test_without_a_header_the_first_record_is_row_one() -> None:
    run = run_feed(
        "no_header.csv",
        parser={"columns": ["sku", "quantity_available", "cost"]},
    )
    assert normalized(run) == [
        "A,,v,1,,2.50,,,,,,,NOW",
        "C,,v,2,,1.00,,,,,,,NOW",
    ]
    assert refused(run) == [(3, "invalid_quantity", "quantity_available", "x")]
    assert run.outcome.entries[0].row_data == {
        "sku": "B",
        "quantity_available": "x",
        "cost": "3.00",
    }


def test_empty_lines_take_no_number_and_blank_records_keep_theirs() -> None:
    run = run_feed("blank_records.csv")
    assert normalized(run) == ["A,,v,1,,,,,,,,,NOW"]
    assert [entry.row_number for entry in run.outcome.entries] == [5, 7]
    assert run.outcome.total_rows == 3


def test_a_clock_that_goes_back_or_forward_gives_one_certain_time() -> None:
    run = run_feed("chicago_clock.csv", timezone="America/Chicago")
    times = {
        line.split(",")[0]: line.split(",")[-1] for line in normalized(run)
    }
    assert times == {
        "back": "2024-11-03T06:30:00Z",
        "back_second": "2024-11-03T07:30:00Z",
        "forward": "2024-03-10T08:30:00Z",
        "fraction": "2024-07-01T05:00:00Z",
        "before_1970": "1969-12-31T23:59:59Z",
        "day": "2024-01-01T06:00:00Z",
        "null": "NOW",
    }
    assert refused(run) == [
        (9, "invalid_timestamp", "updated_at", "2024-01-01Z"),
        (10, "invalid_timestamp", "updated_at", "2023-02-29"),
        (11, "invalid_timestamp", "updated_at", "2016-12-31T23:59:60Z"),
        (12, "invalid_timestamp", "updated_at", "2024-01-01 00:00+24:00"),
        (13, "invalid_timestamp", "updated_at", "1899-12-31"),
    ]


def test_another_code_page_is_read_and_utf_8_is_written() -> None:
    run = run_feed("cp1252.csv", parser={"encoding": "cp1252"})
    assert normalized(run) == ["A,,v,1,,,,,,,,Größe €5,NOW"]
    assert run_feed("cp1252.csv").outcome.failure == "DECODE_ERROR"


def test_white_space_of_every_kind_is_trimmed_from_headers_and_cells() -> None:
    assert normalized(run_feed("padded.csv")) == ["A,,v,7,,,,,,,,,NOW"]


def test_null_values_and_quantity_words_are_whole_cells_in_any_case() -> None:
    run = run_feed(
        "null_words.csv",
        parser={
            "null_values": ["N/A", "-"],
            "quantity_words": {"in stock": 10, ">100": 100},
        },
    )
    assert normalized(run) == [
        "A,,v,1,,,,,,,NA,,NOW",
        "B,,v,10,,,,,,,,,NOW",
        "C,,v,100,,1.00,,,,,null,,NOW",
    ]
    assert refused(run) == [
        (5, "invalid_quantity", "quantity_available", "maybe"),
        (6, "missing_sku", "sku", "N/A"),
    ]


def test_whole_numbers_are_read_and_refused_as_written() -> None:
    run = run_feed("quantities.csv")
    assert normalized(run) == [
        "A,,v,12,3,,,,,,,,NOW",
        "B,,v,2147483647,,,,,,,,,NOW",
        "C,,v,0,7,,,,,,,,NOW",
    ]
    assert refused(run) == [
        (5, "invalid_quantity", "quantity_available", "12.5"),
        (6, "negative_quantity", "quantity_available", "-3"),
        (7, "invalid_quantity", "quantity_available", "2147483648"),
        (8, "missing_quantity", "quantity_available", ""),
        (9, "invalid_lead_time", "lead_time_days", "-1"),
        (10, "invalid_quantity", "quantity_available", "1e3"),
        (10, "invalid_lead_time", "lead_time_days", "soon"),
    ]
    assert invalid_rows(run).endswith(
        'v,10,invalid_lead_time;invalid_quantity,"I,1e3,soon"\n'
    )


def test_money_is_exact_to_four_places() -> None:
    run = run_feed("money.csv")
    costs = {line.split(",")[0]: line.split(",")[5] for line in normalized(run)}
    assert costs == {
        "A": "0.50",
        "B": "1.2346",
        "C": "0.00",
        "D": "0.0001",
        "E": "999999999.9999",
        "I": "0.00",
        "L": "12.30",
    }
    assert refused(run) == [
        (7, "amount_out_of_range", "cost", "999999999.99995"),
        (8, "amount_out_of_range", "cost", "1e999999999999"),
        (9, "negative_amount", "cost", "-0.00001"),
        (11, "invalid_decimal", "cost", "NaN"),
        (12, "invalid_decimal", "cost", "1_000"),
    ]


def test_a_header_that_occurs_twice_matters_only_where_it_is_used() -> None:
    assert normalized(run_feed("repeated_header.csv")) == ["A,,v,1,,,,,,,,,NOW"]
    mapped = run_feed(
        "repeated_header.csv", parser={"column_map": {"title": "note"}}
    )
    assert (mapped.outcome.failure, mapped.outcome.stage) == (
        "invalid_input",
        "NORMALIZE",
    )
    assert (
        run_feed("repeated_sku_header.csv").outcome.failure == "invalid_input"
    )


def test_nul_bytes_are_characters_like_others() -> None:
    assert normalized(run_feed("nul_bytes.csv")) == [
        "A,,v,2,,,,,,,,z,NOW",
        "A\0,,v,1,,,,,,,,x\0y,NOW",
    ]


def test_a_sku_map_renames_and_keeps_the_vendors_own_sku() -> None:
    feed = b"sku,quantity_available,vendor_sku\n V1 ,1,\nV1,2,given\nV3,3,\nV4,4,\nv1,5,\n"
    vendor = vendor_document(
        "v", sku_map={"type": "file", "local_path": "sku_map.csv"}
    )
    maps = {"v": (FEEDS / "sku_map.csv").read_bytes()}
    document = config_document(vendor, error_policy=LENIENT)
    assert normalized(run_document(document, {"v": feed}, maps, NOW)) == [
        '"OURS,4",V4,v,4,,,,,,,,,NOW',
        "OURS-2,V1,v,1,,,,,,,,,NOW",
        "OURS-2,given,v,2,,,,,,,,,NOW",
        "V3,,v,3,,,,,,,,,NOW",
        "v1,,v,5,,,,,,,,,NOW",
    ]
