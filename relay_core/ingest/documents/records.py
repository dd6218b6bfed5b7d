"""The records of a JSON document or of XML, as they are collected and handed on.

A header may first appear in the last record, and a value around a record behind it, so
all records are read before the first batch. Their cells stay in memory as columns.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from relay_core.columnar.arrays import RecordNumbers, WholeNumbers
from relay_core.columnar.growing_columns import GrowingArray
from relay_core.domain.codes import FailureCode
from relay_core.domain.document_paths import (
    ValuePath,
    record_names,
    value_path,
)
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest import feed
from relay_core.ingest.documents.named_values import Cell, NamedValues
from relay_core.ingest.keyed_cells import (
    MAX_CELLS,
    KeyedBlock,
    KeyedColumn,
)

_BLOCK_CELLS = 1 << 19
"""The number of cells after which records become columns."""


@dataclass(frozen=True, slots=True)
class DocumentPlan:
    """The paths that a parser reads from a document."""

    names: tuple[str, ...]  # the names on the path of records
    # The paths that begin above the record or have a test, in the order of the config
    named_paths: tuple[ValuePath, ...]

    @classmethod
    def of(cls, record_path: str, headers: Sequence[str]) -> "DocumentPlan":
        """Return the plan for records at a path, and for headers of a config."""
        paths = [value_path(header) for header in dict.fromkeys(headers)]
        named_paths = tuple(path for path in paths if not path.is_plain)
        return cls(record_names(record_path), named_paths)

    @property
    def record_level(self) -> int:
        """The level of the records; the document itself has level 0."""
        return len(self.names)

    def named_values(self) -> NamedValues | None:
        """Return the finder of the values at the named paths, or None without any."""
        if not self.named_paths:
            return None
        by_level: dict[int, list[ValuePath]] = {}
        for path in self.named_paths:
            level = self.record_level - path.levels_up
            by_level.setdefault(level, []).append(path)
        return NamedValues(by_level)


@dataclass(slots=True)
class _Around:
    """The values at one path that begins above the records."""

    level: int  # the level at which the path begins
    # The values, by the number of the value around the records
    cells: dict[int, Cell] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Block:
    """Records that are complete but for the values around them."""

    cells: KeyedBlock
    record_count: int
    # The numbers of the values around each record, by their level
    owners: Mapping[int, WholeNumbers]


@dataclass(slots=True)
class DocumentRecords:
    """The records of a document: `add` them, then `parsed` hands them on."""

    plan: DocumentPlan
    limits: Limits
    # True while no record was found because its place is there and empty
    is_empty_place: bool = False
    _pending: list[Mapping[str, Cell]] = field(default_factory=list)
    _pending_owners: dict[int, list[int]] = field(default_factory=dict)
    _pending_cells: int = 0
    _lines: GrowingArray = field(default_factory=lambda: GrowingArray(np.int64))
    _pending_lines: list[int] = field(default_factory=list)
    _blocks: deque[_Block] = field(default_factory=deque)
    _headers: dict[str, None] = field(default_factory=dict)
    _around: dict[str, _Around] = field(default_factory=dict)
    _owner_numbers: dict[int, int] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        """Prepare the paths that begin above the records."""
        for path in self.plan.named_paths:
            if path.levels_up:
                level = self.plan.record_level - path.levels_up
                self._around[path.header] = _Around(level)
                self._owner_numbers[level] = -1
                self._pending_owners[level] = []

    @property
    def count(self) -> int:
        """The number of records."""
        return self._count

    def enter_level(self, level: int) -> None:
        """Begin a value around the records."""
        if level in self._owner_numbers:
            self._owner_numbers[level] += 1

    def leave_level(self, level: int, found: Mapping[str, Cell]) -> None:
        """End a value around the records; ``found`` has its values at the paths."""
        for header, cell in found.items():
            around = self._around[header]
            around.cells[self._owner_numbers[level]] = cell

    def add(self, record: Mapping[str, Cell], line: int) -> None:
        """Take a record, which begins on a line of the file.

        Raises:
            FeedUnreadableError: ``invalid_input`` for too many headers.
        """
        check_width(len(record), self.limits)
        self._pending.append(record)
        self._pending_lines.append(line)
        for level, numbers in self._pending_owners.items():
            numbers.append(self._owner_numbers[level])
        self._count += 1
        self._pending_cells += len(record) + 1
        if self._pending_cells > _BLOCK_CELLS:
            self._close_block()

    def parsed(self, size: int) -> feed.ParsedFeed:
        """Return the headers and the records of a document of ``size`` bytes."""
        self._close_block()
        if not self._count:
            return feed.ParsedFeed(None, size=size)
        named = [path.header for path in self.plan.named_paths]
        plain = [header for header in self._headers if header not in named]
        headers = (*plain, *named)
        feed.check_header(headers, self.limits)
        lines = self._lines.array()

        def find(record_numbers: Sequence[int]) -> Sequence[int]:
            indices = np.asarray(record_numbers, np.int64) - 1
            positions: list[int] = lines[indices].tolist()
            return positions

        locator = feed.RecordLocator("line", find)
        return feed.ParsedFeed(headers, self._consume(headers), size, locator)

    def _close_block(self) -> None:
        """Turn the pending records into columns."""
        if not self._pending:
            return
        first_number = self._count - len(self._pending) + 1
        cells = KeyedBlock.of(self._pending, first_number)
        self._headers.update(dict.fromkeys(cells.columns))
        check_width(len(self._headers), self.limits)
        owners = {
            level: np.array(numbers, np.int64)
            for level, numbers in self._pending_owners.items()
        }
        self._blocks.append(_Block(cells, len(self._pending), owners))
        self._lines.append(np.array(self._pending_lines, np.int64))
        self._pending = []
        self._pending_lines = []
        self._pending_owners = {level: [] for level in self._pending_owners}
        self._pending_cells = 0

    def _consume(self, headers: Sequence[str]) -> Iterator[feed.TextBatch]:
        """Yield all records and free their cells."""
        max_rows = max(1, MAX_CELLS // max(1, len(headers)))
        while self._blocks:
            block = self._blocks.popleft()
            columns = dict(block.cells.columns)
            for header, around in self._around.items():
                numbers: RecordNumbers = block.owners[around.level]
                cells = [
                    around.cells.get(number) for number in numbers.tolist()
                ]
                columns[header] = KeyedColumn.of(range(len(cells)), cells)
            complete = KeyedBlock(block.cells.first_number, columns)
            rows = np.arange(block.record_count)
            for start in range(0, block.record_count, max_rows):
                batch_rows = rows[start : start + max_rows]
                yield complete.batch(batch_rows, headers, self.limits)


def check_width(header_count: int, limits: Limits) -> None:
    """Check that records have not too many headers.

    Raises:
        FeedUnreadableError: ``invalid_input``.
    """
    if header_count > limits.columns:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the records have more than {limits.columns:,} headers, which is the limit. "
            "Check that parser.record is the path of the records, or remove values.",
        )


def broken_document(
    kind: str, reason: str, line: int, column: int | None
) -> FeedUnreadableError:
    """Return the error of a document that is not well-formed.

    Args:
        kind: What the file is not, such as ``valid JSON``.
        reason: The reason, as a clause.
        line: The line of the error, from 1.
        column: The column of the error, from 1, if it is known.
    """
    place = f"line {line}"
    if column is not None:
        place += f", column {column}"
    return FeedUnreadableError(
        FailureCode.DECODE_ERROR,
        f"the file is not {kind}: {place}: {reason}. "
        "Ask the vendor to correct the file, or to export it again.",
    )
