"""Entries that are written by columns have the bytes that the encoder would give them."""

from __future__ import annotations

import json

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from relay_core.columnar.json_lines import ReportEntries, joined_entries, json_texts, python_texts
from relay_core.domain.records import ReportEntry

ODD = st.text(
    st.one_of(
        st.sampled_from("\"'\\/ab \t\n\r\x00\x1b\x1f\x7f\x80é\u2028\ufeff\U0001f600"),
        st.characters(codec="utf-8"),
    ),
    max_size=6,
)


@given(st.lists(ODD, max_size=6), st.integers(0, 2))
@example(["it's", 'said "no"', "both ' and \"", "back\\slash", "plain"], 0)
def test_texts_are_shown_as_json_and_as_python_show_them(texts: list[str], skipped: int) -> None:
    column = pa.array(texts, pa.large_string())[skipped:]

    assert json_texts(column).to_pylist() == [
        json.dumps(text, ensure_ascii=False) for text in texts[skipped:]
    ]
    assert python_texts(column).to_pylist() == list(map(repr, texts[skipped:]))


def test_entries_are_a_sequence_of_what_was_written() -> None:
    written = [ReportEntry("a", "1", sku="é"), ReportEntry("b", "2", row_data=["x"])]
    entries = joined_entries([written[:1], ReportEntries.of(written[1:]), []])

    assert list(entries) == written
    assert (entries[1], len(entries), list(entries[:1])) == (written[1], 2, written[:1])
    assert bytes(entries.joined(", ")) == ", ".join(entries.lines.to_pylist()).encode()
    assert bytes(ReportEntries().joined(", ")) == b""


def test_entries_are_kept_within_a_size() -> None:
    entries = ReportEntries.of([ReportEntry("a", "1"), ReportEntry("b", "2" * 9)])
    first = len(entries.lines[0].as_py())

    assert len(entries.within(first, ", ")) == 1
    assert len(entries.within(first - 1, ", ")) == 0
    assert list(entries.within(1000, ", ")) == list(entries)
