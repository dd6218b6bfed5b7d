"""What has changed between two files, record by record: slow, obvious, for tests only."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from reference_csv import csv_line

DELIMITERS = {"csv": ",", "tsv": "\t"}


def changed_file(
    older: bytes, newer: bytes, file: Any, headers: Sequence[str]
) -> tuple[bytes, int]:
    """Return a file of changes of lines, and the number of its rows."""
    records_of = json_records if file.format == "jsonl" else csv_records
    head, new = records_of(newer, file.format)
    _, old = records_of(older, file.format)
    columns = [column.column for column in file.columns]
    place = columns.index("sku")
    has_role = "quantity_available" in columns or "availability" in columns
    old_records = {record for record, _ in old}
    lines = [record for record, _ in new if record not in old_records]
    new_skus = {cells[place] for _, cells in new}
    for _, cells in old if has_role else ():
        if cells[place] in new_skus:
            continue
        values = []
        for column, cell in zip(columns, cells, strict=True):
            if column == "quantity_available":
                values.append(0 if file.format == "jsonl" else "0")
            elif column == "availability":
                values.append("out_of_stock")
            else:
                values.append(cell)
        lines.append(written(values, file.format, headers))
    return (head + "".join(lines)).encode(), len(lines)


def csv_records(data: bytes, format: str) -> tuple[str, list[Any]]:
    """Return the header, and each record with its cells."""
    delimiter = DELIMITERS[format]
    text = data.decode()
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    records = []
    for cells in rows:
        line = csv_line(cells, delimiter) + "\n"
        assert text.startswith(line)
        text = text[len(line) :]
        records.append((line, cells))
    assert not text
    return records[0][0], records[1:]


def json_records(data: bytes, _: str) -> tuple[str, list[Any]]:
    lines = data.decode().split("\n")[:-1]
    return "", [(f"{line}\n", [*json.loads(line).values()]) for line in lines]


def written(values: Sequence[Any], format: str, headers: Sequence[str]) -> str:
    if format == "jsonl":
        row = dict(zip(headers, values, strict=True))
        text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        return f"{text}\n"
    return csv_line(values, DELIMITERS[format]) + "\n"
