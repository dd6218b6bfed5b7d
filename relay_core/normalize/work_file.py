"""A vendor's work file: what the next step needs of a vendor, where another process takes it.

An Arrow file of the offers, sorted by SKU and so readable a batch at a time; behind it a stream of
the refused records and one of their entries; last, where the first of these ends, in eight bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from relay_core.columnar.json_lines import ReportEntries
from relay_core.columnar.text import one_chunk
from relay_core.domain.records import Cause, ReportEntry
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor import SortedVendor
from relay_core.validation.contracts import OFFER_SCHEMA
from relay_core.validation.frames import frame_of, table_of

WORK_FILE = "vendor.arrow"

_REPORT = b"report"
_BATCH = 1 << 16
_LENGTH = 8


def work_file_chunks(
    ordered: SortedVendor, vendor: NormalizedVendor
) -> Iterator[bytes | memoryview]:
    """Yield a vendor's work file, piece by piece.

    Args:
        ordered: the vendor's columns that its offers do not have.
        vendor: the vendor with its offers.
    """
    report = json.dumps(_report(vendor), ensure_ascii=False).encode()
    sink = _Chunks()
    with pa.ipc.new_file(sink.file, OFFER_SCHEMA.with_metadata({_REPORT: report})) as offers:
        for batch in _batches(ordered, vendor):
            offers.write_table(batch)
            yield from sink.taken()
    yield from sink.taken()
    length = sink.size
    for table in (vendor.rejects, pa.table({"entry": vendor.entries.lines})):
        with pa.ipc.new_stream(sink.file, table.schema) as stream:
            stream.write_table(table)
        yield from sink.taken()
    yield length.to_bytes(_LENGTH, "little")


def _batches(ordered: SortedVendor, vendor: NormalizedVendor) -> Iterator[pa.Table]:
    made = table_of(vendor.offers)
    for start in range(0, len(made), _BATCH):
        rows = ordered.kept.rows[start : start + _BATCH]
        part = made.slice(start, len(rows))
        columns = (
            part[field.name] if field.name in made.column_names else ordered.kept.cells(field, rows)
            for field in OFFER_SCHEMA
        )
        yield pa.table(list(columns), schema=OFFER_SCHEMA).combine_chunks()


def read_work_file(data: bytes | memoryview) -> NormalizedVendor:
    """Return the vendor that a work file holds."""
    view = memoryview(data)
    length = int.from_bytes(view[-_LENGTH:], "little")
    with pa.ipc.open_file(pa.py_buffer(view[:length])) as file:
        offers = file.read_all().combine_chunks()
    rest = pa.BufferReader(pa.py_buffer(view[length:-_LENGTH]))
    rejects, entries = (_read_stream(rest) for _ in range(2))
    report = json.loads(offers.schema.metadata[_REPORT])
    fault = report.pop("fault")
    return NormalizedVendor(
        **{
            **report,
            "fault": None if fault is None else ReportEntry(**fault),
            "warnings": tuple(ReportEntry(**entry) for entry in report["warnings"]),
            "causes": tuple(map(Cause.of, report["causes"])),
        },
        entries=ReportEntries(one_chunk(entries["entry"])),
        offers=frame_of(offers.replace_schema_metadata(None)),
        rejects=rejects,
    )


def _report(vendor: NormalizedVendor) -> dict[str, Any]:
    return {
        "vendor_id": vendor.vendor_id,
        "outcome": vendor.outcome,
        "fault": None if vendor.fault is None else vendor.fault.as_dict(),
        "warnings": [entry.as_dict() for entry in vendor.warnings],
        "total_rows": vendor.total_rows,
        "invalid_rows": vendor.invalid_rows,
        "fault_counts": dict(vendor.fault_counts),
        "causes": [cause.as_dict() for cause in vendor.causes],
    }


def _read_stream(source: pa.BufferReader) -> pa.Table:
    with pa.ipc.open_stream(source) as stream:
        return stream.read_all().combine_chunks()


class _Chunks:
    """A file that is handed on as it is written.

    Attributes:
        file: what Arrow writes to.
        size: how many bytes were written.
    """

    closed = False

    def __init__(self) -> None:
        self.size = 0
        self._written: list[bytes] = []
        self.file = pa.PythonFile(self, mode="w")

    def write(self, data: pa.Buffer | bytes) -> int:
        """Take some bytes."""
        self._written.append(bytes(data))
        self.size += len(self._written[-1])
        return len(self._written[-1])

    def taken(self) -> list[bytes]:
        """Return what was written since the last call."""
        written, self._written = self._written, []
        return written

    def flush(self) -> None:
        """Let Arrow flush it."""

    def tell(self) -> int:
        """Return where it is."""
        return self.size

    def close(self) -> None:
        """Let Arrow close it."""
