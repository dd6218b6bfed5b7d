"""Files as vendors send them, and what their parsers must say."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from support.workbooks import archive, text_row, workbook

ROWS = [("Ä-1", "1", "2.50"), ("B-2", "20", "3"), ("C-3", "0", "1999.99")]


def table(
    *rows: tuple[str, ...],
    mark: str = ",",
    header: str | None = "Item No,Qty,Cost",
) -> str:
    lines = [mark.join(row) for row in rows]
    return "\n".join(
        [*([header.replace(",", mark)] if header else []), *lines, ""]
    )


def parquet() -> bytes:
    skus, quantities, costs = zip(*ROWS, strict=True)
    columns = {
        "Item No": skus,
        "Qty": list(map(int, quantities)),
        "Cost": list(map(float, costs)),
    }
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    return written.getvalue()


EUROPEAN = [
    ("Ä-1", "1", "2,50"),
    ("B-2", "20", "3,00"),
    ("C-3", "0", "1.999,99"),
]
PRICED = [
    ("Ä-1", "1", "€ 2.50"),
    ("B-2", "20", "€ 3"),
    ("C-3", "0", '"€ 1,999.99"'),
]
LINES = "".join(
    json.dumps({"Item No": sku, "Qty": int(quantity), "Cost": float(cost)})
    + "\n"
    for sku, quantity, cost in ROWS
)
SHEET = text_row(1, "ACME") + text_row(2, "Item No", "Qty", "Cost")
SHEET += "".join(text_row(place, *row) for place, row in enumerate(ROWS, 3))
COVER = text_row(1, "Prices of 2026")
NUMBERED = ["column 1", "column 2", "column 3"]

# A file, and what its parser must say beside which header is which; the SKU's is Item No.
FILES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "cp1252": (table(*ROWS).encode("cp1252"), {"encoding": "cp1252"}),
    "cp1252, first seen after 100 KB": (
        table(*((f"S-{n}", "1", "2.00") for n in range(9_000)), *ROWS).encode(
            "cp1252"
        ),
        {"encoding": "cp1252"},
    ),
    "UTF-16": (
        table(*ROWS, mark="\t").encode("utf-16"),
        {"encoding": "utf-16", "delimiter": "\t"},
    ),
    "semicolons": (table(*ROWS, mark=";").encode(), {"delimiter": ";"}),
    "three lines before the header": (
        (
            "ACME wholesale\nas of March, all prices net\n\n" + table(*ROWS)
        ).encode(),
        {"skip_lines": 3},
    ),
    "no header": (
        table(*ROWS, header=None).encode(),
        {"columns": NUMBERED, "defaults": {"quantity_available": "1"}},
    ),
    "decimal comma and thousands": (
        table(*EUROPEAN, mark=";").encode(),
        {
            "delimiter": ";",
            "decimal_separator": ",",
            "thousands_separator": ".",
        },
    ),
    "currency symbol and thousands": (
        table(*PRICED).encode(),
        {"currency_symbols": ["€"], "thousands_separator": ","},
    ),
    "second sheet of a workbook": (
        workbook(COVER, SHEET, names=("Cover", "Prices")),
        {"format": "xlsx", "sheet": "Prices", "skip_lines": 1},
    ),
    "gzip": (
        gzip.compress(table(*ROWS, mark=";").encode()),
        {"delimiter": ";"},
    ),
    "zip": (
        archive({"feed.csv": table(*ROWS, mark=";").encode()}),
        {"delimiter": ";"},
    ),
    "JSON Lines": (LINES.encode(), {"format": "jsonl"}),
    "gzipped JSON Lines": (gzip.compress(LINES.encode()), {"format": "jsonl"}),
    "Parquet": (parquet(), {"format": "parquet"}),
}
