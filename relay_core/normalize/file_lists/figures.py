"""The numbers of rows of a vendor of several files, and the numbers of rows in files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from relay_core.columnar.arrays import RecordNumbers, WholeNumbers

_FILE_BITS = 40
"""The bits of a row's number that are its record's; the file's index is above them."""


def numbers_in_list(file_index: int, records: RecordNumbers) -> RecordNumbers:
    """Return the numbers of a file's records among those of all files of a vendor.

    The numbers are in the order of files, then of records. A record of the first file
    keeps its number.
    """
    return records + (np.int64(file_index) << _FILE_BITS)


def files_and_records(
    numbers: RecordNumbers,
) -> tuple[WholeNumbers, RecordNumbers]:
    """Return the index of each row's file, and the number of its record there."""
    return numbers >> _FILE_BITS, numbers & ((1 << _FILE_BITS) - 1)


@dataclass(frozen=True, slots=True)
class PartFigures:
    """One part's rows by outcome; None for outcomes that its rows cannot have."""

    read: int  # all records that are not blank
    skipped: int
    refused: int
    replaced: int | None = None  # rows that a later file of changes replaces
    duplicates: int | None = None  # rows that another row of the part replaces
    used: int | None = None  # rows that a base row asks for
    unused: int | None = None

    def as_dict(self) -> dict[str, int]:
        """Return the numbers as ``run_summary.json`` shows them."""
        return {
            name: count
            for name, count in asdict(self).items()
            if count is not None
        }


@dataclass(frozen=True, slots=True)
class ListFigures:
    """The base rows of a vendor by outcome, up to the merge, and the rows of parts."""

    read: int  # all records of base rows that are not blank
    skipped: int
    refused: int
    valid_rows: int  # the rows of normalized.csv
    # None if no base row comes from files of changes.
    replaced: int | None = None
    unmatched: int | None = None  # None if no part gives columns
    duplicates: int = 0  # rows that another row of their file replaces
    # The rows of the parts that are used, by part; None for a vendor without parts
    parts: Mapping[str, PartFigures] | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ListFigures":
        """Return the figures for a document of `as_dict`."""
        parts = document["parts"]
        if parts is not None:
            parts = {
                part_id: PartFigures(**figures)
                for part_id, figures in parts.items()
            }
        return cls(**{**document, "parts": parts})

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return asdict(self)
