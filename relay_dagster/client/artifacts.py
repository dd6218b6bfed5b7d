"""The artifacts of runs that the commands read, as tolerantly as the API's responses."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from relay_core.domain.codes import CATALOG
from relay_dagster.wire.base import ResponseBody


class CatalogSummary(ResponseBody):
    """The part of `run_summary.json` about the catalog."""

    rows: int
    matched_by: dict[str, dict[str, int]] = Field(default_factory=dict)
    unmatched: int
    ambiguous: int
    uncovered: int | None = None


class RunSummary(ResponseBody):
    """`run_summary.json`: the counts and times of a run."""

    vendor_record_counts: dict[str, int] = Field(default_factory=dict)
    record_count: int
    invalid_rows: int
    total_rows: int
    unpriced_skus: int
    quarantined: int | None = None
    catalog: CatalogSummary | None = None
    warnings: dict[str, int] = Field(default_factory=dict)
    stage_times: dict[str, float] = Field(default_factory=dict)
    duration_seconds: float
    engine_version: str | None = None
    limits: dict[str, int] = Field(default_factory=dict)
    channels: dict[str, int] | None = None


class PinnedFile(ResponseBody):
    """One file of a vendor of several, as the run pinned it."""

    part_id: str | None = None
    kind: Literal["full", "delta"] = "full"
    s3_key: str | None = None
    size: int | None = None
    last_modified: datetime | None = None
    run_copy_key: str | None = None
    sha256: str | None = None


class PinnedInput(ResponseBody):
    """A vendor's input as the run pinned it, and the run's use of it.

    Attributes:
        last_modified: The instant of the upload.
    """

    status: str
    s3_key: str | None = None
    size: int | None = None
    last_modified: datetime | None = None
    selection: str | None = None
    sha256: str | None = None
    last_good_run_id: str | None = None
    age_hours: int | None = None
    files: list[PinnedFile] | None = None


class PinnedOverrides(ResponseBody):
    """The overrides that a run uses, as it pinned them."""

    sha256: str


class InputManifest(ResponseBody):
    """`input_manifest.json`: the input of each vendor, and the overrides."""

    overrides: PinnedOverrides | None = None
    vendors: dict[str, PinnedInput]
    catalog: PinnedInput | None = None

    @property
    def inputs(self) -> dict[str, PinnedInput]:
        """The input of each vendor, and of the catalog."""
        if self.catalog is None:
            return self.vendors
        return {**self.vendors, CATALOG: self.catalog}


class ConfigSnapshot(ResponseBody):
    """`config_snapshot.json`: the config as it took effect."""

    tenant_config: dict[str, Any]


class ReportEntry(ResponseBody):
    """One entry of `errors.json`."""

    error_code: str
    error_message: str
    vendor_id: str | None = None
    row_number: int | None = None


class CauseSample(ResponseBody):
    """A rejected cell, or a rejected record."""

    OPTIONAL_FIELDS = frozenset({"file"})

    row_number: int
    value: str
    line: int | None = None
    sheet_row: int | None = None
    file: str | None = None


class Cause(ResponseBody):
    """Cells of one column, or whole records, that are rejected for the same reason."""

    error_code: str
    vendor_id: str
    column: str | None
    shape: str | None
    count: int
    samples: list[CauseSample]
    what_to_do: str


class ErrorReport(ResponseBody):
    """`errors.json`: the errors and warnings of a run."""

    counts: dict[str, int]
    truncated: bool
    causes: list[Cause] = Field(default_factory=list)
    entries: list[ReportEntry]
