"""Seeded vendor feeds of any size, with the faults and oddities that real ones have.

The same shape gives the same bytes on every machine with the same numpy. Run as a program it
writes one shape: the parent of a measured process must not have held millions of rows itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.feed_text import (
    Ints,
    decimals,
    european,
    joined,
    moments,
    padded_digits,
    where,
    words,
)
from benchmarks.rules import HEADERS

SLICE = 1 << 19
_LATEST = 1_767_225_600  # 2026-01-01T00:00:00Z
_TYPICAL_COST = 330_000  # 33.00 in ten-thousandths

_BRANDS = [
    *(
        "Acme",
        "Bosch",
        "Crate & Co",
        "Dürer",
        "Everlast",
        "FoxCo",
        "Gümbel",
        '"Juno, Inc"',
    ),
    *(f"Brand{i:03d}" for i in range(192)),
]
_NOUNS = [
    *(
        "hammer",
        "drill",
        "bit",
        "set",
        "kit",
        "cable",
        "adapter",
        "mount",
        "filter",
        "pump",
    ),
    *(
        "valve",
        "gasket",
        "seal",
        "lamp",
        "bulb",
        "panel",
        "motor",
        "switch",
        "relay",
        "sensor",
    ),
]
_KINDS = [
    *(
        "steel",
        "cordless",
        "brass",
        "heavy-duty",
        "compact",
        "twin",
        "sealed",
        "outdoor",
    ),
    *("spare", "long"),
]


@dataclass(frozen=True)
class Shape:
    """What feeds look like.

    ``bad`` and ``ragged`` are shares of rows; ``mapped`` is how many SKUs the vendors' SKU maps
    hold together.
    """

    rows: int
    vendors: int = 3
    bad: float = 0.01
    ragged: float = 0.0
    mapped: int = 10_000
    european: bool = False
    encoding: str = "utf-8"
    timezone: str = "UTC"
    seed: int = 7

    @property
    def vendor_ids(self) -> list[str]:
        """The vendors' ids, in the order of the config."""
        return [f"vendor_{number}" for number in range(1, self.vendors + 1)]

    @property
    def delimiter(self) -> str:
        """What stands between cells: a decimal comma leaves none to the delimiter."""
        return ";" if self.european else ","


def write_feeds(shape: Shape, folder: Path) -> dict[str, Any]:
    """Write feeds, SKU maps, the tenant's config and ``spec.json``; return what the last says."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {
        vendor_id: _write_vendor(shape, place, folder)
        for place, vendor_id in enumerate(shape.vendor_ids)
    }
    (folder / "config.json").write_text(
        json.dumps(config_document(shape), indent=1), "utf-8"
    )
    spec = {
        "shape": asdict(shape),
        "bytes": sum(sizes.values()),
        "feeds": sizes,
    }
    (folder / "spec.json").write_text(json.dumps(spec, indent=1), "utf-8")
    return spec


def config_document(shape: Shape) -> dict[str, Any]:
    """Return the config of a tenant whose vendors send feeds of this shape."""
    parser: dict[str, Any] = {
        "format": "csv",
        "delimiter": shape.delimiter,
        "encoding": shape.encoding,
        "column_map": {
            **{
                "sku": "SKU",
                "quantity_available": "QTY",
                "lead_time_days": "LEAD",
            },
            **{"cost": "COST", "map_price": "MAP", "msrp": "MSRP"},
            **{"brand": "BRAND", "title": "TITLE", "updated_at": "UPDATED"},
        },
    }
    if shape.european:
        parser |= {"decimal_separator": ",", "thousands_separator": "."}
        parser |= {"currency_symbols": ["€", "EUR"]}
    vendors = [
        {
            "vendor_id": vendor_id,
            "inbound": {"type": "local"},
            "parser": parser,
            **({"sku_map": _sku_map(vendor_id)} if shape.mapped else {}),
        }
        for vendor_id in shape.vendor_ids
    ]
    return {
        "tenant_id": "bench",
        "timezone": shape.timezone,
        "default_currency": "USD",
        "vendors": vendors,
        "pricing": {
            "base_margin_pct": "0.20",
            "min_price": "25.00",
            "shipping_handling_flat": "9.99",
        },
        "merge": {"strategy": "best_offer"},
        "output": {
            "columns": [
                "sku",
                "quantity_available",
                "price",
                "vendor_id",
                "updated_at",
            ],
        },
        "error_policy": {
            "max_invalid_rows": 1_000_000_000,
            "max_invalid_row_pct": 1,
        },
    }


def _sku_map(vendor_id: str) -> dict[str, str]:
    return {"type": "file", "local_path": f"{vendor_id}.map.csv"}


def _write_vendor(shape: Shape, place: int, folder: Path) -> int:
    """Write one vendor's feed and SKU map; return the feed's size."""
    rng = np.random.default_rng((shape.seed, place))
    vendor_id = shape.vendor_ids[place]
    ids = _ids(shape, place, rng)
    mapped = _mapped_rows(shape, place, ids, rng)
    path = folder / f"{vendor_id}.csv"
    with path.open("wb") as file:
        if shape.encoding == "utf-16":
            file.write(b"\xff\xfe")
        file.write(_encoded(shape.delimiter.join(HEADERS) + "\n", shape))
        for start in range(0, len(ids), SLICE):
            part = slice(start, start + SLICE)
            lines = _lines(shape, place, ids[part], mapped[part], rng)
            file.write(_encoded(_text(lines), shape))
    if shape.mapped:
        _write_map(folder / f"{vendor_id}.map.csv", place, ids[mapped])
    return path.stat().st_size


def _ids(shape: Shape, place: int, rng: np.random.Generator) -> Ints:
    """Return a SKU number a row: 60 % from a pool that all vendors share, 0.2 % repeated."""
    size = shape.rows // shape.vendors + (
        shape.rows % shape.vendors if place == 0 else 0
    )
    pool = shape.rows // shape.vendors * 9 // 10
    shared = rng.permutation(pool)[: size * 6 // 10]
    own_ids = pool + place * size + np.arange(size - len(shared))
    ids = np.concatenate([shared, own_ids])
    rng.shuffle(ids)
    again = rng.integers(0, size, size // 500)
    ids[again] = ids[rng.integers(0, size, len(again))]
    return ids


def _mapped_rows(
    shape: Shape, place: int, ids: Ints, rng: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which rows carry the vendor's own number, which its SKU map turns into ours."""
    row_count = shape.mapped // shape.vendors
    chosen = rng.permutation(len(ids))[: min(row_count, len(ids))]
    mask = np.zeros(len(ids), np.bool_)
    mask[chosen] = True
    return mask


