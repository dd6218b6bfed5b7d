"""The frozen values that steps pass on, such as report entries and causes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from relay_core.domain.codes import FailureClass, Stage
from relay_core.domain.run_codes import class_of

ENGINE_VERSION = "0.1.0"
"""The release whose rules a run applies; the version of the package."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """The identity of a run."""

    run_id: str
    tenant_id: str
    # The aware time of the run's request, which is used instead of a null `updated_at`
    requested_at: datetime
    config_version: int | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """One entry of ``errors.json``, which leaves out the fields that are None."""

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
        """Return the entry of ``errors.json``: keys in order, without None."""
        pairs = zip(_ENTRY_FIELDS, _entry_values(self), strict=True)
        return {name: value for name, value in pairs if value is not None}

    def as_json(self) -> str:
        """Return the entry as one line of JSON."""
        return as_json(self.as_dict())


class CatalogFault(ReportEntry):
    """A fault of the merchant's catalog, which the tenant can fix."""


as_json = json.JSONEncoder(ensure_ascii=False).encode
"""Return a value as JSON text."""
_ENTRY_FIELDS = tuple(ReportEntry.__dataclass_fields__)
_entry_values = attrgetter(*_ENTRY_FIELDS)


def location_in_words(
    row_number: int, line: int | None, sheet_row: int | None
) -> str:
    """Return the location of a record, with its line or sheet row if that differs."""
    if line:
        return f"row {row_number} (line {line})"
    if sheet_row:
        return f"row {row_number} (sheet row {sheet_row})"
    return f"row {row_number}"


@dataclass(frozen=True, slots=True)
class CauseSample:
    """A rejected cell, or a record that does not fit its header."""

    row_number: int
    value: str
    line: int | None = None
    sheet_row: int | None = None
    file: str | None = None  # of a vendor of several files

    @property
    def location(self) -> str:
        """The location of the record in words."""
        location = location_in_words(self.row_number, self.line, self.sheet_row)
        return location if self.file is None else f"{location} of {self.file}"


