"""The records that need a second look: where a quote is open that should be closed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay_core.ingest.csv_records import RecordScanner, UnclosedQuoteError


@given(st.text('",\r\na', max_size=20), st.sampled_from(["", "a\n", ",\r\n", '"\n"\n']))
def test_the_quote_that_is_never_closed_is_found_as_record_by_record(
    text: str, before: str
) -> None:
    scanner, data = RecordScanner(b","), memoryview((before + text).encode())

    def record_by_record() -> int | None:
        try:
            list(scanner.records(data, len(before)))
        except UnclosedQuoteError as error:
            return error.position
        return None

    assert scanner.unclosed_quote(data, len(before)) == record_by_record()
