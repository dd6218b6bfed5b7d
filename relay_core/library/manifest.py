"""The input manifest of a run over files of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain.input_names import name_of
from relay_core.library.inputs import InputFiles
from relay_core.library.requests import Request
from relay_core.mapped_files import InputFile
from relay_core.publish.findings import RunFindings
from relay_core.publish.reports import (
    input_manifest_json,
    manifest_entry,
    overrides_pins,
)


def manifest_of(
    request: Request,
    config: TenantConfig,
    findings: RunFindings,
    hashes: Mapping[str, Sequence[str]],
    read_at: str,
) -> bytes:
    """Return the input manifest, given the hashes of the files by input."""
    entries = {
        vendor.vendor_id: manifest_entry(
            _pins(vendor, request.files, hashes),
            findings.states.get(vendor.vendor_id),
        )
        for vendor in config.vendors
    }
    catalog = None
    catalog_input = config.catalog_input
    if catalog_input is not None:
        catalog = manifest_entry(
            _pins(catalog_input, request.files, hashes),
            findings.catalog_state,
        )
    return input_manifest_json(
        request.context,
        entries,
        read_at,
        overrides_pins(None, request.overrides),
        catalog,
    )


def hashes_of(
    feeds: Mapping[str, Sequence[InputFile]],
) -> dict[str, list[str]]:
    """Return the hash of each file, by input."""
    return {
        name: [file.sha256() for file in files] for name, files in feeds.items()
    }


def _pins(
    vendor: VendorConfig,
    files: InputFiles,
    hashes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the manifest's pins of a vendor."""
    hashes_in_order = chain.from_iterable(
        hashes.get(name_of(vendor.vendor_id, part.part_id), ())
        for part in vendor.input_parts
    )
    pinned_files = [
        {
            "part_id": part_id,
            "kind": kind,
            "s3_key": None,
            "etag": None,
            "size": len(file.data),
            "last_modified": None,
            "run_copy_key": None,
            "sha256": sha256,
        }
        for (part_id, kind, file), sha256 in zip(
            files.of_vendor(vendor),
            hashes_in_order,
            strict=True,
        )
    ]
    base = None
    if pinned_files and pinned_files[0]["part_id"] is None:
        base = pinned_files[0]
    pins: dict[str, Any] = {
        "status": "missing" if base is None else "found",
        "required": vendor.required,
        "expected_prefix": vendor.inbound.s3_prefix or None,
        "s3_key": None,
        "etag": None,
        "size": None if base is None else base["size"],
        "last_modified": None,
        "selection": None if base is None else "local_file",
        "run_copy_key": None,
        "sha256": None if base is None else base["sha256"],
    }
    if vendor.has_file_list:
        pins["files"] = pinned_files
    return pins
