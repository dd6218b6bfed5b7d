"""The decoded text of a CSV feed: its header, and the errors of its structure."""

from collections.abc import Iterable, Sequence

from relay_core.config import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest import csv_records, feed


class DecodedCsv:
    """The decoded text of a feed, its header, and the errors of its structure.

    Attributes:
        body: The text, without the lines to skip.
        delimiter: The delimiter in the text. Arrow accepts only some, so it may differ
            from ``parser.delimiter``; cells and raw records always have the parser's.
        scanner: Reads records of the text.
    """

    def __init__(
        self,
        body: memoryview,
        delimiter: bytes,
        parser: ParserConfig,
        limits: Limits,
    ) -> None:
        self.body = body
        self.delimiter = delimiter.decode("ascii")
        self.scanner = csv_records.RecordScanner(
            delimiter,
            limits.cell_bytes,
            quoting=parser.quoting,
        )
        self.parser = parser
        self.limits = limits

    def header(self) -> tuple[tuple[str, ...] | None, int]:
        """Return the first record that is not blank, and where the next one starts.

        The record is None if there is none.
        """
        position = 0
        try:
            while position < len(self.body):
                fields, position = self.scanner.record(self.body, position)
                cells = self.cells(fields)
                if any(map(str.strip, cells)):
                    return cells, position
        except csv_records.UnclosedQuoteError as error:
            raise self.unclosed_quote_error(error.position) from error
        except csv_records.LargeFieldError as error:
            raise self.large_field_error(error, position) from error
        return None, position

    def cells(self, fields: Iterable[bytes]) -> tuple[str, ...]:
        """Return the fields of a record as cells, with the parser's delimiter."""
        cells = (field.decode("utf-8") for field in fields)
        return tuple(
            cell.replace(self.delimiter, self.parser.delimiter)
            for cell in cells
        )

    def large_field_error(
        self,
        error: csv_records.LargeFieldError,
        start: int,
        headers: Sequence[str] = (),
        header_records: int = 0,
    ) -> FeedUnreadableError:
        """Return the error of a large field, for records that begin at ``start``."""
        record_number, column_number = self.scanner.numbers_at(
            self.body,
            start,
            error.position,
        )
        record_number += header_records
        if not error.is_open:
            return feed.large_cell_error(
                record_number,
                column_number,
                headers,
                self.limits,
            )
        line = self.line(error.position)
        fix = f'Close the quote that opens in line {line}, or double it ("").'
        return feed.large_cell_error(
            record_number,
            column_number,
            headers,
            self.limits,
            fix,
        )

    def unclosed_quote_error(self, position: int) -> FeedUnreadableError:
        """Return the error of a feed whose quote at ``position`` is never closed."""
        line = self.line(position)
        return FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the CSV's structure is broken: the quote that opens in line {line} is "
            'never closed. Close the quote, or double it ("") if it is part of a quoted '
            "text.",
        )

    def line(self, position: int) -> int:
        """Return the line of the file with the offset ``position``."""
        return self.parser.skip_lines + csv_records.line_number(
            self.body,
            position,
        )
