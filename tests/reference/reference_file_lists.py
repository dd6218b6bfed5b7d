"""A vendor of several files a second time: row by row, with dicts, as slowly and plainly as can be.

It knows CSV with commas alone, and the columns of `COLUMNS`. A file's rows are judged one by one;
changes, parts, the SKU map and duplicates follow in this order.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

LARGEST = 2**31 - 1
COLUMNS = ("sku", "vendor_sku", "quantity_available", "cost", "title", "shelf")


class TroubleError(Exception):
    """The vendor cannot be used, because of this code."""


@dataclass
class Row:
    """One row of a file."""

    file: str
    number: int
    cells: dict[str, Any]
    own_sku: str = ""


@dataclass
class File:
    """One file: its valid rows, its refused ones, and the SKUs that it deletes."""

    name: str
    part: str | None
    kind: str
    text: bytes
    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[Row, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    skipped: int = 0
    total: int = 0
    replaced: int = 0
    duplicates: int = 0


@dataclass
class Outcome:
    """What becomes of a vendor's files."""

    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[str, int, str]] = field(default_factory=list)
    base: dict[str, int] = field(default_factory=dict)
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    total_rows: int = 0
    left_out: list[str] = field(default_factory=list)


def read(
    file: File, gives: tuple[str, ...], deleted: dict[str, Any] | None
) -> None:
    """Read a file's records, and judge each."""
    records = list(csv.reader(io.StringIO(file.text.decode())))
    header = records[0]
    # An empty line is not a record, and takes no number.
    records = [record for record in records if record]
    for number, record in enumerate(records[1:], 2):
        if not any(cell.strip() for cell in record):
            continue
        by_header = dict(zip(header, record, strict=False))
        if deletes(by_header, header, deleted):
            file.skipped += 1
            if by_header.get("sku", "").strip():
                file.deleted.append(by_header["sku"].strip())
            continue
        file.total += 1
        row = Row(file.name, number, {})
        if len(record) != len(header):
            row.cells["sku"] = None
            file.refused.append((row, "column_count"))
            continue
        codes = set()
        for column in COLUMNS:
            cell = by_header.get(column, "").strip() if column in gives else ""
            row.cells[column], code = cell_value(column, cell, gives)
            codes |= {code} - {None}
        row.own_sku = row.cells["sku"] or ""
        if not row.own_sku:
            codes.add("missing_sku")
        if codes:
            file.refused.append((row, ";".join(sorted(codes))))
        else:
            file.rows.append(row)


def deletes(
    by_header: dict[str, str], header: list[str], deleted: dict[str, Any] | None
) -> bool:
    """Return True if a record of changes deletes its SKU."""
    if deleted is None or deleted["column"] not in header:
        return False
    cell = by_header.get(deleted["column"], "").strip()
    return cell.casefold() in [word.casefold() for word in deleted["is"]]


def cell_value(
    column: str, cell: str, gives: tuple[str, ...]
) -> tuple[Any, str | None]:
    """Return a cell's value, and the code of what is wrong with the cell."""
    if column == "quantity_available":
        if column not in gives:
            return 0, None
        if not cell:
            return None, "missing_quantity"
        if not cell.isdigit():
            return cell, "invalid_quantity"
        return int(cell), None
    if column == "cost" and cell:
        if not cell.isdigit():
            return cell, "invalid_decimal"
        return f"{int(cell)}.00", None
    return cell or None, None


def change(files: list[File]) -> None:
    """Let each delta replace the rows of earlier files."""
    for index, delta in enumerate(files):
        if not index:
            continue
        skus = {row.own_sku for row in delta.rows} | set(delta.deleted)
        for earlier in files[:index]:
            staying = [row for row in earlier.rows if row.own_sku not in skus]
            refused = [
                (row, codes)
                for row, codes in earlier.refused
                if codes == "column_count" or row.own_sku not in skus
            ]
            earlier.replaced += len(earlier.rows) - len(staying)
            earlier.replaced += len(earlier.refused) - len(refused)
            earlier.rows = staying
            earlier.refused = refused


