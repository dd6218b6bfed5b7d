"""Feeds that once were many times as dear as clean ones of as many bytes, and could be again.

Each is plain CSV, made of clean rows of which it spoils what its name says; those of other formats
are in ``hostile_formats``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.feed_text import joined, moments, where
from benchmarks.feeds import Shape, config_document, vendor_columns
from relay_core.domain.limits import DEFAULT_LIMITS

Columns = dict[str, pa.StringArray]
Csv = tuple[str, pa.StringArray]

CLEAN = "clean"
ENDS = "ends"
"""The file beside a feed with the code that its run ends with."""
ISO = "the same rows in ISO"
_DAY = 86_400
_LARGE = 8_000_000
_FORMATS = ("%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M %p")


@dataclass(frozen=True)
class Feed:
    """What is wrong with a feed, and what the engine may take for it.

    Attributes:
        name: what is wrong with it.
        csv: its header and its lines, of clean rows and the number of bytes that it gets.
        least_row: no fewer bytes has a row.
        ends: the code that the run ends with; empty where it succeeds.
        last: what stands behind the last line.
        time: how many times as long as the feed ``beside`` it may take, and a second more.
    """

    name: str
    csv: Callable[[Columns, int], Csv]
    least_row: int = 60
    ends: str = ""
    last: str = ""
    time: float = 3.0
    beside: str = CLEAN
    vendors: int = 1
    encoding: str = "utf-8"
    timezone: str = "UTC"
    formats: tuple[str, ...] = ()


def written(columns: Mapping[str, pa.StringArray], end: str = "") -> Csv:
    """Return header and lines of columns; ``end`` stands at the end of each."""
    return ",".join(columns) + end, joined(
        joined(*columns.values(), separator=","), end
    )


def _clean(columns: Columns, _: int) -> Csv:
    return written(columns)


def _long_sku(columns: Columns, size: int) -> Csv:
    few = columns["SKU"].take(pa.array(np.arange(_rows(columns)) // 2))
    # A run refuses a feed with a longer cell.
    sku = "S" * min(size // 20, DEFAULT_LIMITS.cell_bytes)
    return written(columns | {"SKU": _with_first(few, sku)})


def _one_sku(columns: Columns, _: int) -> Csv:
    return written(columns | {"SKU": pa.repeat("SKU-1", _rows(columns))})


def _comma_at_the_end(columns: Columns, _: int) -> Csv:
    header, lines = written(columns)
    return header, joined(lines, ",")


def _four_widths(columns: Columns, _: int) -> Csv:
    header, lines = written(columns)
    commas = pa.array(["", ",", ",,", ",,,"])
    return header, joined(
        lines, commas.take(pa.array(np.arange(len(lines)) % len(commas)))
    )


def _all_widths(columns: Columns, _: int) -> Csv:
    header, lines = written(columns)
    commas = pc.binary_repeat(
        pa.scalar(","), pa.array(1 + np.arange(len(lines)) % 3_000)
    )
    return header, joined(lines, commas)


def _unnamed_columns(columns: Columns, _: int) -> Csv:
    return written(
        columns | {"QTY": _with_first(columns["QTY"], "few")}, "," * 8_000
    )


def _wide(columns: Columns, _: int) -> Csv:
    notes = {
        f"note {place}": pa.repeat("n", _rows(columns))
        for place in range(len(columns), 1000)
    }
    return written(columns | notes)


def _too_wide(columns: Columns, _: int) -> Csv:
    header, lines = _wide(columns, 0)
    return f"{header},one more", joined(lines, ",")


def _ten_years(columns: Columns, _: int) -> Csv:
    days = np.arange(_rows(columns)) * 7 % 3_650
    seconds = 1_451_606_400 + days * _DAY + np.arange(_rows(columns)) % _DAY
    return written(columns | {"UPDATED": moments(seconds)})


def _in_iso(columns: Columns, _: int) -> Csv:
    return written(columns | {"UPDATED": moments(_times(columns))})


def _in_formats(columns: Columns, _: int) -> Csv:
    times = pa.array(_times(columns)).cast(pa.timestamp("s"))
    texts = [pc.strftime(times, format=form) for form in _FORMATS]
    mixed = where(np.arange(len(times)) % 2 == 0, *texts)
    return written(columns | {"UPDATED": mixed})


def _all_refused(columns: Columns, _: int) -> Csv:
    return written(
        columns
        | {name: pa.repeat("?", _rows(columns)) for name in ("QTY", "COST")}
    )


def _long_bad_cells(columns: Columns, _: int) -> Csv:
    bad = pa.repeat("x" * 60_000, _rows(columns))
    names = (
        "QTY",
        "COST",
        "MAP",
        "MSRP",
        "LEAD",
        "UPDATED",
        "price",
        "condition",
    )
    return written(columns | dict.fromkeys(names, bad))


def _distinct_bad_texts(columns: Columns, _: int) -> Csv:
    numbers = pa.array(np.arange(_rows(columns))).cast(pa.string())
    bad = {
        name: joined(numbers, "x") for name in ("QTY", "COST", "MAP", "UPDATED")
    }
    return written(columns | bad)


def _exponents(columns: Columns, _: int) -> Csv:
    numbers = pa.array(np.arange(_rows(columns))).cast(pa.string())
    return written(
        columns
        | {name: joined(numbers, "e-2") for name in ("COST", "MAP", "MSRP")}
    )


def _euro_sign(columns: Columns, _: int) -> Csv:
    return written(columns | {"TITLE": _with_first(columns["TITLE"], "5 €")})


def _emoji(columns: Columns, _: int) -> Csv:
    return written(
        columns | {"TITLE": _with_first(columns["TITLE"], "drill 😀")}
    )


def _open_quote(columns: Columns, _: int) -> Csv:
    plain = {
        name: pa.repeat("plain", _rows(columns)) for name in ("BRAND", "TITLE")
    }
    return written(
        columns | plain | {"SKU": _with_first(columns["SKU"], '"SKU-1')}
    )


def _large_cell(columns: Columns, _: int) -> Csv:
    return written(
        columns | {"TITLE": _with_first(columns["TITLE"], "x" * _LARGE)}
    )


def _cells_of_a_mebibyte(columns: Columns, _: int) -> Csv:
    return written(
        columns | {"TITLE": pa.repeat("x" * (1 << 20), _rows(columns))}
    )


def _far_too_wide(columns: Columns, _: int) -> Csv:
    header, lines = written(columns)
    return header, joined(lines, "," * 1_100)


def _delimiters(columns: Columns, size: int) -> Csv:
    header, _ = written(columns)
    return header, pa.array(["x," * (size // 3)])


def _rows(columns: Columns) -> int:
    return len(columns["SKU"])


def _times(columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return 1_735_689_600 + np.arange(_rows(columns)) * 613 % (90 * _DAY)


def _with_first(column: pa.StringArray, text: str) -> pa.StringArray:
    return pa.concat_arrays([pa.array([text]), column[1:]])


FEEDS = (
    Feed(CLEAN, _clean),
    Feed("one SKU as long as a cell may be, the others twice", _long_sku),
    Feed("one SKU in all rows", _one_sku),
    Feed(
        "a comma at the end of every line",
        _comma_at_the_end,
        ends="no_rows_parsed",
    ),
    Feed("records of four widths in turn", _four_widths),
    Feed(
        "records of 3,000 widths in turn",
        _all_widths,
        1_500,
        ends="no_rows_parsed",
    ),
    Feed(
        "8,000 unnamed columns and one bad row",
        _unnamed_columns,
        least_row=8_000,
    ),
    Feed("1,000 columns", _wide, least_row=2_000),
    Feed("1,001 columns", _too_wide, least_row=2_000, ends="invalid_input"),
    Feed(
        "every day of 10 years in Chicago",
        _ten_years,
        timezone="America/Chicago",
    ),
    Feed(ISO, _in_iso),
    Feed(
        "two timestamp_formats",
        _in_formats,
        formats=_FORMATS,
        time=1.5,
        beside=ISO,
    ),
    Feed("all rows refused", _all_refused, ends="no_rows_parsed"),
    Feed(
        "records of eight bad cells of 60 KB",
        _long_bad_cells,
        480_000,
        ends="no_rows_parsed",
    ),
    Feed(
        "distinct bad texts in four columns",
        _distinct_bad_texts,
        ends="no_rows_parsed",
    ),
    Feed("distinct amounts with exponents", _exponents),
    Feed("200 vendors", _clean, vendors=200),
    Feed("cp1252 with one euro sign", _euro_sign, encoding="cp1252"),
    Feed("UTF-16 with one emoji", _emoji, encoding="utf-16"),
    Feed(
        "every cell of a column 1 MiB", _cells_of_a_mebibyte, least_row=1 << 20
    ),
    Feed("a cell of 8 MB in the first row", _large_cell, ends="invalid_input"),
    Feed(
        "a cell of 8 MB in the last row",
        _clean,
        last="x" * _LARGE,
        ends="invalid_input",
    ),
    Feed(
        "1,100 fields too many in every row",
        _far_too_wide,
        1_100,
        ends="no_rows_parsed",
    ),
    Feed(
        "one record of millions of fields", _delimiters, ends="no_rows_parsed"
    ),
    Feed(
        "a quote open from the first row on", _open_quote, ends="invalid_input"
    ),
    Feed(
        "a quote open in the last row",
        _clean,
        last='"SKU-1,1',
        ends="DECODE_ERROR",
    ),
)


def write_feed(feed: Feed, size: int, folder: Path) -> None:
    """Write a feed of about so many bytes, all its vendors together, and the tenant's config."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = Shape(
        rows=2 + size // feed.vendors // feed.least_row,
        vendors=feed.vendors,
        bad=0.0,
        mapped=0,
        encoding=feed.encoding,
        timezone=feed.timezone,
    )
    document = config_document(shape)
    for vendor in document["vendors"]:
        vendor["parser"]["timestamp_formats"] = list(feed.formats)
    (folder / "config.json").write_text(json.dumps(document), "utf-8")
    (folder / ENDS).write_text(feed.ends, "utf-8")
    for place, vendor_id in enumerate(shape.vendor_ids):
        text = _text(feed, shape, place, size // feed.vendors)
        (folder / f"{vendor_id}.csv").write_bytes(text.encode(feed.encoding))


def _text(feed: Feed, shape: Shape, place: int, size: int) -> str:
    """Return a vendor's feed: as many lines as have so many bytes in its encoding."""
    rng = np.random.default_rng(place)
    ids = rng.permutation(shape.rows)
    nobody = np.zeros(shape.rows, np.bool_)
    header, lines = feed.csv(
        vendor_columns(shape, place, ids, nobody, rng), size
    )
    width = len("xx".encode(feed.encoding)) - len("x".encode(feed.encoding))
    ends = np.cumsum(pc.binary_length(lines).to_numpy() + 1) + len(header) + 1
    fitting = lines[: max(1, int(np.searchsorted(ends * width, size)))]
    return "\n".join([header, *fitting.to_pylist(), feed.last])
