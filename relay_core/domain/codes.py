"""The stages, statuses, failure codes, warnings and row faults, each listed once."""

from enum import StrEnum

CATALOG = "catalog"
"""The name of the catalog among vendors' ids, which no vendor has beside a catalog."""


MATCH_KEYS = ("sku_map", "gtin", "mpn", "sku")
"""The keys that find the product of a row, in the order in which reports count them."""


class Stage(StrEnum):
    """A stage of a run; stages are defined in the order of time."""

    QUEUE = "QUEUE"
    FETCH_INPUTS = "FETCH_INPUTS"
    NORMALIZE = "NORMALIZE"
    MERGE_PRICE = "MERGE_PRICE"
    WRITE_OUTPUTS = "WRITE_OUTPUTS"
    COMPLETE = "COMPLETE"


class RunStatus(StrEnum):
    """The status of a run; a held run has ended, and its feed waits for a decision."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    HELD = "HELD"

    @property
    def is_final(self) -> bool:
        """Return True if a run keeps this status forever."""
        return self in (
            RunStatus.SUCCEEDED,
            RunStatus.FAILED,
            RunStatus.CANCELLED,
        )

    @property
    def has_ended(self) -> bool:
        """Return True if a run with this status no longer executes: it is final or held."""
        return self not in (RunStatus.QUEUED, RunStatus.RUNNING)


class VendorStatus(StrEnum):
    """The part of a vendor in a run; ``FAILED`` means a feed that cannot be used."""

    FOUND = "found"
    MISSING = "missing"
    LEFT_OUT = "left_out"
    LAST_GOOD = "last_good"
    FAILED = "failed"

    @property
    def is_used(self) -> bool:
        """Return True if the run uses the vendor's offers."""
        return self in (VendorStatus.FOUND, VendorStatus.LAST_GOOD)


class FailureCode(StrEnum):
    """The reason why a run ended ``FAILED``; no such run is retried."""

    MISSING_TENANT_CONFIG = "missing_tenant_config"
    UNSUPPORTED_SCHEMA_VERSION = "unsupported_schema_version"
    REQUIRED_VENDOR_MISSING = "REQUIRED_VENDOR_MISSING"
    STALE_FEED = "STALE_FEED"
    FEED_TOO_LARGE = "feed_too_large"
    MISSING_SKU_MAP = "missing_sku_map"
    MISSING_CATALOG = "missing_catalog"
    DECODE_ERROR = "DECODE_ERROR"
    MISSING_REQUIRED_COLUMNS = "missing_required_columns"
    INVALID_INPUT = "invalid_input"
    NO_ROWS_PARSED = "no_rows_parsed"
    EMPTY_OUTPUT = "empty_output"
    VALIDATION_ERRORS = "validation_errors"
    RUN_TIMEOUT = "RUN_TIMEOUT"
    POISON_JOB = "POISON_JOB"


class FailureClass(StrEnum):
    """The party that can fix a failure: the tenant, its vendors, or the operators."""

    TENANT_CONFIG = "tenant_config"
    VENDOR_DATA = "vendor_data"
    PLATFORM = "platform"


INVALID_CONFIG = "invalid_config"
"""The code of an invalid config, which ends an attempt and in the end the run."""


class WarningCode(StrEnum):
    """A warning of a run that succeeds."""

    OPTIONAL_VENDOR_MISSING = "OPTIONAL_VENDOR_MISSING"
    REQUIRED_VENDOR_MISSING = "REQUIRED_VENDOR_MISSING"
    MISSING_REQUIRED_COLUMNS = "missing_required_columns"
    EMPTY_FEED = "EMPTY_FEED"
    UNPRICED_SKU = "UNPRICED_SKU"
    INVALID_ROWS_WITHIN_THRESHOLD = "invalid_rows_within_threshold"
    STALE_FEED = "STALE_FEED"
    PART_LEFT_OUT = "PART_LEFT_OUT"
    VENDOR_LEFT_OUT = "VENDOR_LEFT_OUT"
    VENDOR_LAST_GOOD = "VENDOR_LAST_GOOD"
    GUARD_TRIPPED = "GUARD_TRIPPED"
    MISSING_SKUS_ZEROED = "MISSING_SKUS_ZEROED"
    SKUS_QUARANTINED = "SKUS_QUARANTINED"
    CHANNEL_UNPRICED = "CHANNEL_UNPRICED"
    CHANNEL_EMPTY = "CHANNEL_EMPTY"


class RowFault(StrEnum):
    """The reason why a cell or a record of a feed was rejected."""

    DUPLICATE_SKU = "duplicate_sku"
    INVALID_RECORD = "invalid_record"
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
    INVALID_GTIN = "invalid_gtin"