def join_duplicates(
    rows: list[Row], policy: str, key: str
) -> tuple[list[Row], list[Row], int]:
    """Return the rows that stay, those that are refused, and how many are set aside."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = row.own_sku if key == "own" else row.cells["sku"]
        groups.setdefault(name, []).append(row)
    staying = []
    refused = []
    for row in rows:
        name = row.own_sku if key == "own" else row.cells["sku"]
        group = groups[name]
        if policy == "refuse":
            (staying if len(group) == 1 else refused).append(row)
        elif policy == "last":
            if row is group[-1]:
                staying.append(row)
        elif row is group[0]:
            if policy == "sum":
                total = sum(row.cells["quantity_available"] for row in group)
                row.cells["quantity_available"] = min(total, LARGEST)
            staying.append(row)
    return staying, refused, len(rows) - len(staying) - len(refused)


def combine(
    files: list[File],
    vendor: dict[str, Any],
    sku_map: dict[str, str] | None = None,
) -> Outcome:
    """Return what becomes of a vendor's files, given in reading order."""
    outcome = Outcome()
    given_columns = {
        column
        for part in vendor["parts"]
        if part["gives"] != "rows"
        for column in part["gives"]
    }
    sections = [{"part_id": None, "gives": "rows", **vendor}, *vendor["parts"]]
    standing: dict[str | None, list[File]] = {}
    for section in sections:
        part_files = [file for file in files if file.part == section["part_id"]]
        # Every file of base rows has the vendor's policy for duplicates, those of parts too.
        ruling = vendor if section["gives"] == "rows" else section
        policy = ruling.get("duplicate_skus", "refuse")
        read_section(section, part_files, given_columns, policy)
        if part_files:
            standing[section["part_id"]] = part_files
    base_sections = [
        section for section in sections if section["gives"] == "rows"
    ]
    base_files = [
        file
        for section in base_sections
        for file in standing.get(section["part_id"], [])
    ]
    base = [row for file in base_files for row in file.rows]
    base, unmatched = give_parts(base, sections, standing, outcome)
    map_skus(base, sku_map or {})
    if vendor.get("duplicate_skus") == "refuse":
        base = refuse_duplicates(base, base_files)
    outcome.rows = sorted(base, key=lambda row: row.cells["sku"])
    tell_refused(outcome, standing)
    outcome.base = base_figures(base_files)
    if any(section.get("changes") for section in base_sections):
        outcome.base["replaced"] = sum(file.replaced for file in base_files)
    if given_columns:
        outcome.base["unmatched"] = unmatched
    for section in base_sections[1:]:
        if section["part_id"] in standing:
            outcome.parts[section["part_id"]] = counted(
                standing[section["part_id"]], section
            )
    return outcome


def base_figures(base_files: list[File]) -> dict[str, int]:
    """Count the rows of the files that have base rows."""
    return {
        "read": sum(file.total + file.skipped for file in base_files),
        "skipped": sum(file.skipped for file in base_files),
        "refused": sum(len(file.refused) for file in base_files),
    }


def read_section(
    section: dict[str, Any],
    part_files: list[File],
    given_columns: set[str],
    policy: str,
) -> None:
    """Read the files of a part, apply its changes, and join its duplicates."""
    if section["gives"] == "rows":
        columns = tuple(name for name in COLUMNS if name not in given_columns)
    else:
        columns = ("sku", *section["gives"])
    changes = section.get("changes")
    for file in part_files:
        read(file, columns, (changes or {}).get("deleted"))
        if file.kind == "full" and not file.total:
            raise TroubleError("no_rows_parsed")
    change(part_files)
    if changes:
        for file in part_files:
            file.rows, refused, file.duplicates = join_duplicates(
                file.rows, policy, "own"
            )
            file.refused += [(row, "duplicate_sku") for row in refused]


