"""The files of a vendor after reading: their rows together, or the fault of one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from relay_core.config import VendorConfig
from relay_core.config.inputs.parts import InputPart
from relay_core.domain.codes import VendorStatus, WarningCode
from relay_core.domain.records import ReportEntry
from relay_core.domain.run_faults import fault_of, part_left_out
from relay_core.normalize.file_lists.listed_rows import (
    ListedRows,
    ListOptions,
)
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor import ReadFile


def combined(
    vendor: VendorConfig,
    files: Sequence[ReadFile],
    left_out: Mapping[str, ReportEntry],
    options: ListOptions,
) -> ListedRows | NormalizedVendor:
    """Return the rows of several files, or the vendor if one of them is unusable.

    Args:
        vendor: The vendor.
        files: The files after reading, in reading order.
        left_out: The failures of parts that are not read, by part.
        options: The values that all files share.
    """
    failures: dict[str | None, ReportEntry] = {}
    warnings: dict[str | None, list[ReportEntry]] = defaultdict(list)
    for file in files:
        part = file.part
        if not isinstance(file.rows, NormalizedVendor):
            warnings[part.part_id] += file.rows.vendor.warnings
            continue
        failure = _failure_of(file.rows)
        if failure is not None and part.required:
            return file.rows
        if failure is not None:
            failures.setdefault(part.part_id, failure)
    part_ids = {file.part.part_id for file in files}
    all_warnings: list[ReportEntry] = []
    for part in vendor.input_parts:
        part_id = part.part_id
        if part_id not in part_ids:
            absence = _absence_of(vendor, part)
            failures[part_id] = left_out.get(str(part_id), absence)
        if part_id in failures:
            all_warnings.append(part_left_out(failures[part_id], str(part_id)))
        else:
            all_warnings += warnings[part_id]
    return ListedRows(
        vendor,
        [file for file in files if file.part.part_id not in failures],
        all_warnings,
        options,
    )


def _failure_of(vendor: NormalizedVendor) -> ReportEntry | None:
    """Return the reason that a file cannot be used; None if it only has no rows."""
    if vendor.fault is not None:
        return vendor.fault
    if vendor.status is VendorStatus.LEFT_OUT:
        return vendor.warnings[0]
    return None


def _absence_of(vendor: VendorConfig, part: InputPart) -> ReportEntry:
    return fault_of(
        WarningCode.OPTIONAL_VENDOR_MISSING,
        vendor.vendor_id,
        part_id=part.part_id,
        location=part.inbound.s3_prefix or "its prefix",
    )
