"""The floor: pyarrow reads the feeds as text and writes as much text, with no logic between."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv

from benchmarks.rules import HEADERS, merged_path, normalized_path, vendor_ids

_MERGED = ("SKU", "QTY", "COST", "BRAND", "UPDATED")
_WINNERS = 0.68
"""How much of the rows the merged feed keeps, as the feeds come out."""


def run(folder: Path, out: Path) -> None:
    """Read every cell and write the outputs' volume."""
    text = pcsv.ConvertOptions(column_types=dict.fromkeys(HEADERS, pa.string()))
    tables = {
        vendor_id: pcsv.read_csv(
            folder / f"{vendor_id}.csv", convert_options=text
        )
        for vendor_id in vendor_ids(folder)
    }
    for vendor_id, table in tables.items():
        pcsv.write_csv(table, normalized_path(out, vendor_id))
    everything = pa.concat_tables(tables.values()).select(_MERGED)
    pcsv.write_csv(
        everything.slice(0, int(len(everything) * _WINNERS)), merged_path(out)
    )
