"""Templates of HTML pages, the report's and others: texts are escaped, cut, and show controls."""

import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from relay_core.domain.cell_rules import cut

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.bccache import Bucket

MAX_TEXT_LENGTH = 2_000  # so many characters of a text are shown
REPORT = "relay_core.publish.report"
_SHOWN_CONTROLS = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}


@cache
def pages(package: str) -> "Environment":
    """Return the engine of a package's pages and the report's parts; it is loaded when needed.

    What templates are compiled to is kept with Python's bytecode: to compile takes longer than all.
    """
    import jinja2

    class Compiled(jinja2.FileSystemBytecodeCache):
        def dump_bytecode(self, bucket: "Bucket") -> None:
            with suppress(OSError):  # such as a folder that is read only
                if not sys.dont_write_bytecode:
                    super().dump_bytecode(bucket)

    own = Path(__file__)
    # Jinja's key has neither its release nor the options below.
    version = f"{jinja2.__version__}-{own.stat().st_mtime_ns}"

    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package), jinja2.PackageLoader(REPORT)]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
        bytecode_cache=Compiled(
            str(own.with_name("__pycache__")), f"%s.{version}.jinja.pyc"
        ),
    )


def _shown(value: object) -> object:
    """Return a text as a page can show it: cut, its control characters as symbols of them."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return cut(value, MAX_TEXT_LENGTH).translate(_SHOWN_CONTROLS)