@dataclass(frozen=True, slots=True)
class Cause:
    """One of the ``causes`` of ``errors.json``: similar rejected cells or records."""

    error_code: str  # the fault
    vendor_id: str  # the vendor of the feed
    column: str | None  # the canonical column; None for whole records
    # The common shape of the cells, as `shapes_of` describes it, or the common width of
    # the records; None for cells of many shapes
    shape: str | None
    count: int  # the number of cells or records
    samples: tuple[CauseSample, ...]  # the first ones that differ
    what_to_do: str  # the fix in words
    # The changes to the config that make the samples readable; none if none is known
    patch: tuple[Mapping[str, Any], ...] = ()
    # The part that the file is of, which reports do not show; None for the base.
    part_id: str | None = None

    @property
    def in_words(self) -> str:
        """The fault, its vendor and column, and the fix, in words."""
        column = f" in column {self.column}" if self.column else ""
        subject = f"{self.error_code}{column} of vendor {self.vendor_id}"
        return f"{subject} ({self.count:,} x): {self.what_to_do}"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Cause":
        """Return the cause for a document of `as_dict`."""
        fields = dict(document)
        fields["samples"] = tuple(
            CauseSample(**sample) for sample in document["samples"]
        )
        fields["patch"] = tuple(document["patch"])
        return cls(**fields)

    def as_dict(self) -> dict[str, Any]:
        """Return the cause as ``errors.json`` shows it."""
        samples = []
        for sample in self.samples:
            fields = asdict(sample).items()
            samples.append(
                {name: value for name, value in fields if value is not None}
            )
        document = {**asdict(self), "samples": samples}
        del document["part_id"]
        return document


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that is valid and probably not meant."""

    code: str  # the kind of the doubt; ``config`` if the config alone causes it
    path: str  # the path in the config that would change it
    vendor_id: str | None  # the vendor of the rows in doubt; None for no vendor
    count: int | None  # the number of rows in doubt
    # The first samples that differ, at most five.
    samples: tuple[str, ...] | None
    message: str  # the consequence and the fix, in words

    def as_dict(self) -> dict[str, Any]:
        """Return the doubt as the API shows it."""
        samples = None if self.samples is None else list(self.samples)
        return {**asdict(self), "samples": samples}

    def __str__(self) -> str:
        """Return the doubt as a line."""
        samples = f" ({', '.join(self.samples)})" if self.samples else ""
        return f"{self.path}: {self.message}{samples}"


@dataclass(frozen=True, slots=True)
class PartUpload:
    """The newest file of a part of a vendor in a run."""

    part_id: str | None  # None for the vendor's base
    # The time of its upload; None if there was none
    uploaded_at: datetime | None
    # Its age in whole hours, at the time of the request
    age_hours: int | None


@dataclass(frozen=True, slots=True)
class VendorResult:
    """The result of a run for one vendor."""

    vendor_id: str
    status: str  # the part of the vendor in the run, a `VendorStatus`
    # The time of the vendor's latest upload; None if there was none
    uploaded_at: datetime | None
    # The age in whole hours, at the time of the request, of the feed that was used, or
    # else of the latest upload
    age_hours: int | None
    rows: int | None  # the rows of the upload; None if it was not read
    invalid_rows: int | None  # the rejected rows of the upload
    # The vendor's rows of the feed; None if the run made no feed
    skus_won: int | None
    # The parts of a vendor of several files, its base first
    parts: tuple[PartUpload, ...] = ()


@dataclass(frozen=True, slots=True)
class RunFailure:
    """The final failure of a run."""

    error_code: str
    error_message: str  # the failure in words
    stage: Stage  # the stage that the run ended in
    # The vendors whose feeds caused the failure; none if it concerns the whole run
    vendors: tuple[str, ...] = ()
    # The code of the last attempt, if the run used up its attempts
    attempt_code: str | None = None
    # The fix of most of the rows that caused the failure, if it is known
    remedy: str = ""
    # Whether the merchant's catalog caused the failure.
    of_catalog: bool = False

    @property
    def failure_class(self) -> FailureClass:
        """The party that can fix the failure."""
        if self.of_catalog:
            return FailureClass.TENANT_CONFIG
        return class_of(self.error_code, self.attempt_code)


_GUARD_FIELDS = (
    "guard",
    "vendor_id",
    "side",
    "tripped",
    "value",
    "limit",
    "count",
    "of",
)


@dataclass(frozen=True, slots=True)
class GuardResult:
    """The result of a guard."""

    guard: str  # the name of the guard
    vendor_id: str | None  # the vendor that the guard judges; None for all
    side: str | None  # ``low`` or ``high`` of ``price_level``
    tripped: bool  # whether the share is greater than the limit
    # The option that the share is compared with, as the config has it.
    limit: str
    count: int  # the number of things that count against the limit
    of: int  # the number of all things
    # The first SKUs, each with ``sku``, ``before`` and ``after``
    examples: tuple[Mapping[str, Any], ...] = ()

    @property
    def value(self) -> str:
        """The share with 4 places, rounded half up."""
        if not self.of:
            return "0.0000"
        ten_thousandths = (2 * 10_000 * self.count + self.of) // (2 * self.of)
        whole, fraction = divmod(ten_thousandths, 10_000)
        return f"{whole}.{fraction:04}"

    def as_dict(self, max_sku_length: int | None = None) -> dict[str, Any]:
        """Return the result as reports show it; SKUs beyond the length are cut."""
        document = {}
        for name in _GUARD_FIELDS:
            value = getattr(self, name)
            if value is not None:
                document[name] = value
        document["examples"] = [
            {**example, "sku": example["sku"][:max_sku_length]}
            for example in self.examples
        ]
        return document

    @classmethod
    def of_dict(cls, document: Mapping[str, Any]) -> "GuardResult":
        """Return the result for a document of `as_dict`."""
        fields: dict[str, Any] = {"vendor_id": None, "side": None, **document}
        fields.pop("value", None)
        fields["examples"] = tuple(fields.get("examples", ()))
        return cls(**fields)
