"""The kind of a file that cannot be read as the config says, by its first bytes.

Checks and runs say the same about a file, and how to fix it, before any encoding.
"""

import json
import re
import zlib
from dataclasses import dataclass

from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import as_sentence
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.formats import (
    FORMATS,
    OLE2,
    PARQUET,
    WORKBOOK_FORMATS,
    ZIP,
)
from relay_core.domain.run_codes import code_of
from relay_core.ingest.compression import (
    ARCHIVE_ERRORS,
    GZIP,
    open_archive,
)
from relay_core.ingest.feed import Buffer
from relay_core.ingest.workbooks import workbook_format

HEAD_BYTES = 4096  # the number of a file's unpacked bytes that are examined
_PACKED_BYTES = 1 << 20
_EXPORT = "export it as CSV, or save it as .xlsx"
_ASK = "ask the vendor for the price list as CSV or .xlsx"
_REPACK = "compress the file as .zip or .gz, or upload it uncompressed"
_ARCHIVES = ((ZIP, "an archive (zip)"), (GZIP, "an archive (gzip)"))
"""The first bytes of an archive in an archive, and its name."""
_HTML = re.compile(
    r"<(!doctype\s+html|html|head|body|table|meta|script|style|div|title)\b",
    re.I,
)
_XHTML = re.compile(r"<(!doctype\s+html|html)\b", re.IGNORECASE)
_XML = re.compile(
    r"<(\?xml\b|!doctype\s+(?!html)|[a-z_][\w.:-]*(\s[^<>]*)?/?>\s*<)",
    re.IGNORECASE,
)
_BOMS = {
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}
_JSON_LIST = re.compile(r'\[\s*([\[{"\]]|-?\d+\s*[,\]]|$)')
_JSON_OBJECT = re.compile(r'\{\s*("|$)')


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file."""

    name: str  # the name, with its article
    fix: str  # the next step for this kind of file, as an imperative clause
    # The `parser.format` that reads it, if there is one.
    format: str | None = None
    is_text: bool = False  # whether a price list could begin like this, too
    subject: str = "the file is"  # the beginning of the sentence about it

    def __str__(self) -> str:
        """Return a sentence about the file and another one with the fix."""
        return f"{self.subject} {self.name}. {as_sentence(self.fix)}"


PAGE = FileKind(
    "an HTML page, such as a log-in page",
    "check that the link is right and works without logging in",
    is_text=True,
)
_XML_KIND = FileKind(
    FORMATS["xml"].title,
    "set parser.format to xml, and parser.record to the path of the records",
    "xml",
    is_text=True,
)
_JSON_LINES = FileKind(
    FORMATS["jsonl"].title,
    "set parser.format to jsonl",
    "jsonl",
    is_text=True,
)
_JSON_DOCUMENT = FileKind(
    FORMATS["json"].title,
    "set parser.format to json, and parser.record to the path of the records",
    "json",
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
        "an archive (tar)",
        "compress one file as .zip or .gz, or upload it uncompressed",
    ),
    PARQUET: FileKind(
        FORMATS["parquet"].title,
        "set parser.format to parquet",
        "parquet",
    ),
}
"""The kinds of files by the pattern that they begin with."""


def is_page(head: bytes) -> bool:
    """Return whether a file, packed or not, begins like a page for people."""
    text = _text_of(_unpacked_head(head))
    return _kind_of_text(text, "") is PAGE


def kind_of(
    data: Buffer,
    format: str,
    compression: str = "auto",
) -> FileKind | None:
    """Return the kind of an upload that its format cannot be; None if it can.

    Args:
        data: The upload, packed or not.
        format: The `parser.format` that the upload should have.
        compression: The `parser.compression` of the upload.
    """
    kind = _container_kind(data)
    if kind is None:
        head = _unpacked_head(data)
        kind = _kind_of_mark(head) or _kind_of_text(_text_of(head), format)
        if kind is None:
            # A workbook is never unpacked, so an archive cannot be one of its formats.
            is_read_verbatim = (
                format in WORKBOOK_FORMATS or compression == "none"
            )
            if is_read_verbatim:
                head = bytes(memoryview(data)[:HEAD_BYTES])
            kind = _kind_of_packed(head)
    if kind is None or kind.format == format:
        return None
    return kind


def with_kind(
    error: FeedUnreadableError,
    data: Buffer,
    parser: ParserConfig,
) -> FeedUnreadableError:
    """Return a fault with the kind of the upload, if the kind is the reason."""
    if not code_of(error.error_code).kind_tells:
        return error
    kind = kind_of(data, parser.format, parser.compression)
    if kind is None:
        return error
    code = FailureCode(error.error_code)
    title = ""
    if code is FailureCode.MISSING_REQUIRED_COLUMNS:
        title = "missing required columns: "
    return FeedUnreadableError(code, f"{title}{kind}")


def _container_kind(data: Buffer) -> FileKind | None:
    """Return the kind of a workbook or a document.

    Return None for an archive of other files.
    """
    start = bytes(memoryview(data)[:8])
    if start != OLE2 and not start.startswith(ZIP):
        return None
    try:
        format = workbook_format(data)
    except FeedUnreadableError:
        fix = "save it without the password, or export it as CSV"
        return FileKind("a password", fix, subject="the workbook has")
    if format is None:
        return None
    if start == OLE2 and "WordDocument".encode("utf-16-le") in bytes(
        memoryview(data),
    ):
        return FileKind("a Word document (.doc)", _EXPORT)
    if format == "xlsx":
        with open_archive(data) as archive:
            names = set(archive.namelist())
        if "word/document.xml" in names:
            return FileKind("a Word document (.docx)", _EXPORT)
        if "xl/workbook.bin" in names:
            return FileKind("an Excel workbook (.xlsb)", _EXPORT)
    return FileKind(
        FORMATS[format].title,
        f"set parser.format to {format}",
        format,
    )


def _kind_of_mark(head: bytes) -> FileKind | None:
    """Return the kind of a file by the bytes that it begins with."""
    for mark, kind in _MARKS.items():
        if re.match(mark, head, re.DOTALL):
            return kind
    return None


def _kind_of_packed(head: bytes) -> FileKind | None:
    """Return the kind of a workbook or an archive in an archive."""
    for form in FORMATS.values():
        if form.marks is not None:
            mark, text = form.marks
            if head.startswith(mark) and text in head:
                fix = f"upload it uncompressed, and set parser.format to {form.name}"
                return FileKind(form.title, fix, form.name)
    for mark, name in _ARCHIVES:
        if head.startswith(mark):
            return FileKind(
                name,
                "unpack the archive, and upload the price list in it",
            )
    return None


def _kind_of_text(text: str, format: str) -> FileKind | None:
    """Return the kind of a text that is no price list."""
    beginning = text.lstrip("\ufeff \t\r\n")
    if beginning.startswith("<!--"):
        beginning = beginning.partition("-->")[2].lstrip()
    if beginning.startswith("<"):
        is_xml = _XML.match(beginning)
        # Product feeds have elements of HTML too, such as <title>, but no page's root.
        is_xhtml = is_xml and _XHTML.search(beginning[:1024])
        if _HTML.match(beginning) or is_xhtml:
            return PAGE
        if is_xml:
            return _XML_KIND
    first_line, _, more_lines = beginning.partition("\n")
    is_record = _is_object(first_line)
    # A document may be one line, too.
    has_lines = is_record and more_lines.lstrip().startswith("{")
    is_lines = has_lines if format == "json" else is_record
    if beginning.startswith("{") and format != "jsonl" and is_lines:
        return _JSON_LINES
    if _JSON_LIST.match(beginning):
        return _JSON_DOCUMENT
    if _JSON_OBJECT.match(beginning) and not is_record:
        return _JSON_DOCUMENT
    return None


def _is_object(line: str) -> bool:
    """Return whether a line is a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _text_of(head: bytes) -> str:
    """Return bytes as text, by their byte order mark."""
    for mark, encoding in _BOMS.items():
        if head.startswith(mark):
            return head.decode(encoding, "replace")
    return head.decode("latin-1", "replace")


def _unpacked_head(data: Buffer) -> bytes:
    """Return the first bytes without a layer of compression, if it can be removed."""
    view = memoryview(data)
    if bytes(view[:4]) == ZIP:
        return _head_of_archive(data)
    if bytes(view[:2]) == GZIP:
        decompressor = zlib.decompressobj(wbits=31)
        try:
            return decompressor.decompress(view[:_PACKED_BYTES], HEAD_BYTES)
        except zlib.error:
            return b""
    return bytes(view[:HEAD_BYTES])


def _head_of_archive(data: Buffer) -> bytes:
    """Return the first bytes of an archive's first file.

    Return none if there is no file to read.
    """
    try:
        with open_archive(data) as archive:
            members = (info for info in archive.infolist() if not info.is_dir())
            with archive.open(next(members)) as file:
                return file.read(HEAD_BYTES)
    except (*ARCHIVE_ERRORS, StopIteration, NotImplementedError, RuntimeError):
        return b""
