"""The records that need a second look: where a quote is open that should be closed."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.ingest.csv_records import (
    LargeFieldError,
    RecordScanner,
    UnclosedQuoteError,
    after_empty_lines,
    line_number,
    physical_lines,
    release_mapped,
)

CSV = st.text('",\r\na', max_size=30)


def records(
    scanner: RecordScanner, text: memoryview, position: int = 0
) -> Iterator[list[bytes]]:
    while (position := after_empty_lines(text, position)) < len(text):
        fields, position = scanner.record(text, position)
        yield fields


@given(
    st.text('",\r\na', max_size=20),
    st.sampled_from(["", "a\n", ",\r\n", '"\n"\n']),
)
def test_the_quote_that_is_never_closed_is_found_as_record_by_record(
    text: str, before: str
) -> None:
    scanner = RecordScanner(b",")
    data = memoryview((before + text).encode())

    def record_by_record() -> int | None:
        try:
            list(records(scanner, data, len(before)))
        except UnclosedQuoteError as error:
            return error.position
        return None

    assert scanner.unclosed_quote(data, len(before)) == record_by_record()


@given(CSV)
def test_widths_are_those_of_the_records(text: str) -> None:
    scanner = RecordScanner(b",")
    data = memoryview(text.encode())

    def widths() -> list[int] | None:
        try:
            return list(scanner.widths(data))
        except UnclosedQuoteError:
            return None

    def record_by_record() -> list[int] | None:
        try:
            return [len(fields) for fields in records(scanner, data)]
        except UnclosedQuoteError:
            return None

    assert widths() == record_by_record()


@given(st.text(",aé", max_size=30))
def test_the_first_field_that_is_too_large_is_found_as_field_by_field(
    text: str,
) -> None:
    scanner = RecordScanner(b",", max_field_bytes=4)
    data = memoryview(text.encode())

    def field_by_field() -> int | None:
        try:
            scanner.record(data, 0)
        except LargeFieldError as error:
            return error.position
        return None

    assert scanner.first_large(data) == field_by_field()


@given(
    st.lists(
        st.lists(st.sampled_from(["", "a", '"b"', '"c,\n""d"']), min_size=1),
        max_size=6,
    )
)
def test_a_field_s_place_is_its_record_and_its_column(
    records: list[list[str]],
) -> None:
    scanner = RecordScanner(b",")
    text = ""
    places = []
    number = 0
    for record in records:
        number += record != [""]  # an empty line is no record
        for column, field in enumerate(record, 1):
            if record != [""]:
                places.append((len(text), (number, column)))
            text += field + ("\n" if column == len(record) else ",")
    data = memoryview(text.encode())
    assert [
        scanner.numbers_at(data, 0, position) for position, _ in places
    ] == [place for _, place in places]


@pytest.mark.parametrize("quoting", [True, False])
def test_lines_of_records_are_those_found_one_by_one(quoting: bool) -> None:
    random = Random(7)
    scanner = RecordScanner(b",", quoting=quoting)
    checked = 0
    for _ in range(600):
        parts = [
            "a",
            ",",
            '"',
            '"',
            "\n",
            "\r\n",
            "\r",
            ',"b"',
            ',"b\nc"',
            '""',
        ]
        text = memoryview(
            "".join(random.choices(parts, k=random.randrange(1, 12))).encode()
        )
        lines: list[int] = []
        position = 0
        try:
            while (position := after_empty_lines(text, position)) < len(text):
                lines.append(line_number(text, position))
                position = scanner.record(text, position)[1]
        except UnclosedQuoteError:
            continue  # such a feed has no rows
        checked += 1
        assert (
            physical_lines(text, scanner, 0, range(1, len(lines) + 1)) == lines
        )
    assert checked > 200


def test_what_was_read_of_a_mapped_file_is_given_back_and_can_be_read_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes(b"sku" * (4 << 20))
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
        view[3:] as text,
    ):
        data = text.tobytes()
        before = _mapped_kb()
        release_mapped(text)

        assert before - _mapped_kb() > 10 << 10
        assert text.tobytes() == data


def test_memory_that_no_file_has_is_never_given_back() -> None:
    with mmap.mmap(-1, 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
        pages[:] = b"feed"
        with memoryview(pages) as view:
            release_mapped(view)

        assert pages[:] == b"feed"


def _mapped_kb() -> int:
    """Return how much this process holds of mapped files."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("RssFile:")[2].split()[0])
