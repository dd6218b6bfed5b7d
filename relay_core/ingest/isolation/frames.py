"""What a reading process says to the one that asked: frames of a letter, a length and a body."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import flags_of, values_of
from relay_core.ingest.feed import Misfits, TextBatch

_HEAD = struct.Struct("<cQ")
_NUMBERS = "rows"
_WIDTHS = "widths"


class FrameKind(StrEnum):
    """What a frame holds."""

    HEADERS = "H"
    RECORDS = "R"
    MISFITS = "M"
    UNREADABLE = "U"
    NO_MEMORY = "O"
    DEFECT = "D"
    END = "E"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its kind, and its body."""

    kind: FrameKind
    body: bytes

    def value(self) -> Any:
        """Return what stands in a body of JSON."""
        return json.loads(self.body)


def write_value(out: IO[bytes], kind: FrameKind, value: Any = None) -> None:
    """Write a frame of JSON."""
    _write(out, kind, json.dumps(value).encode("ascii"))


def write_batch(out: IO[bytes], batch: TextBatch | Misfits) -> None:
    """Write a frame of some records."""
    if isinstance(batch, Misfits):
        columns = {_NUMBERS: pa.array(batch.row_numbers), "raw": batch.raw}
        columns |= {f"c{place}": cells for place, cells in enumerate(batch.cells)}
        columns |= {} if batch.widths is None else {_WIDTHS: pa.array(batch.widths)}
        _write(out, FrameKind.MISFITS, _as_ipc(columns))
        return
    columns = {_NUMBERS: pa.array(batch.row_numbers)}
    columns |= {f"c{place}": text for place, text in enumerate(batch.columns)}
    columns |= {f"n{place}": pa.array(flags) for place, flags in batch.number_cells.items()}
    _write(out, FrameKind.RECORDS, _as_ipc(columns))


def read_frame(source: IO[bytes]) -> Frame | None:
    """Return the next frame; None where the process has ended before it was whole."""
    head = source.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    letter, size = _HEAD.unpack(head)
    body = source.read(size)
    return Frame(FrameKind(letter.decode("ascii")), body) if len(body) == size else None


def batch_of(frame: Frame) -> TextBatch | Misfits:
    """Return the records of a frame."""
    batch = pa.ipc.open_stream(pa.py_buffer(frame.body)).read_next_batch()
    numbers = np.asarray(values_of(batch.column(_NUMBERS)), np.int64)
    columns = _starting(batch, "c")
    if frame.kind is FrameKind.MISFITS:
        widths = batch.column(_WIDTHS) if _WIDTHS in batch.schema.names else None
        widths = None if widths is None else values_of(widths)
        return Misfits(widths, numbers, batch.column("raw"), columns)
    flags = {
        int(name[1:]): flags_of(batch.column(name))
        for name in batch.schema.names
        if name.startswith("n")
    }
    return TextBatch(columns, numbers, flags)


def _starting(batch: pa.RecordBatch, letter: str) -> Sequence[pa.StringArray]:
    return [batch.column(name) for name in batch.schema.names if name.startswith(letter)]


def _as_ipc(columns: dict[str, pa.Array]) -> pa.Buffer:
    batch = pa.record_batch(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue()


def _write(out: IO[bytes], kind: FrameKind, body: bytes | pa.Buffer) -> None:
    out.write(_HEAD.pack(kind.encode("ascii"), len(body)))
    out.write(body)
