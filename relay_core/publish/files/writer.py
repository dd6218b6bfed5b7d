"""What a format of files offers: the bytes of rows, their changes, and their table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from relay_core.publish.files.changes import ChangedRows, Content, Roles
from relay_core.publish.files.fields import Field

Chunks: TypeAlias = Iterator[bytes | memoryview]
"""A file piece by piece."""

SLICE_ROWS = 1 << 15
"""The number of rows that become text at a time."""


@dataclass(frozen=True, slots=True)
class Writer:
    """The functions of one format of files."""

    # The file of fields of rows
    chunks: Callable[[Sequence[Field], pa.Table], Chunks]
    # The rows of the newer one of two files that the older one lacks, and then the
    # SKUs that are gone; None if the files have different columns
    changes: Callable[[Content, Content, Roles], ChangedRows | None]
    # The rows of a file, for a comparison with another one
    table: Callable[[Path], pa.Table]
