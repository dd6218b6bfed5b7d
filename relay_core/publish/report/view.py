"""The content of report.html: plain values, so that the template decides nothing.

Everything is bounded: lists here, texts where the page is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Literal, TypeVar

Tone = Literal["good", "warn", "bad", "idle"]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listed(Generic[Row]):
    """The first rows of a list, and how many more there are."""

    rows: tuple[Row, ...] = ()
    more: int = 0

    @classmethod
    def of(cls, rows: Iterable[Row], most: int, count: int) -> Listed[Row]:
        """Return the first of ``count`` rows, at most so many."""
        first = tuple(islice(rows, most))
        return cls(first, count - len(first))

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.rows)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of the run, in a word and in a sentence, and the next actions."""

    tone: Tone
    word: str
    headline: str
    sentence: str
    next_actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that people ask for."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart: what it is of, its number, and its length in percent of the longest."""

    label: str
    value: str
    length: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars on one scale, and what they say in a sentence."""

    title: str
    summary: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """A SKU's figure, before and now; a price move also says by how much."""

    sku: str
    before: str
    after: str
    change: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of the feed against the published one."""

    chart: Chart
    rises: tuple[Move, ...]
    falls: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Guard:
    """The result of a guard."""

    name: str
    meaning: str
    tripped: bool
    share: str
    limit: str
    counted: str
    examples: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the tenant's own, and what it did."""

    path: str
    rule: str
    vendor_id: str
    did: str


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor's rows, and the part of them that is used."""

    vendor_id: str
    tone: Tone
    use: str
    rows: str
    refused: str
    won: str
    age: str
    note: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A refused cell, or record, and its record's number."""

    row: str
    value: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Rejected cells of a vendor that are alike, their remedy, and a patch of the config."""

    counted: str
    vendor_id: str
    samples: tuple[Sample, ...]
    what_to_do: str
    patch: str


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """The causes of one code in one column."""

    title: str
    error_code: str
    counted: str
    causes: Listed[Cause]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the run itself."""

    error_code: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The whole page; what there is nothing to say of is empty, and left out."""

    tenant_id: str
    run_id: str
    requested_at: str
    requested_on: str
    config_version: int | None
    engine_version: str
    currency: str
    is_held: bool
    verdict: Verdict
    faults: Listed[Fault]
    figures: tuple[Figure, ...]
    changes: Changes | None
    guards: Listed[Guard]
    rules: Listed[Rule]
    vendors: Listed[Vendor]
    shares: Chart | None
    causes: Listed[CauseGroup]
    unpriced: Listed[str]
