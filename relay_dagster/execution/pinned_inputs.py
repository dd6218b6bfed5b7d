"""The inputs of a run as its manifest pins them: the files, their copies, and states."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from relay_core.config import Override, TenantConfig
from relay_core.config.inputs.uploads import FileKind
from relay_core.domain.codes import CATALOG, Stage, VendorStatus
from relay_core.domain.records import ReportEntry
from relay_core.domain.run_faults import failure_of
from relay_core.validation import vendor_failures
from relay_core.validation.catalog_input import fault_of_earlier
from relay_core.validation.vendor_failures import (
    InputFile,
    InputVerdict,
    VendorInput,
    VendorState,
)
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.aws.stored_objects import ObjectInfo
from relay_dagster.external_errors import ObjectChangedError

FILE_PINS = (
    "s3_key",
    "etag",
    "size",
    "last_modified",
    "run_copy_key",
    "sha256",
)
"""The pins of one file."""


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of an input as a manifest pins it.

    The instant of its upload is text; a file that is too large has no copy.
    """

    part_id: str | None  # None for a vendor's base
    kind: FileKind
    s3_key: str
    etag: str
    size: int
    last_modified: str
    run_copy_key: str | None
    sha256: str | None

    @classmethod
    def all_of(cls, entry: Mapping[str, Any]) -> list["PinnedFile"]:
        """Return the files that the manifest's entry of a vendor pins, in order."""
        if "files" in entry:
            return [cls(**pins) for pins in entry["files"]]
        if entry["s3_key"] is None:
            return []
        pins = {name: entry[name] for name in FILE_PINS}
        return [cls(part_id=None, kind="full", **pins)]

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return PurePosixPath(self.s3_key).name

    @property
    def as_input(self) -> InputFile:
        """The file as the engine judges it before it is read."""
        return InputFile(
            self.size,
            datetime.fromisoformat(self.last_modified),
            self.part_id,
            self.kind,
        )


@dataclass(frozen=True, slots=True)
class PinnedInputs:
    """The inputs of a run as its manifest pins them.

    A file that is too large is pinned and not copied; the run fails before it is read.
    """

    # The manifest's entry of each vendor
    entries: Mapping[str, Mapping[str, Any]]
    generated_at: str  # the manifest's instant
    # The manifest's pins of the overrides
    override_pins: Mapping[str, Any] | None
    overrides: Sequence[Override]  # the overrides that the run uses, by SKU
    sku_map_sizes: Mapping[str, int]  # the bytes of each vendor's SKU map

    def vendors_with_feed(self) -> list[str]:
        """Return the ids of the vendors that have a feed, in the config's order."""
        return [
            vendor_id
            for vendor_id, entry in self.entries.items()
            if PinnedFile.all_of(entry)
        ]

    def files_of(self, vendor_id: str) -> list[PinnedFile]:
        """Return the files of a vendor, in reading order."""
        return PinnedFile.all_of(self.entries[vendor_id])

    def files_to_read(
        self,
        vendor_id: str,
        parts_left_out: Collection[str],
    ) -> list[PinnedFile]:
        """Return the files of a vendor without those of some parts."""
        return [
            file
            for file in self.files_of(vendor_id)
            if file.part_id not in parts_left_out
        ]

    def vendor_inputs(self) -> dict[str, VendorInput]:
        """Return the input of each vendor that has a feed."""
        return {
            vendor_id: VendorInput(
                [file.as_input for file in self.files_of(vendor_id)],
                self.sku_map_sizes.get(vendor_id),
            )
            for vendor_id in self.vendors_with_feed()
        }

    def states(self) -> dict[str, VendorState]:
        """Return the state of each vendor, of inputs that were read before."""
        states = {}
        for vendor_id, entry in self.entries.items():
            failure = None
            if entry["trouble"]:
                failure = ReportEntry(**entry["trouble"], vendor_id=vendor_id)
            states[vendor_id] = VendorState(
                VendorStatus(entry["status"]),
                failure,
                entry["last_good_run_id"],
                entry["age_hours"],
            )
        return states


def verified(objects: ObjectStore, file: PinnedFile, data: bytes) -> bytes:
    """Return a pinned file: the given bytes, or a new copy if they differ.

    Raises:
        ObjectChangedError: the upload is not the pinned one any more.
    """
    if hashlib.sha256(data).hexdigest() == file.sha256:
        return data
    upload = ObjectInfo(
        file.s3_key,
        file.size,
        file.etag,
        datetime.fromisoformat(file.last_modified),
    )
    copy_key = str(file.run_copy_key)
    if objects.copy_pinned(upload, copy_key) != file.sha256:
        raise ObjectChangedError(
            "s3.CopyObject",
            f"{upload.key} is not as it was pinned",
        )
    return objects.read(copy_key)


def earlier_verdict(
    config: TenantConfig,
    inputs: PinnedInputs,
) -> InputVerdict:
    """Return the verdict on inputs that an earlier run has judged and read."""
    states = inputs.states()
    catalog = None
    faults: Sequence[ReportEntry] = ()
    if config.catalog is not None:
        catalog = states.pop(CATALOG)
        fault = fault_of_earlier(catalog)
        if fault is not None:
            faults = (fault,)
    warnings = []
    for vendor_id, state in states.items():
        if state.failure is not None and not state.status.is_used:
            vendor = config.vendor(vendor_id)
            warnings.append(vendor_failures.warning_of(vendor, state))
    vendor_inputs = inputs.vendor_inputs()
    return InputVerdict(
        failure=failure_of(faults, Stage.FETCH_INPUTS),
        faults=faults,
        states=states,
        warnings=warnings,
        catalog=catalog,
        uploaded_at=vendor_failures.upload_times(
            config.vendors,
            vendor_inputs,
        ),
        parts_uploaded_at=vendor_failures.upload_times_of_parts(
            config.vendors,
            vendor_inputs,
        ),
    )
