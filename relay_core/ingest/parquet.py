"""Parquet to text columns with record numbers.

A small file can hold a few long texts some million times, so that the dictionaries of texts are
looked at before rows are read: no more rows are read at once than fit into memory at their longest.
Values become the text that a feed has for them: exact, and without an exponent.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relay_core.columnar.text import (
    Ints,
    bytes_of,
    change_rows,
    empty_texts,
    flags_of,
    values_of,
    without_nulls,
)
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest import feed
from relay_core.ingest.column_mapping import plan_columns
from relay_core.ingest.compression import too_much
from relay_core.ingest.feed import Buffer

if TYPE_CHECKING:  # a process that reads loads no pydantic
    from relay_core.config import ParserConfig

_ROWS = 1 << 16
_SHARES_STARTS = "DELTA_BYTE_ARRAY"
"""In this encoding a text says only where it differs from the one before."""
_BYTES = 8 << 20  # about how many bytes of text a batch has


def may_explode(data: Buffer) -> bool:
    """Return whether a page of a file can unpack to any size, whatever the file says of itself."""
    try:
        about = pq.read_metadata(pa.BufferReader(pa.py_buffer(memoryview(data))))
    except (pa.ArrowException, OSError, ValueError):
        return False  # the reader will say so
    groups = (about.row_group(place) for place in range(about.num_row_groups))
    chunks = (
        each.column(place) for each in groups for place in range(each.num_columns)
    )
    return any(_SHARES_STARTS in each.encodings for each in chunks)


def read_parquet(
    data: Buffer, parser: "ParserConfig", limits: Limits
) -> feed.ParsedFeed:
    """Return a file's columns as text; its first row is record 1.

    `FeedUnreadableError`: ``DECODE_ERROR``, here or from ``batches``: it is no Parquet, or damaged;
    ``invalid_input``: a column that is read is of no type that has a text, too many columns, too
    large a cell; ``feed_too_large``: its texts come to more than a feed may have.
    """
    try:
        source = pa.BufferReader(pa.py_buffer(memoryview(data)))
        file = pq.ParquetFile(source, pre_buffer=False)
        schema = file.schema_arrow
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(str(error)) from error
    headers = tuple(schema.names)
    feed.refuse_large_header(headers, limits)
    repeated = [name for name, count in Counter(headers).items() if count > 1]
    if repeated:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"columns occur more than once: {', '.join(map(shorten, repeated))}; write each once",
        )
    used = set(plan_columns(headers, parser).used)
    wrong = [
        each
        for place, each in enumerate(schema)
        if place in used and not _is_text(each.type)
    ]
    if wrong:
        kinds = ", ".join(
            f"{shorten(each.name)} is {shorten(str(each.type))}" for each in wrong
        )
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"columns that are read are not of texts, numbers, dates or booleans: {kinds}; write "
            "them flat, or map others in parser.column_map",
        )
    return feed.ParsedFeed(
        headers, _batches(_Rows(source, file, schema), schema, limits)
    )


def _is_string(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _is_number(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def _is_text(kind: pa.DataType) -> bool:
    """Return whether a column's cells have a text."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    others = (
        pa.types.is_boolean,
        pa.types.is_date,
        pa.types.is_timestamp,
        pa.types.is_null,
    )
    return any(test(kind) for test in (_is_string, _is_number, *others))


