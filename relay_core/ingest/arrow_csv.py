"""What Arrow's reader of CSV is given and hands back: a body, and records of other widths."""

from __future__ import annotations

from array import array
from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow.csv as pa_csv


class OtherRecords:
    """Records that are not as wide as most, as Arrow meets them.

    Attributes:
        expected: whether the first records have some.
        size: how many characters wait to be read.
    """

    def __init__(self, *, expected: bool) -> None:
        self.expected = expected
        self.size = 0
        self._waiting: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
        self._numbers = array("q")
        self._passed = 0

    def keep(self, row: pa_csv.InvalidRow) -> str:
        """Take one from Arrow, unless it has come before."""
        if not self._numbers or row.number > self._numbers[-1]:
            self._waiting[row.actual_columns].append((row.number, row.text))
            self._numbers.append(row.number)
            self.size += len(row.text)
        return "skip"

    def taken(self) -> dict[int, list[tuple[int, str]]]:
        """Return the records that wait, by width; then none does."""
        waiting, self._waiting, self.size = self._waiting, defaultdict(list), 0
        return dict(waiting)

    def numbers_around(self, accepted: int, rows: int) -> npt.NDArray[np.int64]:
        """Number the next ``rows`` usual records (the first record is 1) around these."""
        ordinals = np.arange(accepted, accepted + rows, dtype=np.int64)
        others = np.array(self._numbers[self._passed :], np.int64)
        usual_before = others - np.arange(self._passed + 1, self._passed + 1 + len(others))
        numbers = ordinals + 1 + self._passed
        numbers += np.searchsorted(usual_before, ordinals, side="right")
        self._passed += int(np.searchsorted(usual_before, accepted + rows - 1, side="right"))
        return numbers


class BodySource:
    """The body between two line ends, then the end mark's record, as a stream for Arrow.

    The first line end keeps Arrow from taking a U+FEFF of the first record for a byte order mark.
    Only the first and the last block are copied; the others are views of the body.
    """

    closed = False

    def __init__(self, body: memoryview, end_mark: bytes, first: int) -> None:
        self._before, self._body, self._after = b"\n", body, b"\n" + end_mark + b"\n"
        self._first = first

    def read(self, size: int) -> bytes | memoryview:
        """Return the next ``size`` bytes, the ``first`` time fewer, or all that are left."""
        before, self._before = self._before, b""
        size = min(size, self._first) if before else size
        part = self._body[: max(0, size - len(before))]
        self._body = self._body[len(part) :]
        if before or len(part) < size:
            after = b"" if len(self._body) else self._after[: size - len(before) - len(part)]
            self._after = self._after[len(after) :]
            return before + bytes(part) + after
        return part

    def close(self) -> None:
        """Let Arrow close it."""
