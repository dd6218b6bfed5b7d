"""Parquet to text columns with record numbers.

A small file can have a few long texts millions of times. Therefore the dictionaries of
texts are read before the rows, and no more rows are read at once than fit into memory
if all their texts are as long as the longest. Values become the text that other feeds
have for them: exact, and without an exponent.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import WholeNumbers
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest import feed
from relay_core.ingest.column_mapping import plan_columns
from relay_core.ingest.compression import feed_too_large

if TYPE_CHECKING:  # a process that reads feeds loads no pydantic
    from relay_core.config import ParserConfig

_MAX_ROWS = 1 << 16
_BATCH_BYTES = 8 << 20
"""The approximate size of a batch's texts."""
_FIXED_BYTES_PER_CELL = 8
_SHARED_PREFIXES = "DELTA_BYTE_ARRAY"
"""In this encoding a text is only its difference from the one before."""
_FILE_ERRORS = (pa.ArrowException, OSError, ValueError)
"""The errors that Arrow raises for a file that is damaged or not Parquet."""


def may_explode(data: feed.Buffer) -> bool:
    """Return whether a page of a file can unpack to more than the file says."""
    try:
        metadata = pq.read_metadata(
            pa.BufferReader(pa.py_buffer(memoryview(data))),
        )
    except _FILE_ERRORS:
        return False  # the reader will report it
    for group_index in range(metadata.num_row_groups):
        group = metadata.row_group(group_index)
        for column_index in range(group.num_columns):
            if _SHARED_PREFIXES in group.column(column_index).encodings:
                return True
    return False


def read_parquet(
    data: feed.Buffer,
    parser: "ParserConfig",
    limits: Limits,
) -> feed.ParsedFeed:
    """Return the columns of a file as text; its first row is record 1.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` if the file is damaged or not Parquet.
            ``invalid_input`` if a column that is read has a type without a text, or for
            too many columns or too large a cell. ``feed_too_large`` if its texts have
            more bytes than a feed may have. ``batches`` raises it too.
    """
    try:
        source = pa.BufferReader(pa.py_buffer(memoryview(data)))
        file = pq.ParquetFile(source, pre_buffer=False)
        schema = file.schema_arrow
    except MemoryError:  # Arrow's own is an ArrowException, but no damage
        raise
    except _FILE_ERRORS as error:
        raise _damaged(str(error)) from error
    headers = tuple(schema.names)
    feed.check_header(headers, limits)
    repeated = [name for name, count in Counter(headers).items() if count > 1]
    if repeated:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"columns occur more than once: {', '.join(map(shorten, repeated))}. "
            "Write each column once.",
        )
    positions = sorted(set(plan_columns(headers, parser).read_positions))
    fields_read = [schema.field(position) for position in positions]
    without_text = [field for field in fields_read if not _has_text(field.type)]
    if without_text:
        types = [
            f"{shorten(field.name)} is {shorten(str(field.type))}"
            for field in without_text
        ]
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            "these mapped columns are not text, numbers, dates, or booleans: "
            f"{', '.join(types)}. Write them as flat columns, or map others in "
            "parser.column_map.",
        )
    rows = _Rows(source, file, schema)
    return feed.ParsedFeed(headers, _batches(rows, schema, limits))


def _is_string(kind: pa.DataType) -> bool:
    return any(
        (
            pa.types.is_string(kind),
            pa.types.is_large_string(kind),
            pa.types.is_string_view(kind),
        ),
    )


def _is_number(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        (
            pa.types.is_integer(kind),
            pa.types.is_floating(kind),
            pa.types.is_decimal(kind),
        ),
    )


