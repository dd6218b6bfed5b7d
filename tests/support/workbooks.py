"""Workbooks put together part by part, so that a test says what stands in the XML."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

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
) -> dict[str, str | bytes]:
    """Return the parts of a workbook; each sheet is what stands in its ``sheetData``."""
    names = names or tuple(f"Sheet{place}" for place in range(1, len(sheets) + 1))
    listed = "".join(
        f'<sheet name="{name}" sheetId="{place}" r:id="r{place}"'
        f"{' state=' + chr(34) + 'hidden' + chr(34) if name in hidden else ''}/>"
        for place, name in enumerate(names, 1)
    )
    targets = "".join(
        f'<Relationship Id="r{place}" Type="{_RELATED}/worksheet" Target="worksheets/{place}.xml"/>'
        for place in range(1, len(sheets) + 1)
    )
    others = "".join(
        f'<Relationship Id="x{name}" Type="{_RELATED}/{name}" Target="{name}.xml"/>'
        for name in ("styles", "sharedStrings")
    )
    return {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": f'<Relationships><Relationship Id="a" Type="{_RELATED}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATED}">{properties}'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f"<Relationships>{targets}{others}</Relationships>",
        "xl/styles.xml": STYLES,
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
