"""Runs of a vendor of several files through the engine."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from relay_core.config import TenantConfig, load_config
from relay_core.config.inputs.uploads import FileKind
from relay_core.normalize.vendor_feed import FeedFile, VendorFeed
from relay_core.run_stages import RunStages
from relay_core.validation.vendor_failures import (
    InputFile,
    InputVerdict,
    VendorInput,
)
from support.builders import REQUESTED_AT, config_document, vendor_document
from support.reported_runs import FORGIVING, KEYS, ReportedRun


class NamedFile(NamedTuple):
    """A file of the vendor `acme`."""

    name: str
    data: bytes
    part_id: str | None = None
    kind: FileKind = "full"
    uploaded_at: datetime | None = None

    def as_read(self) -> FeedFile:
        """Return the file as the engine reads it."""
        return FeedFile(self.data, self.name, self.part_id, self.kind)


@dataclass
class ListRun(ReportedRun):
    """A run of the vendor `acme`, and its files."""

    document: dict[str, Any] = field(default_factory=dict)

    def table(self, key: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file."""
        text = bytes(self.files[key]).decode()
        return list(csv.DictReader(io.StringIO(text)))

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of normalized.csv."""
        return self.table(KEYS.normalized("acme"))

    @property
    def feed(self) -> list[dict[str, str]]:
        """The rows of the feed."""
        return self.table(KEYS.merged_inventory("csv"))

    @property
    def rejected(self) -> list[tuple[str, int, str]]:
        """The rejected rows: file, number and codes of each."""
        if KEYS.invalid_rows not in self.files:
            return []
        return [
            (row["file"], int(row["row_number"]), row["error_codes"])
            for row in self.table(KEYS.invalid_rows)
        ]

    @property
    def counts(self) -> dict[str, Any]:
        """The numbers of the vendor's rows."""
        return self.findings.rows["acme"].as_dict()

    @property
    def warnings(self) -> dict[str, str]:
        """The messages of the warnings, by code."""
        return {
            warning.error_code: warning.error_message
            for warning in self.findings.warnings
        }


def run_files(
    files: Sequence[NamedFile],
    *,
    sku_map: bytes | None = None,
    others: Mapping[str, bytes] | None = None,
    config: Mapping[str, Any] | None = None,
    hands_over: bool = False,
    **vendor: Any,
) -> ListRun:
    """Take a run of the vendor `acme` through its stages.

    Args:
        files: The vendor's files, in reading order.
        sku_map: The vendor's SKU map.
        others: The files of vendors of one file.
        config: The config's other options.
        hands_over: Whether work files are written.
        vendor: The vendor's options.
    """
    if sku_map is not None:
        vendor["sku_map"] = {"type": "file", "local_path": "map.csv"}
    tenant = _tenant(vendor, [*(others or {})], config or {})
    run = ListRun(document=tenant.to_document())
    stages = RunStages(
        tenant,
        tenant.vendors,
        REQUESTED_AT,
        KEYS,
        run,
        hands_over=hands_over,
    )
    inputs = {"acme": _input_of(files, sku_map)} if files else {}
    feeds = {}
    for name, data in (others or {}).items():
        inputs[name] = VendorInput.of_one(len(data))
        feeds[name] = VendorFeed.of_one(
            tenant.vendor(name), data, f"{name}.csv"
        )

    def feeds_to_read(verdict: InputVerdict) -> list[VendorFeed]:
        left_out = verdict.parts_left_out.get("acme", {})
        files_read = [
            file.as_read() for file in files if file.part_id not in left_out
        ]
        feeds["acme"] = VendorFeed(tenant.vendor("acme"), files_read, sku_map)
        return [feeds[name] for name in verdict.to_read()]

    values = stages.go_through(inputs, feeds_to_read)
    run.findings = stages.findings(values)
    return run


def part(part_id: str = "stock", **options: Any) -> dict[str, Any]:
    """Return a part, by default one that gives quantities."""
    return {
        "part_id": part_id,
        "gives": ["quantity_available"],
        "inbound": {
            "type": "s3",
            "s3_prefix": f"tenants/acme/inbound/of_part/{part_id}/",
        },
        "parser": {"format": "csv"},
        **options,
    }


def _tenant(
    options: Mapping[str, Any],
    other_vendors: Sequence[str],
    config: Mapping[str, Any],
) -> TenantConfig:
    """Return the config of the vendor `acme`, with these options, and of the others."""
    documents = [vendor_document("acme", **options)]
    documents += [vendor_document(name) for name in other_vendors]
    settings = {
        "error_policy": FORGIVING,
        "extra_columns": ["shelf"],
        **config,
    }
    return load_config(config_document(*documents, **settings))


def _input_of(files: Sequence[NamedFile], sku_map: bytes | None) -> VendorInput:
    """Return the files of the vendor `acme` as a run finds them."""
    inputs = [
        InputFile(len(file.data), file.uploaded_at, file.part_id, file.kind)
        for file in files
    ]
    return VendorInput(inputs, None if sku_map is None else len(sku_map))
