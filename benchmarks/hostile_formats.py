"""Hostile feeds in other formats than plain CSV, each beside a clean one of its own format.

Each has about as many unpacked bytes as the clean one where its name does not say otherwise: what
claims to be more, or unpacks to more, is to be found out before it is believed.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from benchmarks.feeds import Shape, config_document
from benchmarks.formats import FORMATS
from benchmarks.hostile import ENDS, FEEDS, write_feed

VENDOR = "vendor_1"
MOST = 3
"""So many times the bytes of a feed may one have here: what the limit of feeds is set to."""
_BYTES_A_CSV_BYTE = {
    "csv, zip": 1.0,
    "csv, gzip": 1.0,
    "jsonl": 2.2,
    "json": 2.2,
    "xml": 3.5,
    "xlsx": 5.0,
    "parquet": 1.0,
}
"""How many a format has unpacked for each one of the same rows as CSV, about."""
_BOMB = 100
_MANY_STYLES = 300_000
_MEBIBYTE = 1 << 20
_STYLES = "xl/styles.xml"


@dataclass(frozen=True)
class Source:
    """What hostile feeds are made of: a clean one, as CSV and in its format, and how many bytes."""

    csv: bytes
    packed: bytes
    size: int

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the CSV."""
        yield from self.csv.splitlines(keepends=True)

    def parts(self) -> dict[str, bytes]:
        """Return the parts of the workbook."""
        with zipfile.ZipFile(io.BytesIO(self.packed)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


@dataclass(frozen=True)
class PackedFeed:
    """What is wrong with a feed, its format, and what the engine may take for it.

    Attributes:
        name: what is wrong with it.
        format: one of ``FORMATS``.
        of: its bytes, of a clean one.
        ends: the code that the run ends with; empty where it succeeds.
        time: how many times as long as the clean one it may take, and a second more.
    """

    name: str
    format: str
    of: Callable[[Source], bytes]
    ends: str = ""
    time: float = field(default=3.0, kw_only=True)

    @property
    def beside(self) -> str:
        """The name of the feed that it is held beside."""
        return clean(self.format)


def clean(name: str) -> str:
    """Return the name of the clean feed of a format."""
    return f"clean, {name}"


# --- archives -------------------------------------------------------------------------------------


def _zipped(
    *files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method, compresslevel=1) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return packed.getvalue()


def _zip_of_zips(source: Source) -> bytes:
    inner = _zipped(("feed.csv", source.csv), method=zipfile.ZIP_STORED)
    return _zipped(("feed.zip", inner))


def _zip_bomb(source: Source) -> bytes:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(
            packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1
        ) as archive,
        archive.open("feed.csv", "w", force_zip64=True) as file,
    ):
        for _ in range(_BOMB * source.size // _MEBIBYTE):
            file.write(bytes(_MEBIBYTE))
    return packed.getvalue()


def _encrypted_zip(source: Source) -> bytes:
    data = bytearray(source.packed)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(mark) + place] |= 1
    return bytes(data)


