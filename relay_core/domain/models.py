"""Small frozen values that the steps share: names, codes and report entries.

The one list of stages, statuses, failure codes, warnings and row faults. No logic over data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

CANONICAL_COLUMNS = (
    "sku",
    "vendor_sku",
    "vendor_id",
    "quantity_available",
    "lead_time_days",
    "cost",
    "map_price",
    "price",
    "msrp",
    "condition",
    "brand",
    "title",
    "updated_at",
)
REQUIRED_COLUMNS = ("sku", "quantity_available")
WHOLE_COLUMNS = ("quantity_available", "lead_time_days")
MONEY_COLUMNS = ("cost", "map_price", "price", "msrp")
CONDITIONS = ("new", "used", "refurb")


class Stage(StrEnum):
    """Where a run is; the order of definition is the order of time."""

    QUEUE = "QUEUE"
    FETCH_INPUTS = "FETCH_INPUTS"
    NORMALIZE = "NORMALIZE"
    MERGE_PRICE = "MERGE_PRICE"
    WRITE_OUTPUTS = "WRITE_OUTPUTS"
    COMPLETE = "COMPLETE"


class RunStatus(StrEnum):
    """How a run stands; the last three are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether no transition leaves this status."""
        return self in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)


class FailureCode(StrEnum):
    """Why a run ended ``FAILED``; none of these is tried again."""

    MISSING_TENANT_CONFIG = "missing_tenant_config"
    UNSUPPORTED_SCHEMA_VERSION = "unsupported_schema_version"
    REQUIRED_VENDOR_MISSING = "REQUIRED_VENDOR_MISSING"
    MISSING_SKU_MAP = "missing_sku_map"
    DECODE_ERROR = "DECODE_ERROR"
    MISSING_REQUIRED_COLUMNS = "missing_required_columns"
    INVALID_INPUT = "invalid_input"
    NO_ROWS_PARSED = "no_rows_parsed"
    EMPTY_OUTPUT = "empty_output"
    VALIDATION_ERRORS = "validation_errors"
    POISON_JOB = "POISON_JOB"


class WarningCode(StrEnum):
    """What a run that succeeds still tells."""

    OPTIONAL_VENDOR_MISSING = "OPTIONAL_VENDOR_MISSING"
    REQUIRED_VENDOR_MISSING = "REQUIRED_VENDOR_MISSING"
    MISSING_REQUIRED_COLUMNS = "missing_required_columns"
    EMPTY_FEED = "EMPTY_FEED"
    UNPRICED_SKU = "UNPRICED_SKU"
    INVALID_ROWS_WITHIN_THRESHOLD = "invalid_rows_within_threshold"


class RowFault(StrEnum):
    """Why one field, or one record, of a feed was refused."""

    COLUMN_COUNT = "column_count"
    MISSING_SKU = "missing_sku"
    MISSING_QUANTITY = "missing_quantity"
    INVALID_QUANTITY = "invalid_quantity"
    NEGATIVE_QUANTITY = "negative_quantity"
    INVALID_DECIMAL = "invalid_decimal"
    NEGATIVE_AMOUNT = "negative_amount"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    INVALID_LEAD_TIME = "invalid_lead_time"
    INVALID_CONDITION = "invalid_condition"
    INVALID_TIMESTAMP = "invalid_timestamp"


@dataclass(frozen=True, slots=True)
class RunContext:
    """What identifies a run; ``requested_at`` is aware and stands in for a null ``updated_at``."""

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
    column: str | None = None
    value: str | None = None
    row_data: Mapping[str, str] | Sequence[str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as it stands in ``errors.json``: keys in order, None left out."""
        pairs = zip(_ENTRY_FIELDS, _entry_values(self), strict=True)
        return {name: value for name, value in pairs if value is not None}


_ENTRY_FIELDS = tuple(ReportEntry.__dataclass_fields__)
_entry_values = attrgetter(*_ENTRY_FIELDS)


@dataclass(frozen=True, slots=True)
class RunFailure:
    """A final failure: the run's ``error_code``, its message and the stage it ended in."""

    error_code: str
    error_message: str
    stage: Stage
