"""What is known of one vendor after normalizing: its offers, its rejects and its faults.

It travels between steps as work files, in which nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import pyarrow as pa

from relay_core.columnar.csv_text import header_line
from relay_core.columnar.json_lines import ReportEntries
from relay_core.columnar.threads import ordered_map
from relay_core.domain.models import CANONICAL_COLUMNS, ReportEntry
from relay_core.merge.best_offer import one_chunk
from relay_core.normalize.normalized_csv import SLICE, SortedLines, lines_of_offers
from relay_core.normalize.rejects import REJECT_SCHEMA
from relay_core.normalize.row_reader import OFFER_SCHEMA

Outcome = Literal["parsed", "left_out", "failed"]
WORK_FILE = "vendor.arrow"
"""Three Arrow streams, one after the other: offers, rejects, entries; the rest is metadata."""

_REPORT = b"report"


@dataclass(frozen=True, slots=True)
class NormalizedVendor:
    """One vendor's feed after normalizing.

    ``outcome`` is ``parsed``; ``left_out`` where a required column is missing and the policy says
    to go on without the vendor; ``failed`` where the feed cannot be used, and then ``fault`` says
    why. ``offers`` (``OFFER_SCHEMA``) holds the valid rows, sorted by SKU, then row order;
    ``rejects`` every refused record; ``entries`` the first 10,000 row entries of ``errors.json``.
    ``lines`` are those of normalized.csv where the feed has just been read.
    """

    vendor_id: str
    outcome: Outcome
    fault: ReportEntry | None = None
    warnings: tuple[ReportEntry, ...] = ()
    total_rows: int = 0
    invalid_rows: int = 0
    fault_counts: Mapping[str, int] = field(default_factory=dict)
    entries: ReportEntries = field(default_factory=ReportEntries)
    offers: pa.Table = field(default_factory=OFFER_SCHEMA.empty_table)
    rejects: pa.Table = field(default_factory=REJECT_SCHEMA.empty_table)
    lines: SortedLines | None = None

    @property
    def valid_rows(self) -> int:
        """How many rows hold."""
        return self.total_rows - self.invalid_rows

    def csv_chunks(self) -> Iterator[bytes | memoryview]:
        """Yield normalized.csv piece by piece."""
        yield header_line(CANONICAL_COLUMNS)
        if self.lines is not None:
            yield from self.lines.pieces()
        else:
            batches = self.offers.to_batches(max_chunksize=SLICE)
            yield from ordered_map(partial(lines_of_offers, self.vendor_id), batches)

    def work_files(self) -> dict[str, list[bytes | memoryview]]:
        """Return the files that ``from_work_files`` reads back to an equal object."""
        report = json.dumps(self._report(), ensure_ascii=False).encode()
        offers = self.offers.replace_schema_metadata({_REPORT: report})
        entries = pa.table({"entry": self.entries.lines})
        return {WORK_FILE: [memoryview(_to_arrow(t)) for t in (offers, self.rejects, entries)]}

    @classmethod
    def from_work_files(cls, files: Mapping[str, bytes | memoryview]) -> NormalizedVendor:
        """Read what ``work_files`` wrote."""
        source = pa.BufferReader(pa.py_buffer(files[WORK_FILE]))
        offers, rejects, entries = (_from_arrow(source) for _ in range(3))
        report = json.loads(offers.schema.metadata[_REPORT])
        fault = report.pop("fault")
        return cls(
            **{
                **report,
                "fault": None if fault is None else ReportEntry(**fault),
                "warnings": tuple(ReportEntry(**entry) for entry in report["warnings"]),
            },
            entries=ReportEntries(one_chunk(entries["entry"])),
            offers=offers.replace_schema_metadata(OFFER_SCHEMA.metadata),
            rejects=rejects,
        )

    def _report(self) -> dict[str, Any]:
        return {
            "vendor_id": self.vendor_id,
            "outcome": self.outcome,
            "fault": None if self.fault is None else self.fault.as_dict(),
            "warnings": [entry.as_dict() for entry in self.warnings],
            "total_rows": self.total_rows,
            "invalid_rows": self.invalid_rows,
            "fault_counts": dict(self.fault_counts),
        }


def _to_arrow(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _from_arrow(source: pa.BufferReader) -> pa.Table:
    with pa.ipc.open_stream(source) as stream:
        return stream.read_all().combine_chunks()
