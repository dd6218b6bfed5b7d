"""Which kind of file bytes are that cannot be read as the config says: one recogniser for all.

Its first bytes tell. Checks and runs say the same of a file, and what to do, before any encoding.
"""

import json
import re
import zlib
from dataclasses import dataclass

from relay_core.config import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.compression import BROKEN, GZIP, ZIP, open_archive
from relay_core.ingest.feed import Buffer
from relay_core.ingest.workbooks import OLE2, workbook_format

HEAD_BYTES = 4096  # so much of a file, unpacked, is looked at
KINDS_TELL = (
    FailureCode.DECODE_ERROR,
    FailureCode.MISSING_REQUIRED_COLUMNS,
    FailureCode.INVALID_INPUT,
)
_WORKBOOKS = {
    "xlsx": "an Excel workbook (.xlsx)",
    "xls": "an old Excel workbook (.xls)",
    "ods": "an OpenDocument workbook (.ods)",
}
_PACKED_BYTES = 1 << 20
_EXPORT = "export it as CSV, or save it as .xlsx"
_ASK = "ask for the list itself, as CSV or .xlsx"
_REPACK = "pack it as .zip or .gz, or upload it unpacked"
_PACKED_MARKS = (
    (OLE2, b"", "xls"),
    (ZIP, b"xl/", "xlsx"),
    (ZIP, b"opendocument.spr", "ods"),
)
"""How a workbook in an archive begins, what its head holds, and its format."""
_HTML = re.compile(
    r"<(!doctype\s+html|html|head|body|table|meta|script|style|div|title)\b", re.I
)
_XML = re.compile(
    r"<(\?xml\b|!doctype\s+(?!html)|[a-z_][\w.:-]*(\s[^<>]*)?/?>\s*<)", re.IGNORECASE
)
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file."""

    name: str  # with its article
    remedy: str  # what to do about it
    format: str | None = None  # the `parser.format` that reads it, if one does
    is_text: bool = False  # whether a list could begin like this, too
    subject: str = "the file is"  # begins its sentence

    def __str__(self) -> str:
        """Return both as a sentence without an end."""
        return f"{self.subject} {self.name}; {self.remedy}"


PAGE = FileKind(
    "an HTML page, such as a log-in page",
    "see that the link is right, and that it needs no log-in",
    is_text=True,
)

_MARKS = {
    rb"%PDF": FileKind("a PDF", _EXPORT),
    rb"\x89PNG\r\n": FileKind("an image (PNG)", _ASK),
    rb"\xff\xd8\xff": FileKind("an image (JPEG)", _ASK),
    rb"GIF8": FileKind("an image (GIF)", _ASK),
    rb"II\*\0|MM\0\*": FileKind("an image (TIFF)", _ASK),
    rb"BM.{0,13}\0": FileKind("an image (BMP)", _ASK),
    rb"RIFF.{4}WEBP": FileKind("an image (WebP)", _ASK),
    rb"7z\xbc\xaf\x27\x1c": FileKind("an archive (7-Zip)", _REPACK),
    rb"Rar!\x1a\x07": FileKind("an archive (RAR)", _REPACK),
    rb"\xfd7zXZ\0": FileKind("an archive (xz)", _REPACK),
    rb"BZh": FileKind("an archive (bzip2)", _REPACK),
    rb"\x28\xb5\x2f\xfd": FileKind("an archive (Zstandard)", _REPACK),
    rb".{257}ustar": FileKind(
        "an archive (tar)", "pack one file as .zip or .gz, or upload it unpacked"
    ),
    rb"PAR1": FileKind("a Parquet file", "set parser.format to parquet", "parquet"),
}
"""How a file begins that is of a kind."""


def is_page(head: bytes) -> bool:
    """Return whether a file that begins so, packed or not, is a page for people to look at."""
    return _kind_of_text(_text_of(_unpacked_head(head)), "") is PAGE


def kind_of(data: Buffer, format: str, compression: str = "auto") -> FileKind | None:
    """Return the kind of an upload, packed or not, that its format cannot be; None if it may be."""
    kind = _container_kind(data)
    if kind is None:
        head = _unpacked_head(data)
        marked = (
            kind for mark, kind in _MARKS.items() if re.match(mark, head, re.DOTALL)
        )
        kind = next(marked, None) or _kind_of_text(_text_of(head), format)
        if kind is None:
            # A workbook has no layer of compression, so that an archive is none of its format.
            is_read_as_is = format in _WORKBOOKS or compression == "none"
            kind = _kind_of_packed(
                bytes(memoryview(data)[:HEAD_BYTES]) if is_read_as_is else head
            )
    return None if kind is None or kind.format == format else kind


def with_kind(
    error: FeedUnreadableError, data: Buffer, parser: ParserConfig
) -> FeedUnreadableError:
    """Return a fault with the kind of the upload, packed or not, where that is the reason."""
    tells = error.error_code in KINDS_TELL
    kind = kind_of(data, parser.format, parser.compression) if tells else None
    if kind is None:
        return error
    missing = FailureCode.MISSING_REQUIRED_COLUMNS
    title = "missing required columns: " if error.error_code == missing else ""
    return FeedUnreadableError(FailureCode(error.error_code), f"{title}{kind}")


def _container_kind(data: Buffer) -> FileKind | None:
    """Return which workbook it is, or which document; an archive of other files is none."""
    start = bytes(memoryview(data)[:8])
    if start != OLE2 and not start.startswith(ZIP):
        return None
    try:
        found = workbook_format(data)
    except FeedUnreadableError:
        remedy = "save it without one, or export it as CSV"
        return FileKind("a password", remedy, subject="the workbook has")
    if found is None:
        return None
    if start == OLE2 and "WordDocument".encode("utf-16-le") in bytes(memoryview(data)):
        return FileKind("a Word document (.doc)", _EXPORT)
    if found == "xlsx":
        with open_archive(data) as archive:
            names = set(archive.namelist())
        if "word/document.xml" in names:
            return FileKind("a Word document (.docx)", _EXPORT)
        if "xl/workbook.bin" in names:
            return FileKind("an Excel workbook (.xlsb)", _EXPORT)
    return FileKind(_WORKBOOKS[found], f"set parser.format to {found}", found)


def _kind_of_packed(head: bytes) -> FileKind | None:
    """Return which workbook or archive bytes are that no format reads in an archive."""
    for mark, holds, found in _PACKED_MARKS:
        if head.startswith(mark) and holds in head:
            remedy = f"upload it unpacked, with parser.format {found}"
            return FileKind(_WORKBOOKS[found], remedy, found)
    for mark, name in ((ZIP, "an archive (zip)"), (GZIP, "an archive (gzip)")):
        if head.startswith(mark):
            return FileKind(name, "upload the list that is in it")
    return None


def _kind_of_text(text: str, format: str) -> FileKind | None:
    begin = text.lstrip("\ufeff \t\r\n")
    if begin.startswith("<!--"):
        begin = begin.partition("-->")[2].lstrip()
    if begin.startswith("<"):
        if _HTML.match(begin) or (_XML.match(begin) and _HTML.search(begin[:1024])):
            return PAGE
        if _XML.match(begin):
            return FileKind(
                "XML", "ask for the list as CSV, .xlsx or JSON Lines", is_text=True
            )
    line = begin.split("\n", 1)[0]
    if begin.startswith("{") and format != "jsonl" and _is_object(line):
        return FileKind(
            "JSON Lines", "set parser.format to jsonl", "jsonl", is_text=True
        )
    is_list = re.match(r'\[\s*([\[{"\]]|-?\d+\s*[,\]]|$)', begin)
    if is_list or (re.match(r'\{\s*("|$)', begin) and not _is_object(line)):
        return FileKind(
            "a JSON document",
            "write it as JSON Lines: an object a line, without a list around",
            is_text=True,
        )
    return None


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _text_of(head: bytes) -> str:
    encoding = next(
        (name for bom, name in _BOMS.items() if head.startswith(bom)), "latin-1"
    )
    return head.decode(encoding, "replace")


def _unpacked_head(data: Buffer) -> bytes:
    """Return the first bytes without a layer of compression, as far as it comes off."""
    view = memoryview(data)
    if bytes(view[:4]) == ZIP:
        try:
            with open_archive(data) as archive:
                only = next(each for each in archive.infolist() if not each.is_dir())
                with archive.open(only) as file:
                    return file.read(HEAD_BYTES)
        except (*BROKEN, StopIteration, NotImplementedError, RuntimeError):
            return b""
    if bytes(view[:2]) == GZIP:
        try:
            return zlib.decompressobj(wbits=31).decompress(
                view[:_PACKED_BYTES], HEAD_BYTES
            )
        except zlib.error:
            return b""
    return bytes(view[:HEAD_BYTES])
