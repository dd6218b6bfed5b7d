"""Feeds of the sample tenant ``acme_parts``: one catalogue, as three vendors write it.

Bytes come only from a seed and whole numbers, so that they are the same on every machine.
Each vendor also has a few records that are wrong, each in its own way; `bad_records` counts them.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from random import Random

SEED = 20_260_301
CATALOGUE_SIZE = 2_400

_KINDS = (
    ("Hex bolt", "Sechskantschraube", 45, 900),
    ("Ball bearing", "Rillenkugellager", 380, 9_500),
    ("V-belt", "Keilriemen für Verdichter", 640, 7_800),
    ("Oil filter", "Ölfilter", 290, 4_400),
    ("Hose clamp", "Schlauchschelle, groß", 60, 1_200),
    ("Gear motor", "Getriebemotor", 14_500, 220_000),
    ("Solenoid valve", "Magnetventil", 2_900, 31_000),
    ("Pipe coupling", "Rohrkupplung", 310, 5_600),
)
_SIZES = (
    '1/4"',
    '3/8"',
    '1/2"',
    "M6 x 20",
    "M8 x 40",
    "M12 x 80",
    "Ø 25 mm",
    "Ø 40 mm",
    "100 mm",
)
_BRANDS = (
    "Ironwood",
    "Kessler & Söhne",
    "Northgate, Inc.",
    "Tamarack",
    "NA",
    "Vantage Flow",
)
_NEWEST = datetime(2026, 2, 27, 16, 45)  # noqa: DTZ001 - vendors write local times with no offset

_Spoil = Callable[[list[str]], object]


@dataclass(frozen=True, slots=True)
class _Part:
    """One article of the catalogue; ``cents`` is its typical cost at all vendors."""

    sku: str
    english: str
    german: str
    brand: str
    cents: int


@cache
def _catalogue() -> tuple[_Part, ...]:
    rng = Random(SEED)
    return tuple(_part(rng, number) for number in range(CATALOGUE_SIZE))


def _part(rng: Random, number: int) -> _Part:
    english, german, low, high = _KINDS[rng.randrange(len(_KINDS))]
    size = _SIZES[rng.randrange(len(_SIZES))]
    return _Part(
        sku=f"ACM-{10_000 + number * 7}",
        english=f"{english} {size}",
        german=f"{german} {size}",
        brand=_BRANDS[rng.randrange(len(_BRANDS))],
        cents=low + rng.randrange(high - low),
    )


def _stocked_by(rng: Random, per_cent: int) -> Iterable[_Part]:
    return (part for part in _catalogue() if rng.randrange(100) < per_cent)


def _asked(rng: Random, part: _Part) -> int:
    """A vendor's own cost in cents: up to 12 % off the catalogue's, either way."""
    return part.cents * (880 + rng.randrange(241)) // 1000


def _moment(rng: Random) -> datetime:
    return _NEWEST - timedelta(minutes=rng.randrange(60 * 24 * 30))


def _grouped(whole: int, separator: str) -> str:
    return f"{whole:,}".replace(",", separator)


def _money(cents: int, *, thousands: str, decimal: str) -> str:
    return f"{_grouped(cents // 100, thousands)}{decimal}{cents % 100:02d}"


def _written(
    records: Iterable[Sequence[str]], *, delimiter: str, line_end: str
) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=line_end).writerows(
        records
    )
    return text.getvalue()


def _spoiled(
    records: list[list[str]], faults: Sequence[_Spoil]
) -> list[list[str]]:
    """Spoil one record for each fault, spread evenly over the feed."""
    step = len(records) // (len(faults) + 1)
    for number, spoil in enumerate(faults, start=1):
        spoil(records[number * step])
    return records


def _set(column: int, text: str) -> _Spoil:
    return lambda record: record.__setitem__(column, text)


_FAULTS: dict[str, tuple[_Spoil, ...]] = {
    "granite_supply": (
        _set(3, "call"),
        _set(4, "TBD"),
        _set(0, " "),
        _set(3, "-2"),
        _set(9, "2026-02-30"),
    ),
    "rheinteile": (
        _set(4, "12,5"),
        _set(5, "1.2345,00 USD"),
        _set(8, "31.02.2026 08:00"),
        lambda record: record.pop(),
    ),
    "pacific_parts": (_set(7, "open box"), _set(3, ""), _set(4, "1e10")),
}


def _granite_supply() -> bytes:
    rng = Random(SEED + 1)

    def usd(cents: int) -> str:
        return "$" + _money(cents, thousands=",", decimal=".")

    def record(part: _Part) -> list[str]:
        cost = _asked(rng, part)
        map_price = usd(cost * 135 // 100) if rng.randrange(4) == 0 else ""
        stock = (0, 0, 4, 18, 60, 250, 1_840)[rng.randrange(7)]
        days = "N/A" if rng.randrange(9) == 0 else str(1 + rng.randrange(14))
        condition = ("New", "New", "New", "Refurb")[rng.randrange(4)]
        cells = [usd(cost), usd(cost * 160 // 100), map_price, days, condition]
        return [
            part.sku,
            part.english,
            part.brand,
            _grouped(stock, ","),
            *cells,
            f"{_moment(rng)}",
        ]

    header = [
        "Item No.",
        "Description",
        "Manufacturer",
        "Qty On Hand",
        "Your Cost",
        "List Price",
    ]
    header += ["MAP", "Lead Time", "Cond.", "Last Updated"]
    records = [record(part) for part in _stocked_by(rng, 68)]
    return _written(
        [header, *_spoiled(records, _FAULTS["granite_supply"])],
        delimiter=",",
        line_end="\n",
    ).encode()


def _rheinteile() -> bytes:
    rng = Random(SEED + 2)

    def usd(cents: int) -> str:
        return _money(cents, thousands=".", decimal=",") + " USD"

    def stock() -> str:
        words = ("auf Lager", "wenige", "ausverkauft")
        return (
            words[rng.randrange(3)]
            if rng.randrange(3)
            else _grouped(rng.randrange(3_000), ".")
        )

    def record(number: int, part: _Part) -> list[str]:
        cost = _asked(rng, part)
        days = "k. A." if rng.randrange(12) == 0 else str(3 + rng.randrange(20))
        own_number = f"RT{500_000 + number}"
        prices = [usd(cost), usd(cost * 170 // 100)]
        name = [part.german, part.brand]
        return [
            own_number,
            part.sku,
            *name,
            stock(),
            *prices,
            days,
            f"{_moment(rng):%d.%m.%Y %H:%M}",
        ]

    header = [
        "Artikelnummer",
        "Fremdnummer",
        "Bezeichnung",
        "Hersteller",
        "Bestand",
    ]
    header += ["Einkaufspreis", "UVP", "Lieferzeit (Tage)", "Stand"]
    records = [
        record(number, part) for number, part in enumerate(_stocked_by(rng, 55))
    ]
    preamble = (
        "Rheinteile GmbH - Preisliste für Händler\r\nStand: 27.02.2026\r\n"
    )
    body = _written(
        [header, *_spoiled(records, _FAULTS["rheinteile"])],
        delimiter=";",
        line_end="\r\n",
    )
    return (preamble + body).encode("cp1252")


def _pacific_number(part: _Part) -> str:
    return f"PP/{int(part.sku.removeprefix('ACM-')) * 31 % 99_991:05d}"


def _pacific_parts() -> bytes:
    rng = Random(SEED + 3)

    def record(part: _Part) -> list[str]:
        cost = _asked(rng, part)
        written = (
            _money(cost, thousands=" ", decimal=".") if rng.randrange(5) else ""
        )
        price = (
            _money(cost * 140 // 100, thousands=" ", decimal=".")
            if rng.randrange(8)
            else ""
        )
        map_price = (
            _money(cost * 150 // 100, thousands=" ", decimal=".")
            if rng.randrange(5) == 0
            else ""
        )
        stock = _grouped((0, 7, 35, 1_200)[rng.randrange(4)], " ")
        condition = ("new", "NEW", "used", "")[rng.randrange(4)]
        day = f"{_moment(rng):%m/%d/%Y}" if rng.randrange(6) else ""
        name = [_pacific_number(part), part.english, part.brand]
        return [*name, stock, written, price, map_price, condition, day]

    records = [record(part) for part in _stocked_by(rng, 48)]
    text = _written(
        _spoiled(records, _FAULTS["pacific_parts"]),
        delimiter="\t",
        line_end="\r\n",
    )
    return b"\xff\xfe" + text.encode("utf-16-le")


def bad_records() -> dict[str, int]:
    """Return how many records of each vendor's feed are wrong."""
    return {vendor_id: len(faults) for vendor_id, faults in _FAULTS.items()}


def feeds() -> dict[str, tuple[str, bytes]]:
    """Return ``{vendor_id: (file name, bytes)}``."""
    return {
        "granite_supply": ("granite_inventory.csv", _granite_supply()),
        "rheinteile": ("Preisliste_2026-02.csv", _rheinteile()),
        "pacific_parts": ("pacific.txt", _pacific_parts()),
    }


def sku_maps() -> dict[str, tuple[str, bytes]]:
    """Return the SKU map of ``pacific_parts``; one part in 40 has no entry and keeps its number.

    One part in 60 is the one before it in another packing.
    """
    rng, parts = Random(SEED + 4), _catalogue()
    skus = [
        parts[place - (place % 60 == 59)].sku for place in range(len(parts))
    ]
    listed = zip(map(_pacific_number, parts), skus, strict=True)
    mapped = [[number, sku] for number, sku in listed if rng.randrange(40)]
    text = _written(
        [["vendor_sku", "sku"], *mapped], delimiter=",", line_end="\n"
    )
    return {"pacific_parts": ("pacific_parts.csv", text.encode())}
