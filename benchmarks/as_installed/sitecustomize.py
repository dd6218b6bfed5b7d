"""Hides what no installation has: Pandera would load hypothesis, which .venv has for the tests."""

import sys

sys.modules["hypothesis"] = None  # type: ignore[assignment]
