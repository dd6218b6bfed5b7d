"""What Pandera loads with its first check, without what it loads only to make up data."""

import importlib
import sys

_HYPOTHESIS = "hypothesis"


def load_strategies() -> None:
    """Load the part of Pandera that would bring hypothesis, where that is installed: 0.15 s."""
    if _HYPOTHESIS in sys.modules:
        return
    sys.modules[_HYPOTHESIS] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        importlib.import_module("pandera.strategies.pandas_strategies")
    finally:
        del sys.modules[_HYPOTHESIS]
