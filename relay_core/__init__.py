"""Relay's engine: vendors' feeds in, one exact, priced feed out. No Dagster, no AWS, no clock."""

import sys
from types import SimpleNamespace
from typing import Any

# Arrow writes a page on each of its functions as it loads, half of which it finds in others' pages.
_no_pages: Any = SimpleNamespace(NumpyDocString=lambda _: {"Parameters": ()})
sys.modules.setdefault("pyarrow.vendored.docscrape", _no_pages)
