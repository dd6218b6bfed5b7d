"""The trial of a new config: a run over its files that writes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Any

from relay_core.config import TenantConfig, load_config
from relay_core.domain.limits import Limits
from relay_core.first_config.drafts import VendorDraft
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.run_stages import RunStages
from relay_core.validation.vendor_failures import InputVerdict, VendorInput
from relay_core.vendor_pass import NullSink

_ANY_ROWS = {"max_invalid_rows": 2**31, "max_invalid_row_pct": 1}
"""The error policy of a trial, which tells how many rows are rejected."""
_PLACES = Decimal("0.0001")


@dataclass(frozen=True)
class RowTotals:
    """The rows of several files.

    Attributes:
        rows: The number of rows.
        rejected: The number of rejected rows.
    """

    rows: int
    rejected: int


@dataclass(frozen=True)
class Trial:
    """The result of a trial.

    Attributes:
        config: The config with the error policy that the rejected rows need.
        document: The document of the config.
        totals: The rows of the files whose settings were proposed.
        findings: The findings of a run with the config.
    """

    config: TenantConfig
    document: Mapping[str, Any]
    totals: RowTotals
    findings: RunFindings


def tried(
    document: Mapping[str, Any],
    drafts: Sequence[VendorDraft],
    limits: Limits,
    now: datetime,
) -> Trial:
    """Run a config over its files, and add the error policy that the rejected rows need.

    Rows of a file without proposed settings do not raise the limits: a run with such a
    file should fail.

    Args:
        document: The config, without an error policy.
        drafts: The drafts of its vendors.
        limits: The limits of feeds.
        now: The time of the runs.

    Raises:
        ConfigError: The config is not valid.
    """
    lenient_config = load_config(
        {**document, "error_policy": _ANY_ROWS}, limits
    )
    findings = _run_findings(lenient_config, drafts, limits, now)
    refused_ids = {draft.vendor_id for draft in drafts if draft.is_refused}
    read_vendors = [
        vendor
        for vendor in findings.normalized
        if vendor.vendor_id not in refused_ids
    ]
    totals = RowTotals(
        sum(vendor.total_rows for vendor in read_vendors),
        sum(vendor.invalid_rows for vendor in read_vendors),
    )
    if totals.rejected:
        policy = _policy(totals)
        document = {**document, "error_policy": policy}
    config = load_config(document, limits)
    if refused_ids:
        findings = _run_findings(config, drafts, limits, now)
    return Trial(config, document, totals, findings)


def _policy(totals: RowTotals) -> dict[str, Any]:
    """Return the error policy that accepts these rejected rows, and no more."""
    share = Decimal(totals.rejected) / totals.rows
    limit = share.quantize(_PLACES, ROUND_UP).normalize()
    return {
        "max_invalid_rows": totals.rejected,
        "max_invalid_row_pct": limit,
    }


def _run_findings(
    config: TenantConfig,
    drafts: Sequence[VendorDraft],
    limits: Limits,
    now: datetime,
) -> RunFindings:
    """Return the findings of a run over the files."""
    files = {draft.vendor_id: draft.file for draft in drafts}
    stages = RunStages(
        config,
        config.vendors,
        now,
        ArtifactKeys("", ""),
        NullSink(),
        limits=limits,
    )
    inputs = {
        vendor_id: VendorInput.of_one(len(file.data))
        for vendor_id, file in files.items()
    }

    def feeds(verdict: InputVerdict) -> Iterator[VendorFeed]:
        for vendor_id in verdict.to_read():
            file = files[vendor_id]
            yield VendorFeed.of_one(
                config.vendor(vendor_id),
                file.data,
                file.name,
            )

    return stages.findings(stages.go_through(inputs, feeds))
