"""One vendor's feed, row by row, to offers and faults: for tests only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from reference_cells import FaultError, microseconds
from reference_columns import value_of
from reference_csv import (
    LargeCellError,
    UnreadableError,
    decode,
    drop_physical_lines,
    is_blank,
    read_records,
    split_header,
)

CANONICAL = (
    "sku",
    "vendor_sku",
    "vendor_id",
    "quantity_available",
    "lead_time_days",
    "cost",
    "map_price",
    "price",
    "msrp",
    "condition",
    "brand",
    "title",
    "updated_at",
)
REQUIRED = ("sku", "quantity_available")

Offer = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One fault of one row, as ``errors.json`` tells it."""

    error_code: str
    vendor_id: str
    row_number: int
    column: str | None
    value: str | None
    row_data: dict[str, str] | list[str]


@dataclass
class Vendor:
    """What became of one vendor's feed."""

    vendor_id: str
    outcome: str = "parsed"
    fault: str | None = None
    warnings: list[str] = field(default_factory=list)
    total_rows: int = 0
    skipped: int = 0
    offers: list[Offer] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    rejects: list[tuple[int, list[str], list[str]]] = field(
        default_factory=list
    )
    refused_skus: dict[int, str] = field(default_factory=dict)


class FeedFaultError(Exception):
    """The whole feed is unusable; ``args[0]`` is the failure code."""


def read_vendor(
    config: Any,
    vendor: Any,
    feed: bytes,
    sku_map: bytes | None,
    requested_at: Any,
) -> Vendor:
    result = Vendor(vendor.vendor_id)
    try:
        skus = {} if sku_map is None else read_sku_map(sku_map)
        headers, records, first_number = read_feed(feed, vendor.parser)
        positions = (
            None
            if headers is None
            else find_columns(config, vendor, headers, result)
        )
    except FeedFaultError as fault:
        result.outcome = "failed"
        result.fault = fault.args[0]
        return result
    if result.outcome == "left_out" or positions is None or headers is None:
        return result
    skips = (
        [] if result.outcome == "left_out" else skipping(headers, vendor.parser)
    )
    for place, record in enumerate(records):
        records[place] = without_blank_end(record, headers, vendor.parser)
    for number, record in enumerate(records, first_number):
        if any(is_skipped(record, *skip) for skip in skips) and not is_blank(
            record
        ):
            result.skipped += 1
        elif not is_blank(record):
            result.total_rows += 1
            read_row(
                config,
                vendor,
                number,
                headers,
                record,
                positions,
                skus,
                requested_at,
                result,
            )
    if vendor.duplicate_skus == "refuse":
        refuse_repeated(
            result, headers, dict(enumerate(records, first_number)), positions
        )
    return result


def refuse_repeated(
    result: Vendor,
    headers: list[str],
    records: Mapping[int, list[str]],
    positions: Mapping[str, list[int]],
) -> None:
    """Make each row of which another has the SKU an invalid one."""
    counts = Counter(offer["sku"] for offer in result.offers)
    for offer in [offer for offer in result.offers if counts[offer["sku"]] > 1]:
        result.offers.remove(offer)
        number = offer["row_number"]
        record = records[offer["row_number"]]
        value = cut(record[positions["sku"][0]]) if "sku" in positions else None
        row_data = shown_cells(headers, record, places_of(positions))
        code = "duplicate_sku"
        result.entries.append(
            Entry(code, result.vendor_id, number, "sku", value, row_data)
        )
        result.rejects.append((number, [code], record))
        result.refused_skus[number] = offer["sku"]
    result.entries.sort(key=lambda entry: entry.row_number)
    result.rejects.sort(key=lambda reject: reject[0])


def read_sku_map(data: bytes) -> dict[str, str]:
    try:
        header, records = split_header(read_records(decode(data, "utf-8"), ","))
    except UnreadableError as error:
        raise FeedFaultError("invalid_input") from error
    names = [name.strip() for name in header or []]
    if names.count("vendor_sku") != 1 or names.count("sku") != 1:
        raise FeedFaultError("invalid_input")
    skus = {}
    for record in records:
        cells = dict(
            zip(names, (cell.strip() for cell in record), strict=False)
        )
        if cells.get("vendor_sku") and cells.get("sku"):
            skus[cells["vendor_sku"]] = cells["sku"]
    return skus


def read_feed(
    feed: bytes, parser: Any
) -> tuple[list[str] | None, list[list[str]], int]:
    """Return the headers as they stand, the records after them, the first one's number."""
    try:
        text = drop_physical_lines(
            decode(feed, parser.encoding), parser.skip_lines
        )
        records = read_records(text, parser.delimiter, quoting=parser.quoting)
    except UnreadableError as error:
        raise FeedFaultError("DECODE_ERROR") from error
    except LargeCellError as error:
        raise FeedFaultError("invalid_input") from error
    if parser.columns is not None:
        return list(parser.columns), records, 1
    header, rows = split_header(records)
    return header, rows, 2


def places_of(positions: Mapping[str, list[int]]) -> set[int]:
    return {place for places in positions.values() for place in places}


def skipping(headers: Sequence[str], parser: Any) -> list[tuple[int, Any]]:
    """Return where each entry of skip_rows looks, and for what."""
    names = [header.strip() for header in headers]
    rules = ((rule.column.strip(), rule.texts) for rule in parser.skip_rows)
    return [
        (names.index(header), texts)
        for header, texts in rules
        if header in names
    ]