def _zip_of_nothing(source: Source) -> bytes:
    return _zipped(
        *((f"{place}.csv", b"") for place in range(source.size // 120))
    )


def _gzip_bomb(source: Source) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    pieces = [
        packer.compress(bytes(_MEBIBYTE))
        for _ in range(_BOMB * source.size // _MEBIBYTE)
    ]
    return b"".join([*pieces, packer.flush()])


def _gzip_of_lines(source: Source) -> bytes:
    return b"".join(gzip.compress(line, 1, mtime=0) for line in source.lines())


def _gzip_of_nothing(source: Source) -> bytes:
    empty = gzip.compress(b"", 1, mtime=0)
    return empty * (source.size // len(empty))


# --- JSON Lines -----------------------------------------------------------------------------------


def _lines_with(
    text: Callable[[int], str], length: int
) -> Callable[[Source], bytes]:
    """Return lines that are a row each, with a text of a length before what the clean one has."""

    def made(source: Source) -> bytes:
        packed_lines = source.packed.splitlines()
        count = min(
            len(packed_lines), source.size // (length + len(packed_lines[0]))
        )
        lines = (
            b"{" + text(place).encode() + b"," + packed_lines[place][1:]
            for place in range(count)
        )
        return b"\n".join([packed_lines[0], *lines])

    return made


def _nested(levels: int) -> str:
    return f'"deep":{"[" * levels}{"]" * levels}'


def _huge_costs(source: Source) -> bytes:
    return source.packed.replace(b'"COST":', b'"COST":1e999999999,"OLD":')


def _lone_surrogates(source: Source) -> bytes:
    return source.packed.replace(b'"TITLE":"', b'"TITLE":"\\ud800')


def _escaped_letters(source: Source) -> bytes:
    half = source.packed[: source.size // 2]
    return half[: half.rindex(b"\n")].replace(b"e", b"\\u0065")


def _without_ends(source: Source) -> bytes:
    first, rows = source.packed.split(b"\n", 1)
    return first + b"\n" + rows.replace(b"}\n", b"\n")


# --- documents --------------------------------------------------------------------------------


def _beside(text: str) -> Callable[[Source], bytes]:
    """Return a list of records with a text before the first record's own values."""

    def made(source: Source) -> bytes:
        return source.packed.replace(b"{", b"{" + text.encode() + b",", 1)

    return made


def _many_keys(source: Source) -> bytes:
    keys = ",".join(f'"k{number}":1' for number in range(source.size // 14))
    return f"[{{{keys}}}]".encode()


def _within(before: str, text: str, after: str) -> Callable[[Source], bytes]:
    """Return XML whose first element begins with a text, repeated up to the size."""

    def made(source: Source) -> bytes:
        repeated = before + text * (source.size // len(text)) + after
        return source.packed.replace(
            b"<catalog>", b"<catalog>" + repeated.encode(), 1
        )

    return made


def _many_attributes(source: Source) -> bytes:
    names = " ".join(f'a{number}=""' for number in range(source.size // 12))
    return f"<catalog><product {names}/></catalog>".encode()


def _entities(source: Source) -> bytes:
    doctype = b'<!DOCTYPE catalog [<!ENTITY a "aaaaaaaaaa">]>'
    return source.packed.replace(b"<catalog>", doctype + b"<catalog>", 1)


_DOCUMENTS = (
    PackedFeed(
        "100,000 levels beside a value",
        "json",
        _beside(_nested(100_000)),
        "DECODE_ERROR",
    ),
    PackedFeed("a key twice", "json", _beside('"x":1,"x":2'), "DECODE_ERROR"),
    PackedFeed(
        "a JSON document that is cut",
        "json",
        lambda source: source.packed[:-100],
        "DECODE_ERROR",
    ),
    PackedFeed("a record of all keys", "json", _many_keys, "invalid_input"),
    PackedFeed(
        "an XML document that is cut",
        "xml",
        lambda source: source.packed[:-100],
        "DECODE_ERROR",
    ),
    PackedFeed(
        "an element of all attributes", "xml", _many_attributes, "invalid_input"
    ),
    PackedFeed("declared entities", "xml", _entities, "invalid_input"),
    PackedFeed("a text as long as the file", "xml", _within("", "x", "")),
    PackedFeed(
        "a comment as long as the file", "xml", _within("<!--", " x", "-->")
    ),
    PackedFeed(
        "a text in pieces of CDATA",
        "xml",
        _within("<product>", "<![CDATA[x]]>", "</product>"),
    ),
    PackedFeed(
        "nothing but start tags", "xml", _within("", "<a>", ""), "DECODE_ERROR"
    ),
)


# --- workbooks ------------------------------------------------------------------------------------


def _workbook(source: Source, **changes: Callable[[bytes], bytes]) -> bytes:
    """Return the clean workbook with some parts changed, by the last word of their names."""
    parts = source.parts()
    for name in list(parts):
        change = changes.get(Path(name).stem)
        parts[name] = change(parts[name]) if change else parts[name]
    return _zipped(*parts.items())


def _encrypted_workbook(source: Source) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + np.random.default_rng(1).bytes(
        source.size
    )


def _claimed_cells(source: Source) -> bytes:
    far = b'<row r="1048576"><c r="XFD1048576" t="str"><v>x</v></c></row></sheetData>'
    claims = b'<worksheet><dimension ref="A1:XFD1048576"/><cols><col min="1" max="16384"/></cols>'
    return _workbook(
        source,
        sheet1=lambda xml: xml.replace(b"<worksheet>", claims).replace(
            b"</sheetData>", far
        ),
    )


def _cells_beyond(column: Callable[[int], str]) -> Callable[[Source], bytes]:
    """Return workbooks of which each row has a last cell far behind its header."""

    def made(source: Source) -> bytes:
        def changed(xml: bytes) -> bytes:
            header, *rows = xml.split(b"</row>")
            far = (
                b'%b<c r="%b%d" t="str"><v>x</v></c>'
                % (row, column(place).encode(), place)
                for place, row in enumerate(rows[:-1], 2)
            )
            return b"</row>".join([header, *far, rows[-1]])

        return _workbook(source, sheet1=changed)

    return made


def _letters(place: int) -> str:
    text = ""
    while place:
        place, letter = divmod(place - 1, 26)
        text = chr(ord("A") + letter) + text
    return text


def _another_column(row: int) -> str:
    return _letters(1_000 + row % 15_000)


def _one_quoted_otherwise(source: Source) -> bytes:
    return _workbook(source, sheet1=lambda xml: xml.replace(b'"', b"'"))


def _shared_mebibyte(source: Source) -> bytes:
    text = b"<si><t>" + b"x" * (_MEBIBYTE - 1) + b"</t></si></sst>"
    last = source.parts()["xl/sharedStrings.xml"].count(b"<si>")
    brand = re.compile(rb'(<c r="F(?!1")\d+" t="s"><v>)\d+')
    return _workbook(
        source,
        sharedStrings=lambda xml: xml.replace(b"</sst>", text),
        sheet1=lambda xml: brand.sub(rb"\g<1>%d" % last, xml),
    )


def _styles(source: Source) -> bytes:
    style = b"<xf/>"
    parts = source.parts()
    relations = "xl/_rels/workbook.xml.rels"
    named = b'<Relationship Id="r9" Type="t/styles" Target="styles.xml"/></Relationships>'
    parts[relations] = parts[relations].replace(b"</Relationships>", named)
    listed = style * max(source.size // len(style), _MANY_STYLES)
    styles = b"<styleSheet><cellXfs>" + listed + b"</cellXfs></styleSheet>"
    return _zipped(*parts.items(), (_STYLES, styles))


def _doctype(source: Source) -> bytes:
    entities = "".join(
        f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9)
    )
    declared = f'<!DOCTYPE w [<!ENTITY e0 "lol">{entities}]><workbook'.encode()
    return _workbook(
        source, workbook=lambda xml: xml.replace(b"<workbook", declared, 1)
    )


# --- Parquet --------------------------------------------------------------------------------------


def _table(source: Source) -> pa.Table:
    text = pc_csv.ConvertOptions(
        column_types=dict.fromkeys(_header(source), pa.string())
    )
    return pc_csv.read_csv(io.BytesIO(source.csv), convert_options=text)


def _header(source: Source) -> list[str]:
    return source.csv.partition(b"\n")[0].decode().split(",")


def _parquet(table: pa.Table, **options: object) -> bytes:
    packed = io.BytesIO()
    pq.write_table(table, packed, **options)
    return packed.getvalue()


def _lists(rows: int) -> pa.ListArray:
    offsets = pa.array(np.arange(rows + 1) * 3, pa.int32())
    return pa.ListArray.from_arrays(
        offsets, pa.array(np.arange(rows * 3)).cast(pa.string())
    )


def _nested_beside(source: Source) -> bytes:
    table = _table(source)
    return _parquet(table.append_column("MORE", _lists(len(table))))


def _nested_quantity(source: Source) -> bytes:
    table = _table(source)
    at = table.schema.get_field_index("QTY")
    return _parquet(table.set_column(at, "QTY", _lists(len(table))))


def _lying_footer(source: Source) -> bytes:
    """Return a file whose footer tells of some rows more than it has."""
    table = _table(source)
    data = _parquet(table)
    start = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    rows = _varint(len(table))
    row_count = _varint(len(table) + 1)
    place = start
    while (place := data.index(b"\x16" + rows, place + 1)) >= 0:
        lying = data[: place + 1] + row_count + data[place + 1 + len(rows) :]
        if pq.read_metadata(io.BytesIO(lying)).num_rows == len(table) + 1:
            return lying
    raise ValueError("the footer has no number of rows")


def _varint(number: int) -> bytes:
    remaining = 2 * number
    written = bytearray()
    while remaining > 127:
        written.append(remaining & 127 | 128)
        remaining >>= 7
    return bytes([*written, remaining])


def _text_in_all_rows(source: Source) -> bytes:
    table = _table(source)
    indices = pa.array(np.zeros(len(table), np.int32))
    texts = pa.DictionaryArray.from_arrays(
        indices, pa.array(["x" * (_MEBIBYTE - 1)])
    )
    at = table.schema.get_field_index("TITLE")
    return _parquet(table.set_column(at, "TITLE", texts), store_schema=False)


def _texts_that_grow(source: Source) -> bytes:
    table = _table(source)
    rows = min(len(table), 1_000)
    texts = pa.array(
        ["y" * (_MEBIBYTE - 10) + str(place) for place in range(rows)]
    )
    at = table.schema.get_field_index("TITLE")
    return _parquet(
        table.slice(0, rows).set_column(at, "TITLE", texts),
        use_dictionary=[name for name in table.schema.names if name != "TITLE"],
        column_encoding={"TITLE": "DELTA_BYTE_ARRAY"},
    )


PACKED_FEEDS = (
    *(
        PackedFeed(clean(name), name, lambda source: source.packed)
        for name in FORMATS
    ),
    PackedFeed("a zip of a zip", "csv, zip", _zip_of_zips, "DECODE_ERROR"),
    PackedFeed("a zip bomb", "csv, zip", _zip_bomb, "feed_too_large"),
    PackedFeed("an encrypted zip", "csv, zip", _encrypted_zip, "invalid_input"),
    PackedFeed(
        "a zip of thousands of files",
        "csv, zip",
        _zip_of_nothing,
        "invalid_input",
    ),
    PackedFeed(
        "a gzip that is cut",
        "csv, gzip",
        lambda s: s.packed[:-100],
        "DECODE_ERROR",
    ),
    PackedFeed("a gzip bomb", "csv, gzip", _gzip_bomb, "feed_too_large"),
    PackedFeed("a gzip member a line", "csv, gzip", _gzip_of_lines),
    PackedFeed(
        "empty gzip members", "csv, gzip", _gzip_of_nothing, "no_rows_parsed"
    ),
    PackedFeed(
        "100,000 levels in a line",
        "jsonl",
        _lines_with(lambda _: _nested(100_000), 200_000),
    ),
    PackedFeed(
        "NaN in every line", "jsonl", _lines_with(lambda _: '"bad":NaN', 9)
    ),
    PackedFeed(
        "a number of 20,000 digits in every line",
        "jsonl",
        _lines_with(lambda n: f'"LEAD2":{"9" * 20_000}{n}', 20_020),
    ),
    PackedFeed(
        "exponents of a billion", "jsonl", _huge_costs, "no_rows_parsed"
    ),
    PackedFeed(
        "a list in every line",
        "jsonl",
        _lines_with(lambda n: f'"tags":["a",{n}]', 16),
    ),
    # A clean feed of as many rows and columns has ten times its bytes.
    PackedFeed(
        "another of 900 keys in every line",
        "jsonl",
        _lines_with(lambda n: f'"k{n % 900}":1', 8),
        time=20.0,
    ),
    PackedFeed(
        "half a pair in every title", "jsonl", _lone_surrogates, "invalid_input"
    ),
    PackedFeed("letters as escapes", "jsonl", _escaped_letters),
    PackedFeed("no last brace in any line", "jsonl", _without_ends),
    *_DOCUMENTS,
    PackedFeed(
        "an encrypted workbook", "xlsx", _encrypted_workbook, "DECODE_ERROR"
    ),
    PackedFeed("17 billion claimed cells", "xlsx", _claimed_cells),
    PackedFeed(
        "a cell in the last column of every row",
        "xlsx",
        _cells_beyond(lambda _: "XFD"),
        "feed_too_large",
    ),
    PackedFeed(
        "rows that end in 15,000 columns",
        "xlsx",
        _cells_beyond(_another_column),
        "feed_too_large",
    ),
    PackedFeed("XML in single quotes", "xlsx", _one_quoted_otherwise),
    PackedFeed(
        "a mebibyte that cells share",
        "xlsx",
        _shared_mebibyte,
        "feed_too_large",
    ),
    PackedFeed(
        "hundreds of thousands of styles", "xlsx", _styles, "DECODE_ERROR"
    ),
    PackedFeed("entities of entities", "xlsx", _doctype, "DECODE_ERROR"),
    PackedFeed("lists beside", "parquet", _nested_beside),
    PackedFeed(
        "lists for quantities", "parquet", _nested_quantity, "invalid_input"
    ),
    PackedFeed("a footer that lies", "parquet", _lying_footer, "DECODE_ERROR"),
    PackedFeed(
        "a mebibyte in all rows", "parquet", _text_in_all_rows, "feed_too_large"
    ),
    PackedFeed(
        "texts that grow by a byte",
        "parquet",
        _texts_that_grow,
        "feed_too_large",
    ),
)


def source_of(size: int, name: str, folder: Path) -> Source:
    """Return what the hostile feeds of a format are made of; a folder is used meanwhile."""
    write_feed(FEEDS[0], int(size / _BYTES_A_CSV_BYTE[name]), folder)
    csv = folder / f"{VENDOR}.csv"
    packed = folder / "packed"
    write, _ = FORMATS[name]
    write(csv, packed)
    return Source(csv.read_bytes(), packed.read_bytes(), size)


def write_packed_feed(feed: PackedFeed, source: Source, folder: Path) -> None:
    """Write a feed, its tenant's config and the code that its run ends with."""
    folder.mkdir(parents=True, exist_ok=True)
    document = config_document(Shape(rows=1, vendors=1, mapped=0))
    _, options = FORMATS[feed.format]
    for vendor in document["vendors"]:
        vendor["parser"] = {
            **options,
            "column_map": vendor["parser"]["column_map"],
        }
    (folder / "config.json").write_text(json.dumps(document), "utf-8")
    (folder / ENDS).write_text(feed.ends, "utf-8")
    (folder / f"{VENDOR}.csv").write_bytes(feed.of(source))


def main() -> None:
    """Write the feeds of these names, each with so many bytes, into folders of their own."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("bytes", type=int)
    options.add_argument("folder", type=Path)
    options.add_argument("names", nargs="+")
    chosen = options.parse_args()
    for feed in FEEDS:
        if feed.name in chosen.names:
            write_feed(feed, chosen.bytes, chosen.folder / feed.name)
    chosen_feeds = [feed for feed in PACKED_FEEDS if feed.name in chosen.names]
    for name in dict.fromkeys(feed.format for feed in chosen_feeds):
        with tempfile.TemporaryDirectory() as folder:
            source = source_of(chosen.bytes, name, Path(folder))
        for feed in chosen_feeds:
            if feed.format == name:
                write_packed_feed(feed, source, chosen.folder / feed.name)


if __name__ == "__main__":
    main()
