"""Whole columns at once: text, numbers, timestamps, sorting, CSV; no business words."""

# Arrow comes first, and not from a module further down: in Python 3.11, calls more than
# a hundred frames deep can cost an allocation each, and the import makes many.
import pyarrow  # noqa: F401

# This module loads Arrow's functions before any other one imports them.
from relay_core.columnar import arrow_start as arrow_start
