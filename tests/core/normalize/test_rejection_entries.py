"""What is told of refused rows: line by line as the encoder writes it, and no more than fits."""

from __future__ import annotations

import json
from bisect import bisect_right
from itertools import accumulate

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.domain.limits import Limits
from relay_core.normalize.rejection_causes import cut_texts
from relay_core.normalize.rejection_entries import shown_columns, unique_names
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor_feed import VendorFeed
from support.builders import feed, tenant_config, vendor_document
from support.normalizing import entries_of, normalize_vendor, normalize_vendors

CELLS = st.text(st.sampled_from("\"'\\,a1 \t\n\x00\x1fé"), max_size=4)


@given(st.lists(st.lists(CELLS, min_size=4, max_size=5), max_size=6), CELLS)
def test_each_refused_row_has_the_line_that_the_encoder_writes(
    rows: list[list[str]], odd: str
) -> None:
    header = ["sku", "quantity_available", "cost", f"note {odd}".strip()]
    vendor = normalized([header, *rows])

    for line, entry in zip(vendor.entries, entries_of(vendor), strict=True):
        assert line == json.dumps(entry.as_dict(), ensure_ascii=False)
        assert entry.vendor_id == "v"
        record = rows[entry.row_number - 2]
        if entry.column is None:
            assert entry.row_data == record
        else:
            assert entry.row_data == dict(zip(header, record, strict=True))
            assert entry.value == record[header.index(entry.column)]


def normalized(records: list[list[str]]) -> NormalizedVendor:
    quoted = (
        ['"' + cell.replace('"', '""') + '"' for cell in record]
        for record in records
    )
    data = "".join(",".join(record) + "\n" for record in quoted).encode()
    config = tenant_config(vendor_document("v", parser={"format": "csv"}))
    return normalize_vendor(config, config.vendors[0], data)


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
        (["a", "a", "a (2)"], ["a", "a (3)", "a (2)"]),
        (["a (2)", "a", "a", "a (2)"], ["a (2)", "a", "a (3)", "a (2) (2)"]),
    ],
)
def test_a_repeated_header_gets_a_name_that_no_other_has(
    headers: list[str], names: list[str]
) -> None:
    assert unique_names(headers) == names


class CountedHeader(str):
    """A header that counts the names that are made of it."""

    __slots__ = ()
    named = 0

    def __format__(self, spec: str) -> str:
        CountedHeader.named += 1
        return super().__format__(spec)


def test_many_equal_headers_take_no_more_names_than_they_get() -> None:
    names = unique_names([CountedHeader("")] * 20_000)

    assert (names[:2], names[-1]) == (["", " (2)"], " (20000)")
    assert CountedHeader.named == 19_999


def test_a_long_header_is_cut_in_the_row_data_as_a_cell_is() -> None:
    long = "x" * 900_000
    vendor = normalized(
        [["sku", "quantity_available", "cost", long], ["A", "no", "1", "é"]]
    )
    (entry,) = entries_of(vendor)
    assert entry.row_data == {
        **dict(
            zip(
                ["sku", "quantity_available", "cost"],
                ["A", "no", "1"],
                strict=True,
            )
        ),
        "x" * 1_000 + "…": "é",
    }
    assert [*shown_columns([long, long], [], Limits())] == [
        "x" * 1_000 + "…",
        "x" * 1_000 + "… (2)",
    ]


@pytest.mark.parametrize(
    "row", ["A,no,1,é{:0999}", "A,no,no,é{:02000}", "A,1,1,é{:0999},more"]
)
def test_no_more_rows_are_kept_than_fill_the_room_and_no_fewer(
    row: str,
) -> None:
    data = feed(
        *map(row.format, range(300)), header="sku,quantity_available,cost,note"
    )
    config = tenant_config(vendor_document("v"))
    feeds = [VendorFeed.of_one(config.vendors[0], data, "f.csv")]
    every, fitting = (
        normalize_vendors(config, feeds, limits=Limits(report_bytes=size))[
            0
        ].entries
        for size in (32 << 20, 50_000)
    )
    sizes = list(accumulate(len(line.encode()) for line in every))
    assert fitting == every[: bisect_right(sizes, 50_000)]


def test_mapped_columns_are_shown_wherever_they_are_and_others_as_far_as_there_is_room() -> (
    None
):
    headers = [f"h{place}" for place in range(100)]

    positions = shown_columns(headers, [99, 3], Limits(row_data_columns=5))

    assert positions == {"h0": 0, "h1": 1, "h2": 2, "h3": 3, "h99": 99}


def test_long_texts_are_cut_at_characters() -> None:
    text = pa.array(["é" * 5, "é" * 4, "", "abcde"])

    assert cut_texts(text, 4).to_pylist() == ["éééé…", "éééé", "", "abcd…"]


def test_cells_of_a_refused_row_are_cut_in_its_entry_and_whole_in_its_record() -> (
    None
):
    long = "x" * 1_001
    config = tenant_config(vendor_document("v"))
    vendor = normalize_vendor(
        config, config.vendors[0], feed(f"A,{long},1", f"B,{long}")
    )

    value, ragged = entries_of(vendor)
    assert (
        value.value == value.row_data["quantity_available"] == "x" * 1_000 + "…"
    )
    assert ragged.row_data == ["B", "x" * 1_000 + "…"]
    assert vendor.rejected_rows["raw"].to_pylist() == [
        f"A,{long},1",
        f"B,{long}",
    ]
