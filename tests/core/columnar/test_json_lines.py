"""Entries that are written by columns have the bytes that the encoder would give them."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builders import REQUESTED_AT, tenant_config, vendor_document
from relay_core.columnar.json_lines import ReportEntries, joined_entries, json_texts, python_texts
from relay_core.domain.models import ReportEntry
from relay_core.merge.result import Winners, unpriced_warnings
from relay_core.normalize.reject_entries import unique_names
from relay_core.normalize.result import NormalizedVendor
from relay_core.pipeline import normalize_vendor

ODD = st.text(
    st.one_of(
        st.sampled_from("\"'\\/ab \t\n\r\x00\x1b\x1f\x7f\x80é\u2028\ufeff\U0001f600"),
        st.characters(codec="utf-8"),
    ),
    max_size=6,
)
CELLS = st.text(st.sampled_from("\"'\\,a1 \t\n\x00\x1fé"), max_size=4)


@given(st.lists(ODD, max_size=6), st.integers(0, 2))
@example(["it's", 'said "no"', "both ' and \"", "back\\slash", "plain"], 0)
def test_texts_are_shown_as_json_and_as_python_show_them(texts: list[str], skipped: int) -> None:
    column = pa.array(texts, pa.large_string())[skipped:]

    assert json_texts(column).to_pylist() == [
        json.dumps(text, ensure_ascii=False) for text in texts[skipped:]
    ]
    assert python_texts(column).to_pylist() == list(map(repr, texts[skipped:]))


@given(st.lists(st.lists(CELLS, min_size=4, max_size=5), max_size=6), CELLS)
def test_each_refused_row_has_the_line_that_the_encoder_writes(
    rows: list[list[str]], odd: str
) -> None:
    header = ["sku", "quantity_available", "cost", f"note {odd}".strip()]
    vendor = normalized([header, *rows])

    for line, entry in zip(vendor.entries.lines.to_pylist(), vendor.entries, strict=True):
        assert line == json.dumps(entry.as_dict(), ensure_ascii=False)
        assert entry.vendor_id == "v"
        record = rows[entry.row_number - 2]
        if entry.column is None:
            assert entry.row_data == record
        else:
            assert entry.row_data == dict(zip(header, record, strict=True))
            assert entry.value == record[header.index(entry.column)]


def normalized(records: list[list[str]]) -> NormalizedVendor:
    quoted = (['"' + cell.replace('"', '""') + '"' for cell in record] for record in records)
    data = "".join(",".join(record) + "\n" for record in quoted).encode()
    config = tenant_config(vendor_document("v", parser={"format": "csv"}))
    return normalize_vendor(
        config, config.vendors[0], data, file_name="f", requested_at=REQUESTED_AT
    )


@given(st.lists(ODD.filter(bool), max_size=5))
def test_a_sku_without_a_price_has_the_line_that_the_encoder_writes(skus: list[str]) -> None:
    nothing = pa.table({"sku": pa.array([], pa.string())})
    warnings, count = unpriced_warnings(Winners(nothing, pa.chunked_array([skus], pa.string())))

    assert count == len(skus)
    assert warnings.lines.to_pylist() == [
        json.dumps(
            {
                "error_code": "UNPRICED_SKU",
                "error_message": f"SKU {sku!r} has no offer with a cost or a price that comes to "
                "more than 0.00, so it is left out of the feed; ask a vendor for its cost, or set "
                "pricing.min_price",
                "sku": sku,
            },
            ensure_ascii=False,
        )
        for sku in skus
    ]


def test_entries_are_a_sequence_of_what_was_written() -> None:
    written = [ReportEntry("a", "1", sku="é"), ReportEntry("b", "2", row_data=["x"])]
    entries = joined_entries([written[:1], ReportEntries.of(written[1:]), []])

    assert list(entries) == written
    assert (entries[1], len(entries), list(entries[:1])) == (written[1], 2, written[:1])
    assert bytes(entries.joined(", ")) == ", ".join(entries.lines.to_pylist()).encode()
    assert bytes(ReportEntries().joined(", ")) == b""


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