class _Rows:
    """The rows of a file, those of each of its groups by themselves."""

    def __init__(
        self, source: pa.BufferReader, file: pq.ParquetFile, schema: pa.Schema
    ) -> None:
        self._file = file
        self._has_text = [_is_text(each.type) for each in schema]
        named = list(zip(schema, self._has_text, strict=True))
        self._wanted = [each.name for each, known in named if known]
        self._texts = [each.name for each in schema if _is_string(each.type)]
        self._by_dictionary = pq.ParquetFile(
            source,
            read_dictionary=self._texts,
            pre_buffer=False,
            metadata=file.metadata,
        )

    def __iter__(self) -> Iterator[tuple[Sequence[pa.Array | None], int]]:
        """Yield columns of some rows, None for no text, and how many rows; or ``DECODE_ERROR``."""
        rows, about = 0, self._file.metadata
        try:
            for group in range(about.num_row_groups):
                most = max(1, min(_ROWS, 8 * _BYTES // max(1, self._longest(group))))
                for batch in self._file.iter_batches(
                    most, row_groups=[group], columns=self._wanted, use_threads=False
                ):
                    found = iter(batch.columns)
                    yield (
                        [next(found) if has else None for has in self._has_text],
                        batch.num_rows,
                    )
                    rows += batch.num_rows
        except MemoryError:  # Arrow's own is an ArrowException, and no damage
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(str(error)) from error
        if rows != about.num_rows:
            raise _damaged(
                f"it has {rows} rows, and says that it has another number of them"
            )

    def _longest(self, group: int) -> int:
        """Return of how many bytes a text of a group may be that takes fewer in the file."""
        about = self._file.metadata.row_group(group)
        chunks = (about.column(place) for place in range(about.num_columns))
        names = [c.path_in_schema for c in chunks if c.has_dictionary_page]
        names = [name for name in self._texts if name in names]
        if not names or not about.num_rows:
            return 0
        probe = self._by_dictionary.iter_batches(
            1, row_groups=[group], columns=names, use_threads=False
        )
        lengths = (
            pc.max(pc.binary_length(c.dictionary)).as_py() for c in next(probe).columns
        )
        return max(length or 0 for length in lengths)


def _batches(
    rows: _Rows, schema: pa.Schema, limits: Limits
) -> Iterator[feed.TextBatch]:
    number, left = 1, limits.feed_bytes
    for columns, count in rows:
        known = [column for column in columns if column is not None]
        sizes = sum(map(_sizes, known), np.zeros(count, np.int64))
        for start, stop in feed.moderate_runs(sizes, _BYTES):
            try:
                texts = [
                    empty_texts(stop - start)
                    if each is None
                    else text_of(each[start:stop])
                    for each in columns
                ]
            except pa.ArrowInvalid as error:
                raise _damaged(str(error)) from error
            left -= sum(len(bytes_of(text)) for text in texts)
            if left < 0:
                raise too_much(limits)
            numbers = np.arange(number + start, number + stop)
            feed.refuse_large_cells(texts, numbers, schema.names, limits)
            every = np.ones(stop - start, np.bool_)
            flags = {
                place: every
                for place, each in enumerate(schema)
                if _is_number(each.type)
            }
            yield feed.TextBatch(texts, numbers, flags)
        number += count


def _sizes(column: pa.Array) -> Ints:
    """Return how many bytes each cell's text has, about."""
    if pa.types.is_dictionary(column.type) and _is_string(column.type.value_type):
        lengths = pc.fill_null(pc.binary_length(column.dictionary), 0)
        found = pc.fill_null(lengths.take(column.indices), 0)
    elif _is_string(column.type):
        found = pc.fill_null(pc.binary_length(column), 0)
    else:
        return np.full(len(column), 8, np.int64)
    return values_of(found).astype(np.int64)


def _damaged(why: str) -> FeedUnreadableError:
    return FeedUnreadableError(
        FailureCode.DECODE_ERROR,
        f"the file cannot be read as Parquet: {shorten(why)}; write it again, or set "
        "parser.format to what it is",
    )


# --- values to text -------------------------------------------------------------------------------


def text_of(column: pa.Array) -> pa.StringArray:
    """Return texts, numbers, booleans or times as text, null as empty; `ValueError`: no UTF-8."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        distinct = text_of(column.dictionary)
        if len(distinct):
            return without_nulls(distinct.take(column.indices))
    if pa.types.is_null(kind) or pa.types.is_dictionary(kind):
        return empty_texts(len(column))
    if pa.types.is_floating(kind):
        # Write each float as the shortest text that reads back; not a number is empty.
        numbers = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        written = without_nulls(numbers.cast(pa.string()))
        kind = column.type.to_pandas_dtype()
        mark = (
            "" if pa.types.is_float16(column.type) else "e"
        )  # Arrow writes no short halves
        return _rewritten(
            written,
            mark,
            numbers,
            lambda value: np.format_float_positional(
                kind(value), unique=True, trim="-"
            ),
        )
    if pa.types.is_decimal(kind):
        written = without_nulls(column.cast(pa.string()))
        return _rewritten(written, "E", column, lambda value: format(value, "f"))
    if pa.types.is_timestamp(kind):
        unit, zone = column.type.unit, column.type.tz
        naive = column if zone is None else column.cast(pa.timestamp(unit, "UTC"))
        text = naive.cast(pa.timestamp(unit)).cast(pa.string())
        if unit != "s":
            text = pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".")
        return without_nulls(
            text if zone is None else pc.binary_join_element_wise(text, "Z", "")
        )
    text = without_nulls(column.cast(pa.string()))
    text.validate(full=True)
    return text


def _rewritten(
    text: pa.StringArray, mark: str, column: pa.Array, write: Callable[[object], str]
) -> pa.StringArray:
    """Return ``text`` with the cells that hold a mark written again, each distinct value once."""
    rows = np.flatnonzero(
        flags_of(pc.match_substring(text, mark)) & ~flags_of(column.is_null())
    )
    if not len(rows):
        return text
    values = column.take(pa.array(rows)).dictionary_encode()
    written = pa.array(
        [write(value) for value in values.dictionary.to_pylist()], pa.string()
    )
    return change_rows(text, rows, lambda _: written.take(values.indices))
