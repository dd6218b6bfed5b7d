"""Runs of the engine over a sample tenant's files, and what became of the rows in one."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from relay_core.config import TenantConfig, load_config, parse_document
from relay_core.domain.input_names import name_of
from relay_core.merge.row_counts import RowCounts
from relay_core.normalize.vendor_feed import FeedFile, VendorFeed
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.run_stages import RunStages
from relay_core.samples import sample_config_text, sample_files
from relay_core.validation.vendor_failures import (
    InputFile,
    InputVerdict,
    VendorInput,
)
from relay_core.vendor_pass import NullSink, Sink

KEYS = ArtifactKeys("", "")
"""The keys of the files that a run over samples writes."""


def sample_rows(
    tenant: str,
    requested_at: datetime,
) -> Mapping[str, RowCounts]:
    """Run the engine over a sample tenant; return the numbers of each vendor's rows."""
    document = parse_document(sample_config_text(tenant), format="yaml")
    config = load_config(document)
    return run_over_samples(config, tenant, requested_at, NullSink()).rows


def run_over_samples(
    config: TenantConfig,
    tenant: str,
    requested_at: datetime,
    sink: Sink,
) -> RunFindings:
    """Run a config over a sample tenant's files; the sink gets the files of the run."""
    samples = sample_files(tenant)
    files_by_vendor = {
        vendor.vendor_id: [
            FeedFile(data, name, part.part_id, "delta" if index else "full")
            for part in vendor.input_parts
            for index, (name, data) in enumerate(
                samples[name_of(vendor.vendor_id, part.part_id)],
            )
        ]
        for vendor in config.vendors_and_catalog
    }
    inputs = {
        vendor_id: VendorInput(
            [
                InputFile(len(file.data), None, file.part_id, file.kind)
                for file in files
            ],
        )
        for vendor_id, files in files_by_vendor.items()
    }

    def feeds(verdict: InputVerdict) -> Iterator[VendorFeed]:
        for vendor_id in verdict.to_read():
            vendor = config.vendor(vendor_id)
            yield VendorFeed(vendor, files_by_vendor[vendor_id])

    stages = RunStages(config, config.vendors, requested_at, KEYS, sink)
    return stages.findings(stages.go_through(inputs, feeds))
