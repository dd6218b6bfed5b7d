"""The kernel reads what the reader without it reads, cell by cell."""

from __future__ import annotations

from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relay_core.config import load_config
from relay_core.kernel import compiled, text_parts
from support import kernel_examples
from support.builders import config_document, vendor_document
from support.kernel import needs_kernel
from support.kernel_examples import Example, difference, examples, read

pytestmark = needs_kernel
FEEDS = Path(__file__).parents[2] / "data" / "feeds"
PLAIN = Example(
    load_config(
        config_document(
            vendor_document(),
            error_policy={"max_invalid_row_pct": 1, "max_invalid_rows": 9},
        )
    ),
    b"sku,quantity_available,cost,title,updated_at\n"
    + b"".join(
        b"A%03d,%d,%d.25,bolt %d,2026-01-01T00:00:00Z\n" % (i, i, i, i)
        for i in range(400)
    )
    + b"B,many,1,broken,\n"
    + b"C,5,1.5,,\n",
)


def test_random_feeds_are_read_as_without_the_kernel() -> None:
    by_kernel = 0
    for example in islice(examples(seed=44), 60):
        assert difference(example) is None
        by_kernel += read(example, with_kernel=True).by_kernel
    assert by_kernel > 20


@pytest.mark.parametrize("part_bytes", [1, 50, text_parts.PART_BYTES])
@pytest.mark.parametrize("path", sorted(FEEDS.glob("*.csv")), ids=str)
def test_sample_feeds_are_read_as_without_the_kernel(
    path: Path, part_bytes: int
) -> None:
    config = load_config(
        config_document(
            vendor_document(
                parser={
                    "delimiter": ",",
                    "null_values": ["N/A"],
                    "currency_symbols": ["$"],
                    "thousands_separator": ",",
                }
            )
        )
    )
    example = Example(config, path.read_bytes(), part_bytes=part_bytes)
    assert difference(example) is None


def test_a_plain_feed_is_read_by_the_kernel_but_for_its_doubtful_records() -> (
    None
):
    reading = read(PLAIN, with_kernel=True)
    assert reading.by_kernel
    assert reading.result["invalid_rows"] == 1
    assert reading.result["total_rows"] == 402
    assert reading.result["last_sku"] == "C"
    (rejected,) = reading.result["rejected_rows"]
    assert rejected["row_number"] == 402
    assert difference(PLAIN) is None


def test_local_times_are_read_by_the_kernel_but_on_days_of_a_clock_change() -> (
    None
):
    config = load_config(
        config_document(vendor_document(), timezone="America/Chicago")
    )
    # So many doubtful bytes would leave the whole feed to the other reader.
    rows = b"".join(
        b"A%05d,1,a title of a good length,2026-0%d-08 0%d:30\n"
        % (number, number % 9 + 1, number % 10)
        for number in range(25_000)
    )
    example = Example(
        config, b"sku,quantity_available,title,updated_at\n" + rows
    )
    reading = read(example, with_kernel=True)
    assert reading.by_kernel
    assert difference(example) is None
    # The eighth of March, on which 2:30 is skipped
    hours = {
        instant.strftime("%d %H:%M")
        for instant in reading.result["column updated_at"]
        if instant.month == 3
    }
    assert hours == {
        *("08 06:30", "08 07:30", "08 08:30", "08 09:30", "08 10:30"),
        *("08 11:30", "08 12:30", "08 13:30", "08 14:30"),
    }


class Tampering:
    """The kernel, of whose results one is changed."""

    def __init__(self, change: str) -> None:
        self.change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(compiled_scan, name)

    def Scanner(self, *args: Any, **options: Any) -> Any:  # noqa: N802  # the kernel's name
        return TamperingScanner(
            compiled_scan.Scanner(*args, **options), self.change
        )


class TamperingScanner:
    def __init__(self, scanner: Any, change: str) -> None:
        self.scanner = scanner
        self.change = change

    def scan(
        self,
        start: int,
        limit: int,
        rows: Any,
        offsets: Any,
        numbers: Any,
        doubts: Any,
        *others: Any,
    ) -> Any:
        result = self.scanner.scan(
            start, limit, rows, offsets, numbers, doubts, *others
        )
        row_count = result[3]
        doubt_count = result[5]
        if row_count > 9:
            # The quantity is behind the flags and the instant.
            quantity_at = int(offsets[9]) + 9
            if self.change == "digit":
                rows[quantity_at] ^= 1
            if self.change == "null":
                rows[quantity_at + 4 : quantity_at + 8] = 0  # a lead time
            if self.change == "row number":
                numbers[9] += 1
        if doubt_count and self.change == "doubtful number":
            doubts[doubt_count - 1, 2] += 1
        if doubt_count and self.change == "line":
            doubts[doubt_count - 1, 3] += 1
        return result


if compiled.is_installed:
    compiled_scan = compiled.scan


@pytest.mark.parametrize(
    "change", ["digit", "null", "row number", "doubtful number"]
)
def test_a_fault_of_the_kernel_is_found(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(compiled, "scan", Tampering(change))
    assert difference(PLAIN) is not None


def test_random_feeds_find_a_wrong_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "scan", Tampering("line"))
    assert any(map(difference, islice(examples(seed=1), 60)))