def _write_map(path: Path, place: int, ids: Ints) -> None:
    numbers = padded_digits(np.unique(ids), 8)
    rows = joined(f"V{place + 1}-", numbers, ",SKU-", numbers, "\n")
    path.write_bytes(b"vendor_sku,sku\n" + bytes(_text(rows)))


def _lines(
    shape: Shape, place: int, ids: Ints, mapped: Any, rng: np.random.Generator
) -> pa.StringArray:
    columns = vendor_columns(shape, place, ids, mapped, rng)
    lines = joined(*columns.values(), separator=shape.delimiter)
    if shape.ragged:
        lines = where(
            rng.random(len(ids)) < shape.ragged,
            joined(lines, shape.delimiter),
            lines,
        )
    return joined(lines, "\n")


def vendor_columns(
    shape: Shape, place: int, ids: Ints, mapped: Any, rng: np.random.Generator
) -> dict[str, pa.StringArray]:
    """Return the cells of some rows of a vendor by header, in the order of ``HEADERS``.

    Args:
        shape: what the feed looks like.
        place: which vendor's it is.
        ids: the number of each row's SKU.
        mapped: which rows carry the vendor's own number.
        rng: the source of randomness.
    """
    size = len(ids)
    cost = np.round(_TYPICAL_COST * np.exp(rng.standard_normal(size))).astype(
        np.int64
    )
    numbers = padded_digits(ids, 8)
    quantity = np.where(rng.random(size) < 0.2, 0, rng.integers(1, 500, size))
    columns = {
        "SKU": joined(
            where(mapped, f"V{place + 1}-", pa.array(["SKU-"] * size)), numbers
        ),
        "QTY": pa.array(quantity).cast(pa.string()),
        **dict(
            zip(
                ("COST", "MAP", "MSRP"), _amounts(shape, cost, rng), strict=True
            )
        ),
        "BRAND": words(rng, _BRANDS, size),
        "TITLE": _titles(ids, rng),
        "LEAD": _some(
            0.3, pa.array(rng.integers(1, 30, size)).cast(pa.string()), rng
        ),
        "UPDATED": _updates(size, rng),
    }
    _pad(columns, rng)
    _spoil(columns, shape.bad, rng)
    return columns


