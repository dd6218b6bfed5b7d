"""Arrow without pandas, which Arrow's first array would load.

Loading pandas takes about a quarter of a second of processor time and 40 MiB, and most
processes need it never (measured in December 2026: half the start of a small run).
"""

import sys
from functools import cache
from importlib.abc import MetaPathFinder

import pyarrow as pa


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
