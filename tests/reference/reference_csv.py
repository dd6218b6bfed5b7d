"""The feed's bytes as records, one character at a time: slow, obvious, for tests only.

Nothing here is shared with the engine, so that the two can disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_BYTES = 1_048_576


class UnreadableError(Exception):
    """The bytes are not text in that encoding, or a quote is never closed."""


class LargeCellError(Exception):
    """A cell has more bytes than one may have."""


def cell_of(characters: list[str]) -> str:
    cell = "".join(characters)
    if len(cell.encode()) > MAX_BYTES:
        raise LargeCellError
    return cell


def decode(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except ValueError as error:
        raise UnreadableError(str(error)) from error
    return text[1:] if text.startswith("\ufeff") else text


def drop_physical_lines(text: str, count: int) -> str:
    """Cut that many lines off the front; quotes mean nothing here, empty lines count."""
    position = 0
    for _ in range(count):
        while position < len(text) and text[position] not in "\r\n":
            position += 1
        position += 2 if text[position : position + 2] == "\r\n" else 1
    return text[position:]


def read_records(  # noqa: C901 (one state machine is best read in one place)
    text: str, delimiter: str, *, quoting: bool = True
) -> list[list[str]]:
    """Split text into records of untrimmed fields; lines of no characters are left out."""
    records: list[list[str]] = []
    fields: list[str] = []
    field: list[str] = []
    quoted = False  # inside a quoted field, before its closing quote
    field_begins = True  # no character of this field was seen
    line_begins = True  # no character of this record was seen
    position = 0
    while position < len(text):
        character = text[position]
        following = text[position + 1 : position + 2]
        position += 1
        if quoted:
            if character != '"':
                field.append(character)
            elif following == '"':
                field.append('"')
                position += 1
            else:
                quoted = False
        elif character in "\r\n":
            if character == "\r" and following == "\n":
                position += 1
            if not line_begins:
                records.append([*fields, cell_of(field)])
            fields = []
            field = []
            field_begins = True
            line_begins = True
        elif character == delimiter:
            fields.append(cell_of(field))
            field = []
            field_begins = True
            line_begins = False
        else:
            if character == '"' and field_begins and quoting:
                quoted = True
            else:
                field.append(character)
            field_begins = line_begins = False
    last = cell_of(field)
    if quoted:
        raise UnreadableError("a quote is never closed")
    if not line_begins:
        records.append([*fields, last])
    return records


def is_blank(record: Sequence[str]) -> bool:
    return all(cell.strip() == "" for cell in record)


def split_header(
    records: list[list[str]],
) -> tuple[list[str] | None, list[list[str]]]:
    """Return the first record that is not blank, and all that follow it."""
    for position, record in enumerate(records):
        if not is_blank(record):
            return record, records[position + 1 :]
    return None, []


def csv_line(cells: Iterable[str], delimiter: str = ",") -> str:
    """Write one record without its line end; quotes only where they are needed."""
    line = delimiter.join(
        '"' + cell.replace('"', '""') + '"'
        if any(special in cell for special in (delimiter, '"', "\r", "\n"))
        else cell
        for cell in cells
    )
    return line or '""'
