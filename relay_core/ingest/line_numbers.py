"""The physical lines in which records of a CSV file begin: for the few that reports show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from relay_core.ingest.csv_records import RecordScanner, after_empty_lines, line_number

_LINE_END = re.compile(rb"\r\n|\r|\n")
_WINDOW = 1 << 20


def physical_lines(
    text: memoryview, scanner: RecordScanner, position: int, ordinals: Sequence[int]
) -> list[int]:
    """Return the line of each of some records, from 1.

    Args:
        text: the whole of it.
        scanner: reads its records.
        position: where the first record, or an empty line before it, begins.
        ordinals: which records, in order, from 1.
    """
    found: list[int] = []
    passed = 0
    for lines in _lines_of_records(text, scanner, position):
        while len(found) < len(ordinals) and ordinals[len(found)] <= passed + len(lines):
            found.append(lines[ordinals[len(found)] - passed - 1])
        passed += len(lines)
        if len(found) == len(ordinals):
            break
    return found


def _lines_of_records(
    text: memoryview, scanner: RecordScanner, position: int
) -> Iterator[Sequence[int]]:
    """Yield the lines in which records begin, those of a window of the text at a time."""
    line = line_number(text, position)
    while position < len(text):
        end = _line_end(text, position)
        window = bytes(text[position:end])
        if scanner.may_open(window):
            lines, position, line = _walk(text, scanner, position, end, line)
            yield lines
            continue
        parts = _LINE_END.split(window)
        yield [line + place for place, part in enumerate(parts) if part]
        position, line = end, line + len(parts) - 1


def _walk(
    text: memoryview, scanner: RecordScanner, position: int, end: int, line: int
) -> tuple[list[int], int, int]:
    """Return the lines of the records that begin before an end, and where the next one begins."""
    lines: list[int] = []
    while position < end:
        start = after_empty_lines(text, position)
        line += _ends(text, position, start)
        if start >= len(text):
            return lines, start, line
        lines.append(line)
        position = scanner.record_end(text, start)
        line += _ends(text, start, position)
    return lines, position, line


def _ends(text: memoryview, start: int, end: int) -> int:
    return sum(1 for _ in _LINE_END.finditer(text, start, end))


def _line_end(text: memoryview, position: int) -> int:
    """Return where a window ends: behind a line end, or with the text."""
    size = _WINDOW
    while position + size < len(text):
        window = bytes(text[position : position + size])
        last = max(window.rfind(b"\n"), window.rfind(b"\r"))
        if last >= 0:
            end = position + last + 1
            is_split = bytes(text[end - 1 : end + 1]) == b"\r\n"
            return end + 1 if is_split else end
        size *= 4
    return len(text)
