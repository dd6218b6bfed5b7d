"""The feeds of a folder, written again in every other format: the same rows, cell for cell.

DuckDB writes JSON Lines and Parquet, the system's tools are not asked for; a workbook's XML is
put together here, as Excel lays it out, since programs that write workbooks take minutes.
Run as a program it writes all of them: the parent of a measured process must not have held them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.feed_text import joined, where

CSV = "csv"
_SELECT = """
    SELECT trim(SKU) AS SKU, CAST(trim(QTY) AS INTEGER) AS QTY,
        CAST(nullif(trim(COST), '') AS DOUBLE) AS COST, CAST(MAP AS DOUBLE) AS MAP,
        CAST(MSRP AS DOUBLE) AS MSRP, BRAND, TITLE, CAST(LEAD AS INTEGER) AS LEAD, UPDATED
    FROM read_csv('{feed}', all_varchar = true, nullstr = '')
"""
_NUMBERS = ("QTY", "COST", "MAP", "MSRP", "LEAD")
_SHEET = "xl/worksheets/sheet1.xml"
_PARTS = {
    "[Content_Types].xml": "<Types/>",
    "_rels/.rels": '<Relationships><Relationship Id="r1" Type="t/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="r1" Type="t/worksheet" '
    'Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="t/sharedStrings" '
    'Target="sharedStrings.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns:r="urn:r"><sheets><sheet name="Feed" sheetId="1" '
    'r:id="r1"/></sheets></workbook>',
}


def write_jsonl(feed: Path, target: Path) -> None:
    """Write a feed as one object a line, numbers as numbers."""
    duckdb.sql(
        f"COPY ({_SELECT.format(feed=feed)}) TO '{target}' (FORMAT json)"
    )


def write_json(feed: Path, target: Path) -> None:
    """Write a feed as one list of objects, numbers as numbers."""
    duckdb.sql(
        f"COPY ({_SELECT.format(feed=feed)}) TO '{target}' (FORMAT json, ARRAY true)"
    )


def write_xml(feed: Path, target: Path) -> None:
    """Write a feed as an element for each row, with an element for each cell."""
    table = (
        duckdb.sql(_SELECT.format(feed=feed)).to_arrow_table().combine_chunks()
    )
    cells = []
    for name in table.schema.names:
        column = table.column(name).combine_chunks()
        text = _escaped(pc.fill_null(column.cast(pa.string()), ""))
        cell = joined(f"  <{name}>", text, f"</{name}>\n")
        cells.append(where(np.asarray(column.is_null()), "", cell))
    rows = joined(" <product>\n", *cells, " </product>\n")
    with target.open("wb") as file:
        file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<catalog>\n')
        file.write("".join(rows.to_pylist()).encode())
        file.write(b"</catalog>\n")


def write_parquet(feed: Path, target: Path) -> None:
    """Write a feed as Parquet, each column of its type."""
    duckdb.sql(
        f"COPY ({_SELECT.format(feed=feed)}) TO '{target}' (FORMAT parquet)"
    )


def write_gzip(feed: Path, target: Path) -> None:
    """Pack a feed as gzip does by default."""
    with (
        feed.open("rb") as source,
        gzip.open(target, "wb", compresslevel=6) as packed,
    ):
        shutil.copyfileobj(source, packed, 1 << 20)


def write_zip(feed: Path, target: Path) -> None:
    """Pack a feed into an archive."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(feed, "feed.csv")


def write_xlsx(feed: Path, target: Path) -> None:
    """Write a feed as the one sheet of a workbook, texts shared among cells."""
    table = (
        duckdb.sql(_SELECT.format(feed=feed)).to_arrow_table().combine_chunks()
    )
    numbers = pa.array(np.arange(2, len(table) + 2)).cast(pa.string())
    texts: dict[str, int] = {}
    header = "".join(
        _text_cell(f"{_letter(i)}1", texts, n)
        for i, n in enumerate(table.schema.names)
    )
    cells = []
    shared = [pa.array(texts, pa.string())]
    text_count = len(texts)
    for place, name in enumerate(table.schema.names):
        column = table.column(name).combine_chunks()
        reference = joined(f'<c r="{_letter(place)}', numbers)
        if name in _NUMBERS:
            value = column.cast(pa.string())
            cell = joined(
                reference, '"><v>', pc.fill_null(value, ""), "</v></c>"
            )
        else:
            encoded = column.dictionary_encode()
            shared.append(encoded.dictionary.cast(pa.string()))
            indices = pc.add(encoded.indices, text_count).cast(pa.string())
            text_count += len(encoded.dictionary)
            cell = joined(
                reference, '" t="s"><v>', pc.fill_null(indices, ""), "</v></c>"
            )
        cells.append(where(np.asarray(column.is_null()), "", cell))
    rows = joined('<row r="', numbers, '">', *cells, "</row>")
    with zipfile.ZipFile(
        target, "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        for part, text in _PARTS.items():
            archive.writestr(part, text)
        with archive.open(_SHEET, "w", force_zip64=True) as part:
            part.write(
                f'<worksheet><sheetData><row r="1">{header}</row>'.encode()
            )
            part.write("".join(rows.to_pylist()).encode())
            part.write(b"</sheetData></worksheet>")
        items = (
            joined("<si><t>", _escaped(column), "</t></si>")
            for column in shared
        )
        with archive.open(
            "xl/sharedStrings.xml", "w", force_zip64=True
        ) as part:
            part.write(b"<sst>")
            for item in items:
                part.write("".join(item.to_pylist()).encode())
            part.write(b"</sst>")


FORMATS: dict[str, tuple[Callable[[Path, Path], None], Mapping[str, str]]] = {
    "csv, gzip": (write_gzip, {"format": "csv"}),
    "csv, zip": (write_zip, {"format": "csv"}),
    "jsonl": (write_jsonl, {"format": "jsonl"}),
    "json": (write_json, {"format": "json"}),
    "xml": (write_xml, {"format": "xml", "record": "/catalog/product"}),
    "parquet": (write_parquet, {"format": "parquet"}),
    "xlsx": (write_xlsx, {"format": "xlsx"}),
}
"""How feeds are written in each format, and the parser that reads them."""


def write_all(folder: Path) -> None:
    """Write a folder's feeds into a folder a format, under the same names, with their configs."""
    document = json.loads((folder / CSV / "config.json").read_text("utf-8"))
    for name, (write, options) in FORMATS.items():
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for vendor in document["vendors"]:
            mapped = vendor["parser"]["column_map"]
            vendor["parser"] = {**options, "column_map": mapped}
            feed = f"{vendor['vendor_id']}.csv"
            write(folder / CSV / feed, target / feed)
        (target / "config.json").write_text(json.dumps(document), "utf-8")
        shutil.copy(folder / CSV / "spec.json", target)


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _text_cell(reference: str, texts: dict[str, int], text: str) -> str:
    return f'<c r="{reference}" t="s"><v>{texts.setdefault(text, len(texts))}</v></c>'


def _escaped(text: pa.StringArray) -> pa.StringArray:
    for mark, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = pc.replace_substring(text, mark, written)
    return text


def main() -> None:
    """Write the feeds of a folder in all formats."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("folder", type=Path)
    write_all(options.parse_args().folder)


if __name__ == "__main__":
    main()
