"""A file at a host outside, as it is opened: what tells it from others, and its bytes."""

from collections.abc import Iterator
from dataclasses import dataclass

from relay_dagster.triggers.pulls import FileMark


@dataclass(frozen=True, slots=True)
class Download:
    """A file that can be read once."""

    name: str  # the last part of its path, decoded
    mark: FileMark  # what may spare the next transfer
    chunks: Iterator[bytes]  # its bytes; `CallError` where they break off