def test_texts_of_every_length_survive() -> None:
    """A length of 255 bytes and more takes four bytes more."""
    lengths = [*range(250, 260), 70_000]
    rows = b"".join(
        b"%s,1,%s\n" % (b"k" * length, b'"%s"' % (b'""' * length))
        for length in lengths
    )
    feed = b"sku,quantity_available,title\n" + rows * 3
    config = load_config(config_document(vendor_document()))
    example = Example(config, feed)
    assert read(example, with_kernel=True).by_kernel
    assert difference(example) is None


def _cells_example(column: str, cells: list[str], **parser: Any) -> Example:
    """Return a feed that has each cell near both ends of its text, and within."""
    config = load_config(config_document(vendor_document(parser=parser)))
    lines = [f"{cell};{number};S{number}" for number, cell in enumerate(cells)]
    text = "\n".join([f"{column};quantity_available;sku", *lines, *lines[::-1]])
    return Example(config, text.encode(), part_bytes=200)


def test_short_numbers_of_every_form_are_read_as_without_the_kernel() -> None:
    forms = map("".join, product("07.,-", repeat=4))
    cells = sorted({form[:length] for form in forms for length in range(5)})
    digits = "1234567890123"
    cells += [digits[:length] for length in range(1, 13)]
    cells += [
        f"{digits[:length]}.{digits[:places]}"
        for length in range(10)
        for places in range(6)
    ]
    cells += [f"${cell}" for cell in cells]
    for marks in ({}, {"thousands_separator": ","}):
        example = _cells_example(
            "cost", cells, delimiter=";", currency_symbols=["$"], **marks
        )
        assert read(example, with_kernel=True).by_kernel
        assert difference(example) is None


def test_dates_with_any_wrong_byte_are_read_as_without_the_kernel() -> None:
    cells = []
    for date in ("2026-09-30T19:58:07Z", "1999-10-01 23:09:41.5+05:30"):
        cells += [date[:length] for length in range(len(date) + 1)]
        for index in range(len(date)):
            cells += [
                f"{date[:index]}{byte}{date[index + 1 :]}"
                for byte in "/0259:- TZ.\u00e4"
            ]
    example = _cells_example("updated_at", cells, delimiter=";")
    assert read(example, with_kernel=True).by_kernel
    assert difference(example) is None


def test_numbers_on_both_sides_of_the_limits_of_short_ones_survive() -> None:
    """Numbers that do not fit two or four bytes take more."""
    whole_numbers = [0, 65_534, 65_535, 65_536, 999_999_999]
    amounts = ["", "0.0001", "429496.7295", "429496.7296", "999999999.9999"]
    instants = [
        "1970-01-01T00:00:00Z",
        "2106-02-07T06:28:15Z",
        "2106-02-07T06:28:16Z",
        "2199-12-31T23:59:59Z",
    ]
    cells = product(whole_numbers, ["", *whole_numbers], amounts, instants)
    rows = "".join(
        f"A{number},{quantity},{days},{cost},{cost},7.5,{instant}\n"
        for number, (quantity, days, cost, instant) in enumerate(cells)
    )
    header = (
        "sku,quantity_available,lead_time_days,cost,map_price,msrp,updated_at\n"
    )
    config = load_config(config_document(vendor_document()))
    example = Example(config, (header + rows).encode())
    reading = read(example, with_kernel=True)
    assert reading.by_kernel
    assert reading.result["invalid_rows"] == 0
    assert difference(example) is None


def test_a_hash_of_the_map_leads_to_its_sku() -> None:
    keys = [f"K{number}" for number in range(1_000)]
    table = compiled.scan.SkuTable(
        np.cumsum([0, *map(len, keys)]),
        np.frombuffer("".join(keys).encode(), np.uint8),
        np.cumsum([0, *map(len, keys)]),
        np.frombuffer("".join(keys).lower().encode(), np.uint8),
    )
    assert table is not None
    sku_map = "\n".join(
        ["vendor_sku,sku", *(f"{key},{key.lower()}" for key in keys)]
    )
    rows = "\n".join(f"{key},1" for key in [*keys, "K1000", "K"])
    example = Example(
        PLAIN.config,
        f"sku,quantity_available\n{rows}\n".encode(),
        sku_map.encode(),
    )
    assert difference(example) is None
    skus = read(example, with_kernel=True).result["column sku"]
    assert set(skus) == {*map(str.lower, keys), "K1000", "K"}


def test_examples_vary() -> None:
    """No option of the examples is refused by every config."""
    sample = list(islice(examples(seed=3, per_config=1), 60))
    parsers = [example.config.vendors[0].parser for example in sample]
    assert {parser.decimal_separator for parser in parsers} == {".", ","}
    assert any(parser.thousands_separator for parser in parsers)
    assert any(parser.currency_symbols for parser in parsers)
    assert any(parser.columns for parser in parsers)
    assert kernel_examples.EXTRA in parsers[0].extra_columns