def give_parts(
    base: list[Row],
    sections: list[dict[str, Any]],
    standing: dict[str | None, list[File]],
    outcome: Outcome,
) -> tuple[list[Row], int]:
    """Return the base rows with the parts' columns, and how many rows have no match."""
    unmatched = 0
    for section in sections:
        if section["gives"] == "rows" or section["part_id"] not in standing:
            continue
        part_files = standing[section["part_id"]]
        base, lost, figures = give(base, part_files, section)
        if figures is None:
            if section.get("required", True):
                raise TroubleError("no_rows_parsed")
            outcome.left_out.append(section["part_id"])
            del standing[section["part_id"]]
            continue
        unmatched += lost
        outcome.parts[section["part_id"]] = figures
    return base, unmatched


def map_skus(base: list[Row], sku_map: dict[str, str]) -> None:
    """Give the rows the merchant's SKUs."""
    for row in base:
        mapped = sku_map.get(row.cells["sku"])
        if mapped is not None:
            if row.cells["vendor_sku"] is None:
                row.cells["vendor_sku"] = row.cells["sku"]
            row.cells["sku"] = mapped


def refuse_duplicates(base: list[Row], base_files: list[File]) -> list[Row]:
    """Return the rows whose SKU no other row has; refuse the others."""
    base, refused, _ = join_duplicates(base, "refuse", "mapped")
    for row in refused:
        file = next(
            base_file for base_file in base_files if base_file.name == row.file
        )
        file.refused.append((row, "duplicate_sku"))
    return base


def tell_refused(
    outcome: Outcome, standing: dict[str | None, list[File]]
) -> None:
    """Note the refused rows of each file, and count its rows."""
    for part_files in standing.values():
        for file in part_files:
            refused_rows = sorted(file.refused, key=lambda pair: pair[0].number)
            outcome.refused += [
                (file.name, row.number, codes) for row, codes in refused_rows
            ]
            outcome.total_rows += file.total


def counted(files: list[File], section: dict[str, Any]) -> dict[str, int]:
    """Return the numbers of a part that every part has."""
    figures = {
        "read": sum(file.total + file.skipped for file in files),
        "skipped": sum(file.skipped for file in files),
        "refused": sum(len(file.refused) for file in files),
    }
    if section.get("changes"):
        figures["replaced"] = sum(file.replaced for file in files)
    return figures


def give(
    base: list[Row], files: list[File], section: dict[str, Any]
) -> tuple[list[Row], int, dict[str, int] | None]:
    """Give base rows the columns of a part; no figures where none of its rows is used."""
    rows = [row for file in files for row in file.rows]
    policy = section.get("duplicate_skus", "refuse")
    rows, refused, set_aside = join_duplicates(rows, policy, "own")
    for row in refused:
        file = next(file for file in files if file.name == row.file)
        file.refused.append((row, "duplicate_sku"))
    by_key = {row.own_sku: row for row in rows}
    used_skus = set()
    staying = []
    for row in base:
        match = by_key.get(row.cells[section.get("key", "sku")] or "")
        if (
            match is None
            and section.get("unmatched", "leave_out") == "leave_out"
        ):
            continue
        staying.append(row)
        if match is not None:
            used_skus.add(match.own_sku)
        for column in section["gives"]:
            if match is not None:
                row.cells[column] = match.cells[column]
            else:
                row.cells[column] = (
                    0 if column == "quantity_available" else None
                )
    matched_any = used_skus or [
        row
        for row in base
        if (row.cells[section.get("key", "sku")] or "") in by_key
    ]
    if not matched_any and rows and base:
        return base, 0, None
    figures = counted(files, section)
    figures["duplicates"] = set_aside + sum(file.duplicates for file in files)
    figures["used"] = len(used_skus)
    figures["unused"] = len(rows) - len(used_skus)
    return staying, len(base) - len(staying), figures
