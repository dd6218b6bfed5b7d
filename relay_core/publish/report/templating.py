"""Templates of HTML pages, the report's and others: texts are escaped, cut, and show controls."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from relay_core.domain.cell_rules import cut

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_TEXT_LENGTH = 2_000
"""So many characters of a text are shown."""
REPORT = "relay_core.publish.report"
_SHOWN_CONTROLS = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}


@cache
def pages(package: str) -> Environment:
    """Return the engine of a package's pages and the report's parts; it is loaded when needed."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(REPORT)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: object) -> object:
    """Return a text as a page can show it: cut, its control characters as symbols of them."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return cut(value, MAX_TEXT_LENGTH).translate(_SHOWN_CONTROLS)
