"""The templates of HTML pages: of the report, and of other pages that share its parts.

Every text is escaped and cut, and its control characters become visible.
"""

import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from relay_core.domain.cell_rules import cut
from relay_core.report.report import MAX_TEXT_LENGTH

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.bccache import Bucket

REPORT = "relay_core.report"
_CONTROL_PICTURES = 0x2400
_DELETE = 0x7F
_SYMBOLS = {code: _CONTROL_PICTURES + code for code in range(0x20)} | {
    _DELETE: 0x2421
}


@cache
def pages(package: str) -> "Environment":
    """Return the template engine for the pages of a package and the report's parts.

    Compiled templates are stored beside Python's bytecode, because compiling them takes
    longer than everything else that a page needs.
    """
    # Jinja is loaded when the first page is made.
    import jinja2

    class BytecodeCache(jinja2.FileSystemBytecodeCache):
        def dump_bytecode(self, bucket: "Bucket") -> None:
            # The folder may be read-only.
            with suppress(OSError):
                if not sys.dont_write_bytecode:
                    folder.mkdir(exist_ok=True)
                    super().dump_bytecode(bucket)

    this_file = Path(__file__)
    # Jinja's key contains neither its release nor the options below.
    version = f"{jinja2.__version__}-{this_file.stat().st_mtime_ns}"
    folder = this_file.with_name("__pycache__")
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader(package),
                jinja2.PackageLoader(REPORT),
            ]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_displayed,
        bytecode_cache=BytecodeCache(str(folder), f"%s.{version}.jinja.pyc"),
    )


def _displayed(value: object) -> object:
    """Return a value as a page displays it: a text is cut, its controls are symbols."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return cut(value, MAX_TEXT_LENGTH).translate(_SYMBOLS)