def _amounts(
    shape: Shape, cost: Ints, rng: np.random.Generator
) -> Iterator[pa.StringArray]:
    """Yield cost, MAP and MSRP, mostly of two places; some costs are exact half cents."""
    size = len(cost)
    places = np.array([2] * 8 + [3, 4], np.int8)[rng.integers(0, 10, size)]
    halves = rng.random(size) < 0.03
    cost = np.where(halves, cost // 100 * 100 + 50, cost)
    floors = cost * rng.integers(110, 160, size) // 100
    two = np.full(size, 2, np.int8)
    amounts = (
        (0.01, decimals(cost, np.where(halves, np.int8(3), places))),
        (0.4, decimals(floors, places)),
        (0.3, decimals(cost * 2, two)),
    )
    for empty, written in amounts:
        if shape.european:
            written = joined(
                european(written), words(rng, ["", " €", " EUR"], size)
            )
        yield _some(empty, written, rng)


def _titles(ids: Ints, rng: np.random.Generator) -> pa.StringArray:
    """Return titles, of which 5 % hold a comma, 1 % a quote and 2 % letters beyond ASCII."""
    size = len(ids)
    code = pa.array(ids % 9973).cast(pa.string())
    nouns = words(rng, _NOUNS, size)
    plain = joined(
        words(rng, _KINDS, size),
        nouns,
        words(rng, _NOUNS, size),
        code,
        separator=" ",
    )
    luck = rng.random(size)
    comma = joined('"', plain, ", ", nouns, '"')
    inches = joined('"', plain, ' 19"" rack"')
    foreign = joined(plain, " · größe")
    titles = where(luck < 0.05, comma, plain)
    titles = where((luck >= 0.05) & (luck < 0.06), inches, titles)
    return where(luck >= 0.98, foreign, titles)


def _updates(size: int, rng: np.random.Generator) -> pa.StringArray:
    """Return times of the last 90 days: 5 % none, 5 % a day alone, 5 % with a ``T``."""
    days = rng.integers(0, 90, size)
    seconds = np.where(
        luck_days := rng.random(size) < 0.05, 0, rng.integers(0, 86_400, size)
    )
    full = moments(_LATEST - (days + 1) * 86_400 + seconds)
    day = moments(_LATEST - (days + 1) * 86_400)
    date = pa.compute.utf8_slice_codeunits(day, 0, 10)
    with_t = pa.compute.replace_substring(full, " ", "T")
    written = where(rng.random(size) < 0.05, with_t, full)
    return _some(0.05, where(luck_days, date, written), rng)


def _some(
    empty: float, text: pa.StringArray, rng: np.random.Generator
) -> pa.StringArray:
    """Return the text with a share of its cells empty."""
    return where(rng.random(len(text)) < empty, "", text)


def _pad(columns: dict[str, pa.StringArray], rng: np.random.Generator) -> None:
    """Put spaces around some cells of 2 % of the rows."""
    padded = rng.random(len(columns["SKU"])) < 0.02
    columns["SKU"] = where(padded, joined(columns["SKU"], "  "), columns["SKU"])
    columns["QTY"] = where(padded, joined(" ", columns["QTY"]), columns["QTY"])
    columns["COST"] = where(
        padded, joined(columns["COST"], " "), columns["COST"]
    )


_FAULTS = (
    {"QTY": "abc"},
    {"QTY": "12x"},
    {"QTY": "-3"},
    {"COST": "12.3.4"},
    {"COST": "N/A"},
    {"SKU": "  "},
    {"QTY": "1.5", "MAP": "call"},
    {"UPDATED": "yesterday"},
)


def _spoil(
    columns: dict[str, pa.StringArray], share: float, rng: np.random.Generator
) -> None:
    """Make a share of the rows invalid, each in one of several ways."""
    size = len(columns["SKU"])
    bad = rng.random(size) < share
    kind = rng.integers(0, len(_FAULTS), size)
    for number, cells in enumerate(_FAULTS):
        for name, cell in cells.items():
            columns[name] = where(bad & (kind == number), cell, columns[name])


def _text(lines: pa.StringArray) -> memoryview:
    """Return the text of all lines, one after another."""
    offsets = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :]
    return memoryview(lines.buffers()[2])[offsets[0] : offsets[len(lines)]]


def _encoded(text: str | memoryview, shape: Shape) -> bytes | memoryview:
    if shape.encoding == "utf-16":
        return (text if isinstance(text, str) else str(text, "utf-8")).encode(
            "utf-16-le"
        )
    return text.encode() if isinstance(text, str) else text


def main() -> None:
    """Write the feeds of one shape, given as JSON."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("shape", help='such as {"rows": 1000000}')
    options.add_argument("folder", type=Path)
    chosen = options.parse_args()
    write_feeds(Shape(**json.loads(chosen.shape)), chosen.folder)


if __name__ == "__main__":
    main()