def _has_text(kind: pa.DataType) -> bool:
    """Return whether the values of a type have a text."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        (
            _is_string(kind),
            _is_number(kind),
            pa.types.is_boolean(kind),
            pa.types.is_date(kind),
            pa.types.is_timestamp(kind),
            pa.types.is_null(kind),
        ),
    )


class _Rows:
    """The rows of a file, one row group after the other."""

    def __init__(
        self,
        source: pa.BufferReader,
        file: pq.ParquetFile,
        schema: pa.Schema,
    ) -> None:
        self._file = file
        self._has_text = [_has_text(field.type) for field in schema]
        self._columns = [
            field.name for field in schema if _has_text(field.type)
        ]
        self._string_columns = [
            field.name for field in schema if _is_string(field.type)
        ]
        self._dictionary_file = pq.ParquetFile(
            source,
            read_dictionary=self._string_columns,
            pre_buffer=False,
            metadata=file.metadata,
        )

    def __iter__(self) -> Iterator[tuple[Sequence[pa.Array | None], int]]:
        """Yield the columns of some rows, None for one without text, and the row count.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR`` if the file is damaged.
        """
        metadata = self._file.metadata
        row_count = 0
        try:
            for group_index in range(metadata.num_row_groups):
                longest = max(1, self._longest_text(group_index))
                max_rows = max(1, min(_MAX_ROWS, 8 * _BATCH_BYTES // longest))
                for batch in self._file.iter_batches(
                    max_rows,
                    row_groups=[group_index],
                    columns=self._columns,
                    use_threads=False,
                ):
                    yield self._all_columns(batch), batch.num_rows
                    row_count += batch.num_rows
        except MemoryError:  # Arrow's own is an ArrowException, but no damage
            raise
        except _FILE_ERRORS as error:
            raise _damaged(str(error)) from error
        if row_count != metadata.num_rows:
            raise _damaged(
                f"it has {row_count} rows, but declares another number",
            )

    def _all_columns(self, batch: pa.RecordBatch) -> Sequence[pa.Array | None]:
        columns = iter(batch.columns)
        return [
            next(columns) if has_text else None for has_text in self._has_text
        ]

    def _longest_text(self, group_index: int) -> int:
        """Return the bytes of the longest text in the dictionaries of a row group."""
        group = self._file.metadata.row_group(group_index)
        chunks = [group.column(index) for index in range(group.num_columns)]
        with_dictionary = {
            chunk.path_in_schema
            for chunk in chunks
            if chunk.has_dictionary_page
        }
        names = [
            name for name in self._string_columns if name in with_dictionary
        ]
        if not names or not group.num_rows:
            return 0
        batches = self._dictionary_file.iter_batches(
            1,
            row_groups=[group_index],
            columns=names,
            use_threads=False,
        )
        first_row = next(batches)
        longest = 0
        for column in first_row.columns:
            length = pc.max(pc.binary_length(column.dictionary)).as_py()
            longest = max(longest, length or 0)
        return longest


def _batches(
    rows: _Rows,
    schema: pa.Schema,
    limits: Limits,
) -> Iterator[feed.TextBatch]:
    next_number = 1
    remaining_bytes = limits.feed_bytes
    number_columns = [
        index for index, field in enumerate(schema) if _is_number(field.type)
    ]
    for columns, count in rows:
        sizes = np.zeros(count, np.int64)
        for column in columns:
            if column is not None:
                sizes += _sizes(column)
        for start, stop in feed.row_runs(sizes, _BATCH_BYTES):
            text_columns = _text_columns(columns, start, stop)
            remaining_bytes -= sum(
                len(texts.bytes_of(text)) for text in text_columns
            )
            if remaining_bytes < 0:
                raise feed_too_large(limits)
            record_numbers = np.arange(next_number + start, next_number + stop)
            feed.check_cell_sizes(
                text_columns,
                record_numbers,
                schema.names,
                limits,
            )
            all_cells = np.ones(stop - start, np.bool_)
            number_cells = dict.fromkeys(number_columns, all_cells)
            yield feed.TextBatch(text_columns, record_numbers, number_cells)
        next_number += count


def _text_columns(
    columns: Sequence[pa.Array | None],
    start: int,
    stop: int,
) -> list[pa.StringArray]:
    """Return some rows of columns as text; a column without text is empty."""
    text_columns = []
    for column in columns:
        if column is None:
            text_columns.append(texts.empty_texts(stop - start))
            continue
        try:
            text_columns.append(text_of(column[start:stop]))
        except pa.ArrowInvalid as error:
            raise _damaged(str(error)) from error
    return text_columns


def _sizes(column: pa.Array) -> WholeNumbers:
    """Return the approximate size of each cell's text in bytes."""
    kind = column.type
    if pa.types.is_dictionary(kind) and _is_string(kind.value_type):
        distinct_lengths = pc.fill_null(pc.binary_length(column.dictionary), 0)
        lengths = distinct_lengths.take(column.indices)
    elif _is_string(kind):
        lengths = pc.binary_length(column)
    else:
        return np.full(len(column), _FIXED_BYTES_PER_CELL, np.int64)
    return texts.values_of(pc.fill_null(lengths, 0)).astype(np.int64)


