"""Wrong files, as people send them: those that are no list, and lists with a mistake."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

from relay_core.domain.formats import OLE2
from support.builders import feed
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
    "XHTML": (
        b'<?xml version="1.0"?>\n<html xmlns="x"><body/></html>',
        "an HTML page",
    ),
    "XML": (
        b'<?xml version="1.0"?>\n<items><item sku="A"/></items>\n',
        "XML. Set parser.format to xml",
    ),
    "XML without a head": (
        b'<items a="1"><item sku="A"/></items>\n',
        "XML. Set parser.format to xml",
    ),
    "a JSON array": (
        b'[{"sku": "A", "price": 9}]\n',
        "a JSON document. Set parser.format to json",
    ),
    "a JSON array over lines": (
        b'[\n  {"sku": "A"}\n]\n',
        "a JSON document. Set parser.format to json",
    ),
    "a JSON object over lines": (
        b'{\n  "items": [1]\n}\n',
        "a JSON document. Set parser.format to json",
    ),
    "JSON Lines": (
        b'{"sku": "A"}\n{"sku": "B"}\n',
        "JSON Lines. Set parser.format to jsonl",
    ),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF. Export it as CSV"),
    "an xlsx workbook": (
        workbook(text_row(1, "sku")),
        "an Excel workbook (.xlsx). Set parser",
    ),
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
    "Parquet": (
        b"PAR1" + bytes(20) + b"PAR1",
        "a Parquet file. Set parser.format to parquet",
    ),
}
PACKED: dict[str, tuple[bytes, str]] = {
    "a packed workbook": (
        gzip.compress(workbook(text_row(1, "sku"))),
        "an Excel workbook (.xlsx)",
    ),
    "a zipped old workbook": (
        archive({"a.xls": xls({"S": [["sku"]]})}),
        "an old Excel workbook",
    ),
    "gzip in gzip": (
        gzip.compress(gzip.compress(b"sku\n")),
        "an archive (gzip)",
    ),
    "zip in gzip": (
        gzip.compress(archive({"a.csv": b"sku\n"})),
        "an archive (zip)",
    ),
}
# Lists with a mistake that is ordinary: what a check says or proposes, and a run's code and words.
MISTAKES: dict[str, tuple[bytes, str, str, str]] = {
    "nothing": (b"", "The file has no rows.", "no_rows_parsed", "has no row"),
    "a header alone": (
        feed(),
        "The file has no rows.",
        "no_rows_parsed",
        "has no row",
    ),
    "a quote that is never closed": (
        feed('"A","1","2"', '"B,1,2', "C,1,2"),
        "the quote that opens in line 3 is never closed",
        "DECODE_ERROR",
        "the quote that opens in line 3 is never closed",
    ),
    "an inch mark in front": (
        feed('A,1,"2', "B,1,2"),
        "quoting: false",
        "DECODE_ERROR",
        "the quote that opens in line 2 is never closed",
    ),
    "a comma too many in each row": (
        feed("A,1,2,", "B,1,2,"),
        "blank_extra_fields: drop",
        "validation_errors",
        "2 of 2 rows are rejected",
    ),
    "serial numbers of days": (
        feed("A,1,2,46350", header="sku,quantity_available,cost,updated_at"),
        "- excel",
        "validation_errors",
        "1 of 1 rows are rejected",
    ),
    "a header twice": (
        feed("A,1,2,3", header="sku,quantity_available,cost,cost"),
        "these headers occur more than once: 'cost'",
        "invalid_input",
        "these headers occur more than once: 'cost'",
    ),
    "cut in its last record": (
        feed("A,1,2") + b"C,1",
        "column_count (1 row)",
        "validation_errors",
        "1 of 2 rows are rejected",
    ),
    "semicolons": (
        feed("A;1;2", header="sku;quantity_available;cost"),
        "delimiter: ;",
        "missing_required_columns",
        "missing required columns: 'sku'",
    ),
    "tabs in UTF-16": (
        "sku\tquantity_available\tcost\nA\t1\t2\n".encode("utf-16"),
        "encoding: utf-16",
        "DECODE_ERROR",
        "likeliest encodings are: utf-16",
    ),
    "decimal commas": (
        feed('A,1,"2,50"'),
        "decimal_separator: ','",
        "validation_errors",
        "1 of 1 rows are rejected",
    ),
    "two currencies": (
        feed("A,1,€5", "B,1,$6"),
        "The amounts are in more than one currency: EUR, USD.",
        "validation_errors",
        "2 of 2 rows are rejected",
    ),
    "words for stock": (
        feed("A,call,2", "B,soon,2"),
        '"call" (1), "soon" (1). Give each word a number in parser.quantity_words',
        "validation_errors",
        "2 of 2 rows are rejected",
    ),
    "stock below zero": (
        feed("A,-2,2"),
        "negative_quantity: zero",
        "validation_errors",
        "1 of 1 rows are rejected",
    ),
    "headings among rows": (
        feed("BRAKES,,", "A,1,2"),
        "skip_rows:",
        "validation_errors",
        "1 of 2 rows are rejected",
    ),
    "the list of another supplier": (
        feed("x,y", header="name,phone"),
        "No header matches cost. Map the column",
        "missing_required_columns",
        "headers found are 'name', 'phone'",
    ),
    "a workbook with a password": (
        OLE2 + "EncryptedPackage".encode("utf-16-le"),
        "the workbook has a password. Save it without",
        "DECODE_ERROR",
        "the workbook has a password. Save it without",
    ),
}
