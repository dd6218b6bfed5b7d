"""Reads the computed prices of a run's quarantine.csv, which can have a million rows.

The API reads it in its own process, a chunk at a time, so lines without quotes do not go
through the csv module.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Self

from relay_core.domain.cell_rules import FORMULA_STARTS
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class QuarantineFile:
    """The quarantine.csv of a run."""

    objects: ObjectStore
    key: str
    size: int
    is_escaped: bool  # whether SKUs like formulas have a mark before them

    @classmethod
    def find(cls, objects: ObjectStore, keys: ArtifactKeys) -> Self | None:
        """Return the file of a run, or None if there is none."""
        size = objects.size_of(keys.quarantine)
        if size is None:
            return None
        snapshot = objects.read_or_none(keys.config_snapshot)
        is_escaped = False
        if snapshot is not None:
            output = json.loads(snapshot)["tenant_config"].get("output", {})
            is_escaped = output.get("escape_formulas", False)
        return cls(objects, keys.quarantine, size, is_escaped)

    def without_mark(self, sku: str) -> str:
        """Return the SKU of the feed for a SKU as the file writes it."""
        is_marked = sku[:1] == "'" and sku[1:2] in tuple(FORMULA_STARTS)
        return sku[1:] if self.is_escaped and is_marked else sku

    def prices(self, skus: Set[str] | None) -> Iterator[tuple[str, Decimal]]:
        """Yield the quarantined SKUs and their computed prices, in the file's order.

        ``skus`` are the SKUs of the feed to look for; None looks for all.

        Raises:
            MissingResourceError: The file was deleted meanwhile.
        """
        written_skus = None if skus is None else self._written(skus)
        rows = self._rows(written_skus)
        price_index = next(rows).index("price_computed")
        for row in rows:
            yield self.without_mark(row[0]), Decimal(row[price_index])

    def _written(self, skus: Set[str]) -> set[str]:
        """Return SKUs as the file writes them."""
        if not self.is_escaped:
            return set(skus)
        return {
            f"'{sku}" if sku.startswith(tuple(FORMULA_STARTS)) else sku
            for sku in skus
        }

    def _rows(self, skus: Set[str] | None) -> Iterator[list[str]]:
        """Yield the header, then the rows of some SKUs, or all rows."""
        pieces = self.objects.chunks(self.key, 0, self.size)
        first_piece = next(pieces, b"")
        header, _, rest = first_piece.partition(b"\n")
        yield header.decode().split(",")
        encoded_skus = None
        if skus is not None:
            # Requests may have texts that no file in UTF-8 can have.
            encoded_skus = {sku.encode(errors="surrogatepass") for sku in skus}
        incomplete_line = b""
        for piece in chain([rest], pieces):
            content = incomplete_line + piece
            if b'"' in content:
                yield from _quoted_rows(chain([content], pieces), skus)
                return
            *lines, incomplete_line = content.split(b"\n")
            for line in lines:
                sku = line.partition(b",")[0]
                if encoded_skus is None or sku in encoded_skus:
                    yield line.decode().split(",")
        yield from _quoted_rows([incomplete_line], skus)


def _quoted_rows(
    pieces: Iterable[bytes], skus: Set[str] | None
) -> Iterator[list[str]]:
    """Yield the rows of some SKUs, or all rows; a SKU may have several lines."""
    # A SKU can be as long as a cell may be, which is more than the module's default.
    csv.field_size_limit(sys.maxsize)
    for row in csv.reader(_lines(pieces)):
        if skus is None or row[0] in skus:
            yield row


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a file, each with its line feed, with one piece in memory."""
    incomplete_line = b""
    for piece in pieces:
        *lines, incomplete_line = (incomplete_line + piece).split(b"\n")
        for line in lines:
            yield f"{line.decode()}\n"
    if incomplete_line:
        yield incomplete_line.decode()