def is_skipped(record: Sequence[str], place: int, texts: Any) -> bool:
    cell = record[place].strip() if place < len(record) else ""
    if texts == "empty":
        return cell == ""
    return cell.casefold() in [text.casefold() for text in texts]


def without_blank_end(
    record: list[str], headers: Sequence[str], parser: Any
) -> list[str]:
    is_dropped = parser.blank_extra_fields == "drop" and is_blank(
        record[len(headers) :]
    )
    return record[: len(headers)] if is_dropped else record


def find_columns(
    config: Any, vendor: Any, headers: Sequence[str], result: Vendor
) -> dict[str, list[int]]:
    """Return where the headers of each canonical column stand; absent columns are left out."""
    names = [header.strip() for header in headers]
    mapped: Mapping[str, Any] = vendor.parser.column_map
    plain = [
        source.strip() for source in mapped.values() if isinstance(source, str)
    ]
    headers_by_column: dict[str, list[str]] = {}
    for column in CANONICAL:
        if column == "vendor_id":
            continue
        if column in mapped:
            headers_by_column[column] = headers_of(mapped[column])
        elif column not in plain:
            headers_by_column[column] = [column]
    missing = [
        column
        for column in CANONICAL
        if (column in mapped or column in REQUIRED)
        and is_missing(
            headers_by_column.get(column),
            names,
            has_default=column in vendor.parser.defaults,
        )
    ]
    skipped = [rule.column.strip() for rule in vendor.parser.skip_rows]
    lacks = bool(missing) or any(header not in names for header in skipped)
    if lacks and config.error_policy.fail_on_missing_required_columns:
        raise FeedFaultError("missing_required_columns")
    if lacks:
        result.warnings.append("missing_required_columns")
    if any(c in REQUIRED and c not in vendor.parser.defaults for c in missing):
        result.outcome = "left_out"
        return {}
    every = [
        header for headers in headers_by_column.values() for header in headers
    ]
    if any(names.count(header) > 1 for header in every + skipped):
        raise FeedFaultError("invalid_input")
    return {
        column: [names.index(header) for header in headers]
        for column, headers in headers_by_column.items()
        if all(header in names for header in headers)
    }


def is_missing(
    headers: list[str] | None, names: list[str], *, has_default: bool
) -> bool:
    """Return whether a header of a column is absent; with a default all of them may be."""
    absent = [header for header in headers or [""] if header not in names]
    return bool(absent) and not (
        has_default and len(absent) == len(headers or [""])
    )


def headers_of(source: Any) -> list[str]:
    """Return the headers of an entry of column_map, that of a factor last."""
    if isinstance(source, str):
        return [source.strip()]
    options = source.model_dump(mode="json")
    for form in ("join", "sum", "first"):
        if form in options:
            return list(options[form])
    factors = [options.get("times"), options.get("divided_by")]
    return [
        options["column"],
        *(factor for factor in factors if isinstance(factor, str)),
    ]


def cut(text: str) -> str:
    return text if len(text) <= 1000 else text[:1000] + "\u2026"


def shown_cells(
    headers: list[str], record: list[str], mapped: set[int]
) -> dict[str, str]:
    """Return the mapped columns, and others as far as there are no more than 50 in all."""
    room = 50 - len(mapped)
    cells = {}
    for place, (header, cell) in enumerate(zip(headers, record, strict=True)):
        if place in mapped or room > 0:
            cells[header] = cut(cell)
            room -= place not in mapped
    return cells


def read_row(
    config: Any,
    vendor: Any,
    number: int,
    headers: list[str],
    record: list[str],
    positions: Mapping[str, list[int]],
    skus: Mapping[str, str],
    requested_at: Any,
    result: Vendor,
) -> None:
    if len(record) != len(headers):
        refuse_record(vendor, number, record, result)
        return
    rate = None
    if vendor.currency not in (None, config.default_currency):
        rate = Fraction(config.exchange_rates[vendor.currency])
    offer: Offer = {"vendor_id": vendor.vendor_id, "row_number": number}
    faults: list[Entry] = []
    for column in CANONICAL:
        if column == "vendor_id":
            continue
        cells = [record[place] for place in positions.get(column, [])]
        try:
            offer[column] = value_of(
                column, cells, vendor.parser, config.zone, rate
            )
        except FaultError as fault:
            code, *at = fault.args
            row_data = shown_cells(headers, record, places_of(positions))
            value = cut(at[0] if at else cells[0]) if cells else None
            faults.append(
                Entry(code, vendor.vendor_id, number, column, value, row_data)
            )
    if faults:
        result.entries.extend(faults)
        codes = sorted({fault.error_code for fault in faults})
        result.rejects.append((number, codes, record))
        if offer.get("sku"):
            result.refused_skus[number] = skus.get(offer["sku"], offer["sku"])
        return
    if offer["updated_at"] is None:
        offer["updated_at"] = microseconds(requested_at)
    if offer["sku"] in skus:
        offer["vendor_sku"] = offer["vendor_sku"] or offer["sku"]
        offer["sku"] = skus[offer["sku"]]
    result.offers.append(offer)


def refuse_record(
    vendor: Any, number: int, record: list[str], result: Vendor
) -> None:
    """Refuse a record that has more or fewer cells than the header."""
    first_cells = [cut(cell) for cell in record[:50]]
    entry = Entry(
        "column_count", vendor.vendor_id, number, None, None, first_cells
    )
    result.entries.append(entry)
    result.rejects.append((number, ["column_count"], record))
