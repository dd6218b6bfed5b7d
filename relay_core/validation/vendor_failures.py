"""A vendor's own failure, and its consequence by the vendor's config.

``on_trouble`` decides: the run fails, the vendor is left out, or its last good feed is
used instead, which is that of the run whose feed is published.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.inputs.parts import InputPart
from relay_core.config.inputs.uploads import FileKind
from relay_core.domain import run_faults
from relay_core.domain.codes import (
    CATALOG,
    FailureCode,
    Stage,
    VendorStatus,
    WarningCode,
)
from relay_core.domain.input_names import name_of
from relay_core.domain.limits import Limits
from relay_core.domain.records import ReportEntry, RunFailure
from relay_core.domain.run_codes import VENDOR_ROWS
from relay_core.validation.file_ages import failure_of_files

_HOUR = timedelta(hours=1)
_INPUT_CODES = (
    FailureCode.REQUIRED_VENDOR_MISSING,
    FailureCode.STALE_FEED,
    FailureCode.FEED_TOO_LARGE,
    FailureCode.MISSING_SKU_MAP,
)
"""The failures of inputs; the first of these that a run has gives the run its code."""
_CODES_OF_ROWS = (
    FailureCode.NO_ROWS_PARSED,
    FailureCode.VALIDATION_ERRORS,
    VENDOR_ROWS,
)
ANY_PREFIX = "any prefix (inbound.type local is for the local runner)"
"""The expected location of a vendor's feed if its config names none in the bucket."""


class VendorState(NamedTuple):
    """The part of a vendor in a run, and the failure of its upload, if it has one."""

    status: VendorStatus  # the input that is used
    failure: ReportEntry | None = None  # the failure of the upload
    last_good_run_id: str | None = None  # the run whose input is used instead
    age_hours: int | None = None  # the age of that input, in whole hours


class InputFile(NamedTuple):
    """One file of a vendor's input, before it is read."""

    size: int  # the file's bytes
    # When the file was uploaded, aware; None if it has no age, as a local file.
    uploaded_at: datetime | None = None
    part_id: str | None = None  # the part that it is of; None for the base
    kind: FileKind = "full"  # whether it is full, or a delta of a full file


@dataclass(frozen=True, slots=True)
class VendorInput:
    """A vendor's files in reading order, and its SKU map, before they are read."""

    files: Sequence[InputFile]
    sku_map_size: int | None = None  # the map's bytes; None if there is no map

    @classmethod
    def of_one(
        cls,
        size: int,
        uploaded_at: datetime | None = None,
        sku_map_size: int | None = None,
    ) -> "VendorInput":
        """Return the input of a vendor of one file."""
        return cls((InputFile(size, uploaded_at),), sku_map_size)

    def of_part(self, part_id: str | None) -> list[InputFile]:
        """Return the files of a part, in reading order."""
        return [file for file in self.files if file.part_id == part_id]

    def uploaded_at(self, vendor: VendorConfig) -> datetime | None:
        """Return when the vendor's quantities were uploaded, if that is known.

        It is the time of the newest file of the part that gives them; of several parts,
        that of the oldest.
        """
        times = []
        for part in vendor.input_parts:
            uploaded_at = self.part_uploaded_at(part.part_id)
            if part.gives_quantity and uploaded_at is not None:
                times.append(uploaded_at)
        return min(times, default=None)

    def part_uploaded_at(self, part_id: str | None) -> datetime | None:
        """Return when the newest file of a part was uploaded, if that is known."""
        times = [
            file.uploaded_at
            for file in self.of_part(part_id)
            if file.uploaded_at is not None
        ]
        return max(times, default=None)


class LastGoodInputs(Protocol):
    """The inputs of the run whose feed is published."""

    run_id: str | None

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        """Return when the vendor's input was uploaded; None if the input is gone."""


