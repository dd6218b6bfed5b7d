"""The formats of files, each described once: feeds that are read, files that are written.

To read a format, bind a reader to its name in `relay_core/ingest/formats.py`. To write
it, bind a writer to its name in `relay_core/publish/files/writers.py`. Everything else
about a format is in its row here, and other modules ask the row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

FeedFormat: TypeAlias = Literal[
    "csv", "jsonl", "json", "xml", "xlsx", "xls", "ods", "parquet"
]
"""The name of a format in which a vendor's feed is read."""
OutputFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet"]
"""The name of a format in which the feed and channels are written."""

ZIP = b"PK\x03\x04"
"""The first bytes of a ZIP archive, and of a workbook that is one."""
OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""The first bytes of an .xls workbook, and of an encrypted one of any format."""
PARQUET = b"PAR1"
"""The first bytes of a Parquet file."""


class Shape(StrEnum):
    """The way in which a file has its records."""

    DELIMITED = "delimited"  # one record after another, after a header
    LINES = "lines"  # one object a line
    DOCUMENT = "document"  # at a path of one document
    WORKBOOK = "workbook"  # the rows of a sheet
    COLUMNS = "columns"  # typed columns


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format of files."""

    name: str  # the name in a config, which is also the suffix of a file's name
    # The name of a file of the format in a message, with its article.
    title: str
    content_type: str  # the value of the header Content-Type
    shape: Shape
    # The options of a parser that say something about the format; all other options
    # apply to each format
    options: tuple[str, ...] = ()
    # The text between two cells of a written record.
    delimiter: str | None = None
    # The first bytes of a workbook, and a text in the head of its archive
    marks: tuple[bytes, bytes] | None = None

    @property
    def is_text(self) -> bool:
        """True if a file of the format is text that can be compared by lines."""
        return not self.is_binary

    @property
    def is_binary(self) -> bool:
        """True if a file of the format has typed cells, and no encoding."""
        return self.shape in (Shape.WORKBOOK, Shape.COLUMNS)

    @property
    def has_lines(self) -> bool:
        """True if the beginning of a file has whole records without the rest of it."""
        return self.shape in (Shape.DELIMITED, Shape.LINES)


_SHEET_OPTIONS = ("sheet", "skip_lines", "columns")
_DOCUMENT_OPTIONS = ("record", "compression", "encoding")

_ROWS = (
    FileFormat(
        name="csv",
        title="a CSV file",
        content_type="text/csv; charset=utf-8",
        shape=Shape.DELIMITED,
        options=(
            "compression",
            "delimiter",
            "encoding",
            "skip_lines",
            "columns",
            "quoting",
            "blank_extra_fields",
        ),
        delimiter=",",
    ),
    FileFormat(
        name="tsv",
        title="a TSV file",
        content_type="text/tab-separated-values; charset=utf-8",
        shape=Shape.DELIMITED,
        delimiter="\t",
    ),
    FileFormat(
        name="jsonl",
        title="JSON Lines",
        content_type="application/x-ndjson",
        shape=Shape.LINES,
        options=("compression", "encoding"),
    ),
    FileFormat(
        name="json",
        title="a JSON document",
        content_type="application/json",
        shape=Shape.DOCUMENT,
        options=_DOCUMENT_OPTIONS,
    ),
    FileFormat(
        name="xml",
        title="XML",
        content_type="application/xml",
        shape=Shape.DOCUMENT,
        options=_DOCUMENT_OPTIONS,
    ),
    FileFormat(
        name="xlsx",
        title="an Excel workbook (.xlsx)",
        content_type=(
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        ),
        shape=Shape.WORKBOOK,
        options=(*_SHEET_OPTIONS, "padded_numbers"),
        marks=(ZIP, b"xl/"),
    ),
    FileFormat(
        name="xls",
        title="an old Excel workbook (.xls)",
        content_type="application/vnd.ms-excel",
        shape=Shape.WORKBOOK,
        options=_SHEET_OPTIONS,
        marks=(OLE2, b""),
    ),
    FileFormat(
        name="ods",
        title="an OpenDocument workbook (.ods)",
        content_type="application/vnd.oasis.opendocument.spreadsheet",
        shape=Shape.WORKBOOK,
        options=_SHEET_OPTIONS,
        marks=(ZIP, b"opendocument.spr"),
    ),
    FileFormat(
        name="parquet",
        title="a Parquet file",
        content_type="application/vnd.apache.parquet",
        shape=Shape.COLUMNS,
        options=("compression",),
    ),
)

FORMATS: Mapping[str, FileFormat] = MappingProxyType(
    {row.name: row for row in _ROWS}
)
"""The row of each format, by its name."""


def _read(shape: Shape) -> tuple[str, ...]:
    names = get_args(FeedFormat)
    return tuple(name for name in names if FORMATS[name].shape is shape)


WORKBOOK_FORMATS = _read(Shape.WORKBOOK)
"""The formats of feeds that are workbooks."""
DOCUMENT_FORMATS = _read(Shape.DOCUMENT)
"""The formats of feeds whose records are at a path of a document."""
DELIMITED_FORMATS = tuple(
    name for name in get_args(OutputFormat) if FORMATS[name].delimiter
)
"""The formats of written files that spreadsheets open as text."""
PACKABLE_FORMATS = tuple(
    name for name in get_args(OutputFormat) if FORMATS[name].is_text
)
"""The formats of written files that gzip makes smaller."""


def _formats_with() -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    for row in _ROWS:
        for option in row.options:
            names[option] = (*names.get(option, ()), row.name)
    return names


FORMATS_WITH: Mapping[str, tuple[str, ...]] = MappingProxyType(_formats_with())
"""The formats that an option of a parser applies to; other options apply to all."""