def _damaged(reason: str) -> FeedUnreadableError:
    return FeedUnreadableError(
        FailureCode.DECODE_ERROR,
        f"the file cannot be read as Parquet: {shorten(reason)}. "
        "Write the file again, or set parser.format to match it.",
    )


# --- values to text -----------------------------------------------------------------


def text_of(column: pa.Array) -> pa.StringArray:
    """Return texts, numbers, booleans, dates or times as text; a null is empty.

    Raises:
        ValueError: A text is not UTF-8.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        distinct = text_of(column.dictionary)
        if len(distinct):
            return texts.without_nulls(distinct.take(column.indices))
        return texts.empty_texts(len(column))
    if pa.types.is_null(kind):
        return texts.empty_texts(len(column))
    if pa.types.is_floating(kind):
        return _float_text(column)
    if pa.types.is_decimal(kind):
        text = texts.without_nulls(column.cast(pa.string()))
        return _rewritten(text, "E", column, lambda value: format(value, "f"))
    if pa.types.is_timestamp(kind):
        return _timestamp_text(column)
    text = texts.without_nulls(column.cast(pa.string()))
    text.validate(full=True)
    return text


def _float_text(column: pa.Array) -> pa.StringArray:
    """Write each float as the shortest text that reads back; NaN is empty."""
    is_nan = pc.is_nan(column)
    numbers = pc.if_else(is_nan, pa.scalar(None, column.type), column)
    text = texts.without_nulls(numbers.cast(pa.string()))
    numpy_type = column.type.to_pandas_dtype()
    # Arrow does not write the shortest text of halves, so all of them are written
    # again.
    mark = "" if pa.types.is_float16(column.type) else "e"

    def shortest(value: object) -> str:
        return np.format_float_positional(
            numpy_type(value),
            unique=True,
            trim="-",
        )

    return _rewritten(text, mark, numbers, shortest)


def _timestamp_text(column: pa.Array) -> pa.StringArray:
    """Write timestamps without trailing zeros; those with a zone in UTC, with ``Z``."""
    unit = column.type.unit
    has_zone = column.type.tz is not None
    in_utc = column.cast(pa.timestamp(unit, "UTC")) if has_zone else column
    text = in_utc.cast(pa.timestamp(unit)).cast(pa.string())
    if unit != "s":
        text = pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".")
    if has_zone:
        text = pc.binary_join_element_wise(text, "Z", "")
    return texts.without_nulls(text)


def _rewritten(
    text: pa.StringArray,
    mark: str,
    column: pa.Array,
    write: Callable[[object], str],
) -> pa.StringArray:
    """Return ``text`` with the cells that have the mark written again.

    ``write`` gets each distinct value once.
    """
    has_mark = texts.flags_of(pc.match_substring(text, mark))
    rows = np.flatnonzero(has_mark & ~texts.flags_of(column.is_null()))
    if not len(rows):
        return text
    encoded = column.take(pa.array(rows)).dictionary_encode()
    distinct_values = encoded.dictionary.to_pylist()
    distinct_texts = pa.array(
        [write(value) for value in distinct_values],
        pa.string(),
    )
    return texts.change_rows(
        text,
        rows,
        lambda _: distinct_texts.take(encoded.indices),
    )