@dataclass(frozen=True, slots=True)
class InputVerdict:
    """The consequence of the inputs that were found, and of those that are missing."""

    # The run's failure, if it fails for its inputs.
    failure: RunFailure | None = None
    faults: Sequence[ReportEntry] = ()  # the reasons of the failure
    # One warning for each vendor whose own upload is not used.
    warnings: Sequence[ReportEntry] = ()
    # The part of each vendor in the run, in the order of the config.
    states: Mapping[str, VendorState] = field(default_factory=dict)
    # When each vendor's upload came, aware, if that is known.
    uploaded_at: Mapping[str, datetime] = field(default_factory=dict)
    # When the newest file of each part came, by the part's id, of each vendor of several
    # files. None if the part has no file.
    parts_uploaded_at: Mapping[str, Mapping[str | None, datetime | None]] = (
        field(default_factory=dict)
    )
    # The failures of the parts that a vendor is used without, by vendor and part.
    parts_left_out: Mapping[str, Mapping[str, ReportEntry]] = field(
        default_factory=dict,
    )

    # The part of the catalog in the run, which reads it before all vendors; None for a
    # tenant without one.
    catalog: VendorState | None = None

    @property
    def reads_catalog(self) -> bool:
        """True if the run has a catalog that can be read."""
        return self.catalog is not None and self.catalog.status.is_used

    def to_read(self) -> list[str]:
        """Return the inputs to read: the catalog, and vendors' uploads or others."""
        vendor_ids = [
            name for name, state in self.states.items() if state.status.is_used
        ]
        return [CATALOG, *vendor_ids] if self.reads_catalog else vendor_ids


def may_be_empty(config: TenantConfig, vendor: VendorConfig) -> bool:
    """Return whether the run goes on if the vendor has no feed, or no row."""
    if not vendor.required:
        return True
    return config.error_policy.missing_required_vendor_policy == "warn_only"


def judge_inputs(
    config: TenantConfig,
    vendors: Sequence[VendorConfig],
    inputs: Mapping[str, VendorInput],
    *,
    requested_at: datetime,
    limits: Limits,
    last_good: LastGoodInputs | None,
    locations: Mapping[str, str],
) -> InputVerdict:
    """Decide which vendors have a feed and a SKU map that can be read.

    Args:
        config: The config.
        vendors: The vendors of the run, in the order of the config.
        inputs: The inputs that were found, by vendor.
        requested_at: The moment that ages are counted up to, aware.
        limits: The limits of inputs.
        last_good: The inputs that may be used instead.
        locations: The expected locations of feeds by the names of inputs, if not the
            prefixes.
    """
    states: dict[str, VendorState] = {}
    faults: list[ReportEntry] = []
    warnings: list[ReportEntry] = []
    failures_of_vendors: dict[str, Mapping[str | None, ReportEntry]] = {}
    for vendor in vendors:
        vendor_id = vendor.vendor_id
        upload = inputs.get(vendor_id)
        failures = failures_of_parts(
            vendor, upload, requested_at, locations, limits
        )
        failures_of_vendors[vendor_id] = failures
        failure = failure_of_input(vendor, upload, failures, limits)
        states[vendor_id] = VendorState(VendorStatus.FOUND)
        if failure is None:
            continue
        state = settle(vendor, failure, requested_at, last_good, upload=upload)
        states[vendor_id] = state or VendorState(VendorStatus.MISSING, failure)
        may_be_absent = is_absence(failure) and may_be_empty(config, vendor)
        if state is None and not may_be_absent:
            faults.append(failure)
        else:
            warnings.append(warning_of(vendor, states[vendor_id]))
    faults.sort(key=_rank_of_fault)
    return _verdict_of(
        vendors, inputs, states, faults, warnings, failures_of_vendors
    )


def _verdict_of(
    vendors: Sequence[VendorConfig],
    inputs: Mapping[str, VendorInput],
    states: Mapping[str, VendorState],
    faults: Sequence[ReportEntry],
    warnings: Sequence[ReportEntry],
    failures_of_vendors: Mapping[str, Mapping[str | None, ReportEntry]],
) -> InputVerdict:
    """Return the verdict on the inputs; the first fault gives the run its code."""
    faults = faults or nothing_left(states)
    return InputVerdict(
        failure=run_faults.failure_of(faults, Stage.FETCH_INPUTS),
        faults=tuple(faults),
        warnings=tuple(warnings),
        states=states,
        uploaded_at=upload_times(vendors, inputs),
        parts_uploaded_at=upload_times_of_parts(vendors, inputs),
        parts_left_out=_parts_left_out(states, failures_of_vendors),
    )


