"""One pass over the text of a CSV feed, record by record, without the interpreter's lock."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from relay_core.columnar.arrays import (
    Bytes,
    RecordNumbers,
    RowIndex,
    WholeNumbers,
)

VERSION: int
TEXT: int
QUANTITY: int
LEAD_TIME: int
MONEY: int
CONDITION: int
INSTANT: int
GTIN: int
NUMBERS: tuple[str, ...]
NUMBER_COUNT: int
SPARE_BYTES: int
TEXT_FIELD: int
WHOLE_FIELD: int
CENTS_FIELD: int
INSTANT_FIELD: int

class SkuTable:
    def __init__(
        self,
        key_bounds: WholeNumbers,
        key_bytes: Bytes,
        value_bounds: WholeNumbers,
        value_bytes: Bytes,
    ) -> None: ...

class Scanner:
    def __init__(
        self,
        text: memoryview,
        *,
        width: int,
        columns: npt.NDArray[np.int32],
        null_words: Sequence[Sequence[bytes]],
        longest_null: Sequence[int],
        text_count: int,
        delimiter: int,
        decimal: int,
        thousands: int,
        quoting: bool,
        offset_of_day: Callable[[int], int | None] | None,
        cell_bytes: int,
        null_numbers: WholeNumbers,
        null_texts: Sequence[bytes],
        symbols: Sequence[bytes],
        sku_map: SkuTable | None,
    ) -> None: ...
    def scan(
        self,
        start: int,
        limit: int,
        rows: Bytes,
        offsets: WholeNumbers,
        numbers: RecordNumbers,
        doubts: WholeNumbers,
        extremes: WholeNumbers,
        doubtful_first: int,
    ) -> tuple[bool, int, int, int, int, int, int, int, int]: ...

class RowReader:
    def __init__(
        self,
        buffers: Sequence[Bytes],
        text_count: int,
    ) -> None: ...
    def measure(
        self,
        rows: WholeNumbers,
        text_bytes: WholeNumbers,
        number_counts: WholeNumbers,
    ) -> None: ...
    def gather(
        self,
        rows: WholeNumbers,
        numbers: list[tuple[int, npt.NDArray[Any], Bytes]],
        texts: list[tuple[int, npt.NDArray[np.int32], Bytes, Bytes]],
    ) -> list[int] | None: ...
    def replace_texts(
        self,
        rows: WholeNumbers,
        columns: npt.NDArray[np.int32],
        starts: WholeNumbers,
        lengths: WholeNumbers,
        data: Bytes,
        out: Bytes,
        offsets: WholeNumbers,
    ) -> int: ...
    def write_lines(
        self,
        rows: WholeNumbers,
        vendor_id: bytes,
        out: Bytes,
    ) -> tuple[int, int]: ...

def part_starts(text: memoryview, size: int, quoting: bool) -> list[int]: ...
def pack_rows(
    numbers: WholeNumbers,
    text_starts: WholeNumbers,
    text_lengths: WholeNumbers,
    data: Bytes,
    rows: Bytes,
    offsets: WholeNumbers,
) -> int: ...
def join_records(text: memoryview, doubts: WholeNumbers, out: Bytes) -> int: ...
def head_room(text_count: int) -> int: ...
def best_rows(
    bounds: npt.NDArray[np.int32] | npt.NDArray[np.int64],
    data: Bytes,
    run_bounds: RowIndex,
    criteria: list[WholeNumbers],
    winners: RowIndex,
    text_counts: WholeNumbers,
) -> int: ...
def take_bounds(
    bounds: npt.NDArray[np.int32] | npt.NDArray[np.int64],
    rows: RowIndex,
    taken: npt.NDArray[np.int32],
) -> int: ...
def take_texts(
    bounds: npt.NDArray[np.int32] | npt.NDArray[np.int64],
    data: Bytes,
    rows: RowIndex,
    taken: npt.NDArray[np.int32],
    out: Bytes,
) -> None: ...
def write_fields(
    columns: list[tuple[int, WholeNumbers, Bytes | None]],
    first: int,
    stop: int,
    delimiter: int,
    out: Bytes,
) -> tuple[int, int]: ...
