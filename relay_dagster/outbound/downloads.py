"""A file at a host outside, as it is opened: what tells it from others, and its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relay_dagster.triggers.pulls import FileMark


@dataclass(frozen=True, slots=True)
class Download:
    """A file that can be read once.

    Attributes:
        name: the last part of its path, decoded.
        mark: what may spare the next transfer.
        chunks: its bytes; `CallError` where they break off.
    """

    name: str
    mark: FileMark
    chunks: Iterator[bytes]