def _parts_left_out(
    states: Mapping[str, VendorState],
    failures: Mapping[str, Mapping[str | None, ReportEntry]],
) -> dict[str, dict[str, ReportEntry]]:
    """Return the failures of the parts that vendors are used without."""
    return {
        vendor_id: {
            str(part_id): failure
            for part_id, failure in failures[vendor_id].items()
        }
        for vendor_id, state in states.items()
        if state.status is VendorStatus.FOUND
    }


def upload_times(
    vendors: Iterable[VendorConfig],
    inputs: Mapping[str, VendorInput],
) -> dict[str, datetime]:
    """Return when each vendor's upload came, if that is known."""
    times = {}
    for vendor in vendors:
        if vendor.vendor_id in inputs:
            uploaded_at = inputs[vendor.vendor_id].uploaded_at(vendor)
            if uploaded_at is not None:
                times[vendor.vendor_id] = uploaded_at
    return times


def upload_times_of_parts(
    vendors: Iterable[VendorConfig],
    inputs: Mapping[str, VendorInput],
) -> dict[str, dict[str | None, datetime | None]]:
    """Return when each part's newest file came, of the vendors of several files."""
    no_files = VendorInput(())
    times = {}
    for vendor in vendors:
        if vendor.has_file_list:
            vendor_input = inputs.get(vendor.vendor_id, no_files)
            times[vendor.vendor_id] = {
                part.part_id: vendor_input.part_uploaded_at(part.part_id)
                for part in vendor.input_parts
            }
    return times


def _rank_of_fault(fault: ReportEntry) -> int:
    return _INPUT_CODES.index(FailureCode(fault.error_code))


