"""Arrow without two things that it loads for uses that are not ours.

Arrow's first array would load pandas. Loading pandas takes about a quarter of a second
of processor time and 40 MiB, and most processes need it never (measured in December
2026: half the start of a small run).

For `help`, Arrow parses the descriptions of all options of its functions. That takes
half the time of loading the functions. Therefore this module loads them first, and
without these descriptions.
"""

import sys
from collections import defaultdict
from functools import cache
from importlib.abc import MetaPathFinder
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

_DESCRIPTIONS = "pyarrow.vendored.docscrape"


def _no_sections(_: str) -> defaultdict[str, list[Any]]:
    """Return the sections of a description, as if all of them were empty."""
    return defaultdict(list)


if _DESCRIPTIONS not in sys.modules:
    _stand_in: Any = SimpleNamespace(NumpyDocString=_no_sections)
    sys.modules[_DESCRIPTIONS] = _stand_in
    try:
        import pyarrow.compute  # loaded for all that use it later
    finally:
        del sys.modules[_DESCRIPTIONS]


class _PandasBlocker(MetaPathFinder):
    """Makes the import of pandas fail."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """Raise for pandas; leave all other modules to other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


@cache
def use_arrow_alone() -> None:
    """Keep Arrow from loading pandas; call it before the process makes an array.

    Arrow looks for pandas once. Code that imports pandas itself still can.
    """
    if "pandas" in sys.modules:
        return
    blocker = _PandasBlocker()
    sys.meta_path.insert(0, blocker)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(blocker)
