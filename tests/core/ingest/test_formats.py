"""Feeds as other programs write them: see tests/data/feeds/formats/README.md."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from reference_runs import run_document
from relay_core.config import parse_document
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.formats import WORKBOOK_FORMATS
from relay_core.samples import sample_config_text, sample_feeds, sample_sku_maps
from support.reading import ReadFeed, read

FEEDS = Path(__file__).parents[2] / "data" / "feeds" / "formats"


def feed_of(name: str) -> bytes:
    return (FEEDS / name).read_bytes()


def test_the_sample_tenant_in_other_formats_has_the_same_merged_feed() -> None:
    feeds = {
        vendor: data for vendor, (_, data) in sample_feeds("acme_parts").items()
    }
    maps = {
        vendor: data
        for vendor, (_, data) in sample_sku_maps("acme_parts").items()
    }
    document = parse_document(sample_config_text("acme_parts"), format="yaml")
    plain = run_document(document, feeds, maps)

    granite, rheinteile, pacific = document["vendors"]
    granite["parser"] |= {"format": "xlsx", "sheet": "granite_supply"}
    rheinteile["parser"] |= {"compression": "zip"}
    pacific["parser"] |= {"format": "jsonl"}
    for option in ("encoding", "delimiter", "columns"):
        del pacific["parser"][option]
    other_files = {
        "granite_supply": feed_of("granite_supply.xlsx"),
        "rheinteile": feed_of("rheinteile.zip"),
        "pacific_parts": feed_of("pacific_parts.jsonl.gz"),
    }
    run = run_document(document, other_files, maps)

    assert run.outcome.merged == plain.outcome.merged
    assert plain.outcome.merged is not None
    assert run.outcome.normalized == plain.outcome.normalized
    assert [entry.error_code for entry in run.outcome.entries] == [
        entry.error_code for entry in plain.outcome.entries
    ]


def test_a_workbook_of_libreoffice_shows_what_its_sheet_shows() -> None:
    assert read(feed_of("libreoffice.xlsx"), "xlsx", skip_lines=2) == ReadFeed(
        ("Artikel", "Bestand", "Preis", "Stand", "Aktiv", "Titel"),
        {
            2: ["A-1", "12", "19.99", "2026-03-01", "1", 'Rohr 5" lang, grün'],
            3: ["00123", "7", "0.1", "2026-03-01 12:30:15", "0", "  spaced  "],
            5: ["B-2", "1000", "1234.5", "09:15:00", "1", "#DIV/0!"],
            6: ["C-3", "6", "0.3", "2026-02-28", "1", "two\nlines"],
        },
        {2: ".nn.n.", 3: ".nn.n.", 5: ".nn.n.", 6: ".nn.n."},
    )


def test_parquet_of_duckdb_is_text_by_type() -> None:
    assert read(feed_of("duckdb.parquet"), "parquet") == ReadFeed(
        (
            "sku",
            "qty",
            "cost",
            "price",
            "day",
            "moment",
            "instant",
            "active",
            "tags",
        ),
        {
            1: [
                *("A-1", "12", "19.99", "19.99", "2026-03-01"),
                *("2026-03-01 12:30:15.5", "2026-03-01 11:30:15Z", "true", ""),
            ],
            2: [
                *("B-2", "-7", "1234.50", "0.0000001", "1999-12-31"),
                *("2026-03-01 00:00:00", "2026-03-01 00:00:00Z", "false", ""),
            ],
            3: [""] * 9,
        },
        dict.fromkeys((1, 2, 3), ".nnn....."),
    )


@pytest.mark.parametrize(
    "form", ["csv", "jsonl", "xlsx", "xls", "ods", "parquet"]
)
@pytest.mark.parametrize("compression", ["auto", "gzip", "zip"])
def test_an_upload_of_no_bytes_is_an_empty_feed(
    form: str, compression: str
) -> None:
    options = {} if form in WORKBOOK_FORMATS else {"compression": compression}
    assert read(b"", form, **options).headers is None


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_each_format_comes_out_of_its_compression(form: str) -> None:
    data = {"jsonl": b'{"sku": "A"}\n', "parquet": feed_of("duckdb.parquet")}[
        form
    ]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a", data)
    plain = read(data, form)
    assert read(gzip.compress(data), form) == plain
    assert read(packed.getvalue(), form) == plain


@pytest.mark.parametrize("form", ["xlsx", "parquet"])
@pytest.mark.parametrize(
    "data", [b"sku,qty\nA,1\n", b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0\xa1"]
)
def test_what_is_of_another_format_is_a_decode_error(
    form: str, data: bytes
) -> None:
    with pytest.raises(FeedUnreadableError) as caught:
        read(data, form, **({} if form == "xlsx" else {"compression": "none"}))
    assert caught.value.error_code == "DECODE_ERROR"