def settle(
    vendor: VendorConfig,
    failure: ReportEntry,
    requested_at: datetime,
    last_good: LastGoodInputs | None,
    upload: VendorInput | None = None,
) -> VendorState | None:
    """Return the part of a failed vendor in the run; None if the run fails for it.

    Args:
        vendor: The vendor.
        failure: The vendor's failure.
        requested_at: The moment that ages are counted up to, aware.
        last_good: The inputs that may be used instead.
        upload: The vendor's own upload, which may be used if it is only too old.
    """
    if vendor.on_trouble == "last_good":
        uploaded_at = None
        run_id = None
        is_only_stale = failure.error_code == FailureCode.STALE_FEED
        if upload is not None and is_only_stale and not vendor.has_file_list:
            uploaded_at = upload.uploaded_at(vendor)
        elif last_good is not None:
            uploaded_at = last_good.uploaded_at(vendor.vendor_id)
            run_id = last_good.run_id
        age = None if uploaded_at is None else requested_at - uploaded_at
        if age is not None and age <= vendor.last_good.max_age_hours * _HOUR:
            age_hours = max(0, age // _HOUR)
            return VendorState(
                VendorStatus.LAST_GOOD,
                failure,
                run_id,
                age_hours,
            )
    return left_out(vendor, failure)


def left_out(vendor: VendorConfig, failure: ReportEntry) -> VendorState | None:
    """Return the state of a failed vendor that is left out.

    Return None if the run fails for it.
    """
    is_optional = vendor.on_trouble != "fail" and not vendor.required
    if vendor.on_trouble == "leave_out" or is_optional:
        return VendorState(VendorStatus.LEFT_OUT, failure)
    return None


def is_absence(failure: ReportEntry) -> bool:
    """Return whether a vendor failed because it has no feed, or no rows."""
    return failure.error_code in (
        FailureCode.REQUIRED_VENDOR_MISSING,
        WarningCode.OPTIONAL_VENDOR_MISSING,
        FailureCode.STALE_FEED,
        FailureCode.NO_ROWS_PARSED,
    )


def warning_of(vendor: VendorConfig, state: VendorState) -> ReportEntry:
    """Return the warning about a vendor whose own upload is not used.

    Raises:
        ValueError: The vendor has not failed.
    """
    failure = state.failure
    if failure is None:
        raise ValueError(
            f"vendor {vendor.vendor_id!r} has no failure to tell of",
        )
    if state.status is VendorStatus.LAST_GOOD:
        return run_faults.fault_of(
            WarningCode.VENDOR_LAST_GOOD,
            vendor.vendor_id,
            failure=failure,
            hours=state.age_hours or 0,
            max_hours=vendor.last_good.max_age_hours,
        )
    is_optional = failure.error_code == WarningCode.OPTIONAL_VENDOR_MISSING
    if state.status is VendorStatus.MISSING or is_optional:
        return failure
    code = WarningCode.VENDOR_LEFT_OUT
    return run_faults.fault_of(code, vendor.vendor_id, failure=failure)


def nothing_left(states: Mapping[str, VendorState]) -> list[ReportEntry]:
    """Return the fault of a run that uses no vendor and leaves one out.

    The merge finds the other runs that use no vendor.
    """
    if any(state.status.is_used for state in states.values()):
        return []
    for state in states.values():
        if state.status is not VendorStatus.LEFT_OUT or state.failure is None:
            continue
        if state.failure.error_code != WarningCode.OPTIONAL_VENDOR_MISSING:
            return [state.failure]
    return []


def stage_of(failure: ReportEntry) -> Stage:
    """Return the stage in which a run ends for a failure of reading."""
    if failure.error_code in _CODES_OF_ROWS:
        return Stage.MERGE_PRICE
    return Stage.NORMALIZE


def failure_of_input(
    vendor: VendorConfig,
    upload: VendorInput | None,
    failures: Mapping[str | None, ReportEntry],
    limits: Limits,
) -> ReportEntry | None:
    """Return the failure of a vendor's files or of its SKU map, if there is one.

    ``failures`` are those of its parts; a part that is not required fails no vendor.
    """
    for part in vendor.input_parts:
        if part.required and part.part_id in failures:
            return failures[part.part_id]
    if upload is None:
        return None
    return _failure_of_sku_map(vendor, upload.sku_map_size, limits)


def failures_of_parts(
    vendor: VendorConfig,
    upload: VendorInput | None,
    requested_at: datetime,
    locations: Mapping[str, str],
    limits: Limits,
) -> dict[str | None, ReportEntry]:
    """Return the failures of the parts whose files cannot be used, by part.

    ``locations`` are the expected locations by the names of inputs, if not the prefixes.
    """
    failures = {}
    for part in vendor.input_parts:
        files = [] if upload is None else upload.of_part(part.part_id)
        failure = failure_of_files(
            vendor.vendor_id,
            part,
            [file.uploaded_at for file in files],
            requested_at,
        )
        if failure is None and not files:
            name = name_of(vendor.vendor_id, part.part_id)
            failure = _absence_of(vendor, part, locations.get(name))
        for file in files:
            if failure is None and file.size > limits.feed_bytes:
                failure = run_faults.too_large(
                    vendor.vendor_id,
                    "feed",
                    file.size,
                    limits.feed_bytes,
                    part_id=part.part_id,
                )
        if failure is not None:
            failures[part.part_id] = failure
    return failures


def _absence_of(
    vendor: VendorConfig,
    part: InputPart,
    location: str | None,
) -> ReportEntry:
    """Return the failure of a part without files.

    ``location`` is the expected location of the files, if not the prefix.
    """
    code = WarningCode.OPTIONAL_VENDOR_MISSING
    if vendor.required and part.required:
        code = WarningCode.REQUIRED_VENDOR_MISSING
    return run_faults.fault_of(
        code,
        vendor.vendor_id,
        part_id=part.part_id,
        location=location or part.inbound.s3_prefix or ANY_PREFIX,
    )


def _failure_of_sku_map(
    vendor: VendorConfig,
    size: int | None,
    limits: Limits,
) -> ReportEntry | None:
    """Return the failure of a vendor's SKU map; ``size`` is None if there is no map."""
    if size is None:
        if vendor.sku_map is None:
            return None
        location = str(vendor.sku_map.s3_key or vendor.sku_map.local_path)
        code = FailureCode.MISSING_SKU_MAP
        return run_faults.fault_of(code, vendor.vendor_id, location=location)
    limit = limits.sku_map_bytes
    if size > limit:
        return run_faults.too_large(vendor.vendor_id, "SKU map", size, limit)
    return None
