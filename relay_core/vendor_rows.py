"""A parsed feed to the vendor's valid rows in order, its refused rows, and Pandera's verdict.

Batches are read on two threads while Arrow splits the next; what needs all rows comes after, and
can run beside the reading of another vendor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa

from relay_core.canonical_lines import SortedLines, lines_of_batch
from relay_core.columns import Bools
from relay_core.errors import ContractBrokenError
from relay_core.models import ReportEntry
from relay_core.normalize import OFFER_SCHEMA, RowReader, TypedBatch, empty_texts, no_numbers
from relay_core.normalized import NormalizedVendor
from relay_core.ordering import Rows, order_by_text
from relay_core.parallel import ordered_map
from relay_core.parsing import ParsedFeed, TextBatch
from relay_core.rejects import RejectLog
from relay_core.schemas import CANONICAL_SCHEMA
from relay_core.text_words import offsets_and_bytes
from relay_core.validation import broken_rules, judged_frame, rows_that_break

GATE_ROWS = 1 << 18
"""How many rows Pandera validates at a time."""


@dataclass(slots=True)
class ReadRows:
    """All rows of a feed, in its order, faulty ones too; ``sorted_vendor`` uses them up.

    Columns, faults and lines are in pieces, one a batch.
    """

    vendor_id: str
    warnings: tuple[ReportEntry, ...]
    rejects: RejectLog
    ragged: int = 0
    columns: dict[str, list[pa.Array]] = field(default_factory=dict)
    faulty: list[Bools] = field(default_factory=list)
    lines: list[pa.StringArray] = field(default_factory=list)


def read_rows(
    vendor_id: str,
    parsed: ParsedFeed,
    reader: RowReader,
    columns: Collection[str],
    warnings: tuple[ReportEntry, ...],
) -> ReadRows:
    """Read every row of a feed.

    Raises:
        FeedUnreadableError: the feed's structure is broken.
    """
    rows = ReadRows(vendor_id, warnings, RejectLog(vendor_id, parsed.headers or (), reader))
    wanted = {*columns, *CANONICAL_SCHEMA.columns}
    for batch, typed, faulty, lines in ordered_map(
        partial(_read_batch, vendor_id, reader, wanted), parsed.batches
    ):
        for name in typed.schema.names:
            rows.columns.setdefault(name, []).append(typed[name])
        rows.faulty.append(faulty)
        rows.lines.append(lines)
        rows.rejects.add(batch, faulty)
    rows.rejects.add_ragged(parsed.ragged)
    rows.ragged = len(parsed.ragged)
    return rows


def _read_batch(
    vendor_id: str, reader: RowReader, columns: Collection[str], batch: TextBatch
) -> tuple[TypedBatch, pa.RecordBatch, Bools, pa.StringArray]:
    read = reader.read(batch)
    return read, read.typed(columns), read.faulty(), lines_of_batch(vendor_id, read)


def sorted_vendor(rows: ReadRows, columns: Collection[str]) -> NormalizedVendor:
    """Put the valid rows in order of SKU, then of rows, and hold all rows against the schema.

    Args:
        rows: what was read.
        columns: the columns of offers that are kept.

    Raises:
        ContractBrokenError: the schema refuses a row that no reader found a fault in, or the
            other way round.
    """
    total, refused, ragged = sum(map(len, rows.faulty)), 0, rows.ragged
    places, offers = np.empty(0, np.int64), OFFER_SCHEMA.empty_table()
    if total:
        faulty = np.concatenate(rows.faulty)
        places, _ = order_by_text(pa.concat_arrays(rows.columns["sku"]))
        places = places[~faulty[places]]
        offers, rejected = _taken_rows(rows.columns, places, np.flatnonzero(faulty))
        refused = rejected.num_rows
        _hold_to_schema(offers, rejected)
        offers = offers.select([name for name in offers.column_names if name in columns])
    return NormalizedVendor(
        rows.vendor_id,
        "parsed",
        warnings=rows.warnings,
        total_rows=total + ragged,
        invalid_rows=refused + ragged,
        fault_counts=dict(rows.rejects.counts),
        entries=rows.rejects.entries(),
        offers=offers,
        rejects=rows.rejects.table(),
        lines=SortedLines(rows.lines, places),
    )


def _taken_rows(columns: dict[str, list[pa.Array]], *places: Rows) -> Iterator[pa.Table]:
    """Yield a table of the rows at each of ``places``; ``columns`` is used up."""
    names = [name for name in OFFER_SCHEMA.names if name in columns]
    chosen = [pa.array(rows) for rows in places]
    taken = list(ordered_map(lambda name: _taken(columns.pop(name), chosen), names))
    schema = pa.schema([OFFER_SCHEMA.field(name) for name in names])
    for arrays in zip(*taken, strict=True):
        yield pa.table(list(arrays), schema=schema)


def _taken(chunks: list[pa.Array], places: Sequence[pa.Array]) -> list[pa.Array]:
    """Return the chosen rows of a column; one of nothing but nulls needs no memory of its own."""
    if all(chunk.null_count == len(chunk) for chunk in chunks):
        return [no_numbers(len(rows)) for rows in places]
    if pa.types.is_string(chunks[0].type) and not any(map(_text_bytes, chunks)):
        return [empty_texts(len(rows)) for rows in places]
    whole = pa.concat_arrays(chunks)
    chunks.clear()
    return [whole.take(rows) for rows in places]


def _text_bytes(text: pa.StringArray) -> int:
    bounds, _ = offsets_and_bytes(text)
    return int(bounds[-1] - bounds[0])


def _hold_to_schema(offers: pa.Table, rejected: pa.Table) -> None:
    slices = [offers.slice(start, GATE_ROWS) for start in range(0, len(offers), GATE_ROWS)]
    accepted = [row for found in ordered_map(_disputed, slices) for row in found]
    refused = rows_that_break(CANONICAL_SCHEMA, judged_frame(rejected))
    if accepted or not refused.all():
        passed = rejected["sku"].filter(pa.array(~refused)).to_pylist()
        raise ContractBrokenError(
            f"schema and readers disagree about the rows of SKUs {[*accepted, *passed][:3]}"
        )


def _disputed(offers: pa.Table) -> list[str]:
    broken = broken_rules(CANONICAL_SCHEMA, judged_frame(offers))
    return [offers["sku"][row].as_py() for rule in broken for row in rule.rows[:3]]
