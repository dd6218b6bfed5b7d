"""Workbooks put together part by part, so that a test says what stands in the XML."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time

import xlwt

_RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STYLES = (
    "<styleSheet><numFmts><numFmt numFmtId='164' formatCode='dd.mm.yyyy'/>"
    "<numFmt numFmtId='165' formatCode='0.00 &quot;days&quot;[Red]'/></numFmts><cellXfs>"
    "<xf numFmtId='0'/><xf numFmtId='14'/><xf numFmtId='164'/><xf numFmtId='165'/>"
    "<xf numFmtId='46'/></cellXfs></styleSheet>"
)
"""Cell styles: 0 a number, 1 and 2 dates, 3 a number that only looks like a date, 4 a time."""


def archive(parts: Mapping[str, str | bytes]) -> bytes:
    """Return a zip archive of these parts."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, part in parts.items():
            file.writestr(name, part)
    return packed.getvalue()


def workbook_parts(
    *sheets: str,
    names: tuple[str, ...] = (),
    hidden: tuple[str, ...] = (),
    shared: str = "",
    properties: str = "",
    styles: str = STYLES,
) -> dict[str, str | bytes]:
    """Return the parts of a workbook; each sheet is what stands in its ``sheetData``."""
    names = names or tuple(
        f"Sheet{place}" for place in range(1, len(sheets) + 1)
    )
    listed = "".join(
        f'<sheet name="{name}" sheetId="{place}" r:id="r{place}"'
        f"{' state=' + chr(34) + 'hidden' + chr(34) if name in hidden else ''}/>"
        for place, name in enumerate(names, 1)
    )
    targets = "".join(
        f'<Relationship Id="r{place}" Type="{_RELATED}/worksheet" Target="worksheets/{place}.xml"/>'
        for place in range(1, len(sheets) + 1)
    )
    relationships = "".join(
        f'<Relationship Id="x{name}" Type="{_RELATED}/{name}" Target="{name}.xml"/>'
        for name in ("styles", "sharedStrings")
    )
    return {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": f'<Relationships><Relationship Id="a" Type="{_RELATED}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATED}">{properties}'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f"<Relationships>{targets}{relationships}</Relationships>",
        "xl/styles.xml": styles,
        "xl/sharedStrings.xml": f"<sst>{shared}</sst>",
        **{
            f"xl/worksheets/{place}.xml": f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
            for place, rows in enumerate(sheets, 1)
        },
    }


def workbook(*sheets: str, **options: object) -> bytes:
    """Return a workbook; see `workbook_parts`."""
    return archive(workbook_parts(*sheets, **options))  # type: ignore[arg-type]


def text_row(number: int, *cells: str) -> str:
    """Return a row of texts that stand in the cells themselves; None is no cell."""
    written = "".join(
        f'<c r="{chr(65 + place)}{number}" t="inlineStr"><is><t>{cell}</t></is></c>'
        for place, cell in enumerate(cells)
        if cell
    )
    return f'<row r="{number}">{written}</row>'


_ODF = "urn:oasis:names:tc:opendocument:xmlns"
_CALC = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"


def ods(*tables: str, styles: str = "", manifest: str = "<manifest/>") -> bytes:
    """Return a workbook of OpenDocument with these ``table:table`` elements."""
    spaces = "".join(
        f' xmlns:{name}="{_ODF}:{name}:1.0"'
        for name in ("office", "table", "text", "style")
    )
    content = (
        f'<office:document-content{spaces} xmlns:calcext="{_CALC}">'
        f"<office:automatic-styles>{styles}</office:automatic-styles><office:body>"
        f"<office:spreadsheet>{''.join(tables)}</office:spreadsheet></office:body>"
        "</office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    return archive(
        {
            "mimetype": kind,
            "content.xml": content,
            "META-INF/manifest.xml": manifest,
        }
    )


def ods_table(*rows: str, name: str = "Sheet1", style: str = "ta1") -> str:
    """Return a sheet of rows, each of which is what stands in its ``table:table-row``."""
    written = "".join(
        f"<table:table-row>{row}</table:table-row>" for row in rows
    )
    return f'<table:table table:name="{name}" table:style-name="{style}">{written}</table:table>'


def ods_texts(*cells: str) -> str:
    """Return cells of texts."""
    return "".join(
        f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
        for cell in cells
    )


def xls(
    sheets: Mapping[str, Sequence[Sequence[object]]],
    *,
    hidden: Sequence[str] = (),
    from_1904: bool = False,
) -> bytes:
    """Return an old workbook; dates and times get number formats that show them."""
    formats = {
        date: "yyyy-mm-dd",
        datetime: "yyyy-mm-dd hh:mm:ss",
        time: "hh:mm:ss",
    }
    book = xlwt.Workbook()
    book.dates_1904 = from_1904
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        sheet.visibility = 1 if name in hidden else 0
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                style = xlwt.easyxf(
                    num_format_str=formats.get(type(value), "General")
                )
                if value is not None:
                    sheet.write(number, column, value, style)
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()
