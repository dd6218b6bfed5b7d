"""Files that are no list: which kind each is, and that check and run say the same of it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest

from relay_core.domain.errors import FeedUnreadableError
from relay_core.normalize.file_kinds import kind_of
from relay_core.onboarding.feed_check import check_feed
from relay_core.onboarding.feed_sample import FeedSample
from support.builders import config_document, feed, tenant_config
from support.local_bench import Bench
from support.workbooks import archive, text_row, workbook, xls

PAGE = b"<!DOCTYPE html>\n<html><head><title>Log in, please</title></head></html>\n"
TABLE = b"<table><tr><td>sku</td><td>qty</td></tr></table>"


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.csv"))
    return packed.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "a log-in page": (PAGE, "an HTML page"),
    "a page with a BOM": (b"\xef\xbb\xbf" + PAGE, "an HTML page"),
    "a page in UTF-16": (PAGE.decode().encode("utf-16"), "an HTML page"),
    "a page with a comment first": (b"<!-- saved -->\n" + PAGE, "an HTML page"),
    "a page without a doctype": (PAGE[16:], "an HTML page"),
    "a packed page": (gzip.compress(PAGE), "an HTML page"),
    "a zipped page": (archive({"feed.csv": PAGE}), "an HTML page"),
    "an HTML table named .xls": (TABLE, "an HTML page"),
    "XHTML": (b'<?xml version="1.0"?>\n<html xmlns="x"><body/></html>', "an HTML page"),
    "XML": (b'<?xml version="1.0"?>\n<items><item sku="A"/></items>\n', "XML"),
    "XML without a head": (b'<items a="1"><item sku="A"/></items>\n', "XML"),
    "a JSON array": (b'[{"sku": "A", "price": 9}]\n', "a JSON document"),
    "a JSON array over lines": (b'[\n  {"sku": "A"}\n]\n', "a JSON document"),
    "a JSON object over lines": (b'{\n  "items": [1]\n}\n', "a JSON document"),
    "JSON Lines": (b'{"sku": "A"}\n{"sku": "B"}\n', "JSON Lines; set parser.format to jsonl"),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF; export it as CSV"),
    "an xlsx workbook": (workbook(text_row(1, "sku")), "an Excel workbook (.xlsx); set parser"),
    "a PNG": (b"\x89PNG\r\n\x1a\n" + bytes(20), "an image (PNG)"),
    "a JPEG": (b"\xff\xd8\xff\xe0" + bytes(20), "an image (JPEG)"),
    "a GIF": (b"GIF89a\x01\x00", "an image (GIF)"),
    "a TIFF": (b"II*\x00\x08\x00", "an image (TIFF)"),
    "a WebP": (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "an image (WebP)"),
    "a BMP": (b"BM\x36\x00\x00\x00\x00\x00", "an image (BMP)"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c\x00\x04", "an archive (7-Zip)"),
    "RAR": (b"Rar!\x1a\x07\x01\x00", "an archive (RAR)"),
    "xz": (lzma.compress(b"sku\n"), "an archive (xz)"),
    "bzip2": (bz2.compress(b"sku\n"), "an archive (bzip2)"),
    "Zstandard": (b"\x28\xb5\x2f\xfd\x04\x00", "an archive (Zstandard)"),
    "tar": (tar(), "an archive (tar)"),
    "a packed tar": (gzip.compress(tar()), "an archive (tar)"),
    "Parquet": (b"PAR1" + bytes(20) + b"PAR1", "a Parquet file; set parser.format to parquet"),
}
PACKED: dict[str, tuple[bytes, str]] = {
    "a packed workbook": (gzip.compress(workbook(text_row(1, "sku"))), "an Excel workbook (.xlsx)"),
    "a zipped old workbook": (archive({"a.xls": xls({"S": [["sku"]]})}), "an old Excel workbook"),
    "gzip in gzip": (gzip.compress(gzip.compress(b"sku\n")), "an archive (gzip)"),
    "zip in gzip": (gzip.compress(archive({"a.csv": b"sku\n"})), "an archive (zip)"),
}
LISTS = {
    "a list": feed("A,1,2.00"),
    "a list that begins with a tag": b"<sku>,quantity_available\nA,1\n",
    "a list in brackets": b"[sku],quantity_available\nA,1\n",
    "a list whose first name begins with BM": b"BMW part,quantity_available\nA,1\n",
    "text": b"sku\nA\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", [*FILES, *PACKED])
def test_a_file_that_is_no_list_is_told_by_its_bytes(name: str) -> None:
    data, said = {**FILES, **PACKED}[name]
    assert said in str(kind_of(data, "csv"))


@pytest.mark.parametrize("format", ["xlsx", "xls", "ods"])
def test_an_archive_is_told_where_a_workbook_is_wanted(format: str) -> None:
    assert "an archive (zip)" in str(kind_of(archive({"a.csv": feed(), "b.csv": feed()}), format))
    assert "an archive (gzip)" in str(kind_of(gzip.compress(feed()), format))


def test_a_workbook_that_is_cut_short_is_of_no_other_kind() -> None:
    assert kind_of(workbook(text_row(1, "sku"))[:400], "xlsx") is None


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_of_no_other_kind(name: str) -> None:
    assert kind_of(LISTS[name], "csv") is None


@pytest.mark.parametrize("name", [*FILES, *PACKED])
def test_a_run_says_it_and_neither_an_encoding_nor_a_header(name: str, tmp_path: Path) -> None:
    data, said = {**FILES, **PACKED}[name]
    bench = Bench(tmp_path)
    assert bench.run(config_document(), vendor_1=data) == 1
    message = bench.report("run_summary")["error_code"], bench.report("errors")["error_message"]
    assert said in message[1]
    assert "encodings" not in message[1]
    assert "nearest" not in message[1]


@pytest.mark.parametrize("name", [name for name, (_, said) in FILES.items() if "set" not in said])
def test_a_check_says_it_and_proposes_nothing(name: str) -> None:
    data, said = FILES[name]
    config = tenant_config()
    with pytest.raises(FeedUnreadableError) as refused:
        check_feed(FeedSample(data, is_whole=True), config.vendors[0].parser, config)
    assert said in str(refused.value)
