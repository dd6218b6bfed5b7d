"""Small frozen values that the steps hand on: the run, an entry of a report, a vendor's result."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from relay_core.domain.codes import FailureClass, Stage, class_of

ENGINE_VERSION = "0.1.0"
"""The release whose rules a run went by; the package's version."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """The identity of a run; ``requested_at`` is aware and stands in for a null ``updated_at``."""

    run_id: str
    tenant_id: str
    requested_at: datetime
    config_version: int | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """One entry of ``errors.json``; fields that do not apply are None and left out there."""

    error_code: str
    error_message: str
    vendor_id: str | None = None
    sku: str | None = None
    row_number: int | None = None
    line: int | None = None
    sheet_row: int | None = None
    column: str | None = None
    value: str | None = None
    row_data: Mapping[str, str] | Sequence[str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as it stands in ``errors.json``: keys in order, None left out."""
        pairs = zip(_ENTRY_FIELDS, _entry_values(self), strict=True)
        return {name: value for name, value in pairs if value is not None}

    def as_json(self) -> str:
        """Return the entry as one line of JSON."""
        return as_json(self.as_dict())


as_json = json.JSONEncoder(ensure_ascii=False).encode
"""Writes one value as JSON."""
_ENTRY_FIELDS = tuple(ReportEntry.__dataclass_fields__)
_entry_values = attrgetter(*_ENTRY_FIELDS)


def place_in_words(row_number: int, line: int | None, sheet_row: int | None) -> str:
    """Return where a record stands, with the line or row of its file where that differs."""
    of_file = (
        f" (line {line})" if line else f" (sheet row {sheet_row})" if sheet_row else ""
    )
    return f"row {row_number}{of_file}"


@dataclass(frozen=True, slots=True)
class CauseSample:
    """A rejected cell, or a record that does not fit its header; places as in a `ReportEntry`."""

    row_number: int
    value: str
    line: int | None = None
    sheet_row: int | None = None

    @property
    def place(self) -> str:
        """Where people find it."""
        return place_in_words(self.row_number, self.line, self.sheet_row)


@dataclass(frozen=True, slots=True)
class Cause:
    """One of the ``causes`` of ``errors.json``: what is refused alike."""

    error_code: str  # the fault
    vendor_id: str  # whose feed it is in
    column: str | None  # the canonical column; None where whole records are rejected
    # What the cells have in common, as `shapes_of` says, or the records' width; None where they are
    # of many shapes
    shape: str | None
    count: int  # of how many there are
    samples: tuple[CauseSample, ...]  # the first ones that differ
    what_to_do: str  # in words
    # Changes to the config with which the samples are read; none where that is not known
    patch: tuple[Mapping[str, Any], ...] = ()

    @property
    def in_words(self) -> str:
        """The rejection, its place and its remedy, in words."""
        where = f" in column {self.column}" if self.column else ""
        what = f"{self.error_code}{where} of vendor {self.vendor_id} ({self.count:,} x)"
        return f"{what}: {self.what_to_do}"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Cause":
        """Return the cause that `as_dict` gives."""
        samples = tuple(CauseSample(**sample) for sample in document["samples"])
        return cls(
            **{**document, "samples": samples, "patch": tuple(document["patch"])}
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the cause as it stands in ``errors.json``."""
        samples = [
            {k: v for k, v in asdict(one).items() if v is not None}
            for one in self.samples
        ]
        return {**asdict(self), "samples": samples}


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that is valid and probably not meant."""

    code: str  # the kind; ``config`` where the config alone tells
    path: str  # the place in the config that would change it
    vendor_id: str | None  # whose rows it is about; None where it is about none
    count: int | None  # of how many rows
    samples: tuple[str, ...] | None  # the first of them that differ, at most five
    message: str  # what will happen, and what to do

    def as_dict(self) -> dict[str, Any]:
        """Return the doubt as answers show it."""
        samples = None if self.samples is None else list(self.samples)
        return {**asdict(self), "samples": samples}

    def __str__(self) -> str:
        """Return the doubt as a line."""
        shown = f" ({', '.join(self.samples)})" if self.samples else ""
        return f"{self.path}: {self.message}{shown}"


@dataclass(frozen=True, slots=True)
class VendorResult:
    """The result of a run for one vendor."""

    vendor_id: str
    status: str  # what was used of it, a `VendorStatus`
    uploaded_at: (
        datetime | None
    )  # when its latest upload came; None where there was none
    # How old what was used of it was, or else that upload, when the run was asked for; whole hours
    age_hours: int | None
    rows: int | None  # those of its upload; None where that was not read
    invalid_rows: int | None  # those of them that were refused
    skus_won: (
        int | None
    )  # rows of the feed that are its own; None where the run came to no feed


@dataclass(frozen=True, slots=True)
class RunFailure:
    """A final failure."""

    error_code: str
    error_message: str  # what is wrong
    stage: Stage  # the stage that the run ended in
    vendors: tuple[
        str, ...
    ] = ()  # whose feeds it is about; none where it is about the whole run
    # What the last attempt ended for, where the attempts are used up
    attempt_code: str | None = None
    remedy: str = (
        ""  # what would mend most of the rows that it is about, where that is known
    )

    @property
    def failure_class(self) -> FailureClass:
        """The class of whoever can mend it."""
        return class_of(self.error_code, self.attempt_code)


@dataclass(frozen=True, slots=True)
class GuardResult:
    """The result of a guard."""

    guard: str
    vendor_id: str | None  # the vendor that it is about, if it is about one
    side: str | None  # ``low`` or ``high`` of ``price_level``
    tripped: bool  # whether the share is greater than the limit
    limit: str  # the option that it is held against, as the config has it
    count: int  # how many of ``of``
    of: int  # how many there are
    # The first by SKU, each ``sku``, ``before`` and ``after``
    examples: tuple[Mapping[str, Any], ...] = ()

    @property
    def value(self) -> str:
        """The share with 4 places, half up."""
        units = (2 * 10_000 * self.count + self.of) // (2 * self.of) if self.of else 0
        return f"{units // 10_000}.{units % 10_000:04}"

    def as_dict(self, max_sku_length: int | None = None) -> dict[str, Any]:
        """Return the result as reports show it; a longer SKU is cut."""
        names = (
            "guard",
            "vendor_id",
            "side",
            "tripped",
            "value",
            "limit",
            "count",
            "of",
        )
        values = ((name, getattr(self, name)) for name in names)
        examples = [
            {**each, "sku": each["sku"][:max_sku_length]} for each in self.examples
        ]
        return {name: value for name, value in values if value is not None} | {
            "examples": examples
        }

    @classmethod
    def of_dict(cls, shown: Mapping[str, Any]) -> "GuardResult":
        """Return the result of `as_dict`."""
        own = {name: value for name, value in shown.items() if name != "value"}
        sides = {"vendor_id": None, "side": None}
        return cls(**{**sides, **own, "examples": tuple(own.get("examples", ()))})
