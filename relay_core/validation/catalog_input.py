"""The catalog's own failure, for which a run fails behind the failures of vendors."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain import run_faults
from relay_core.domain.codes import CATALOG, Stage, VendorStatus, WarningCode
from relay_core.domain.limits import Limits
from relay_core.domain.records import CatalogFault
from relay_core.validation.vendor_failures import (
    ANY_PREFIX,
    InputVerdict,
    VendorInput,
    VendorState,
    failure_of_input,
    failures_of_parts,
)


def with_catalog(
    verdict: InputVerdict,
    config: TenantConfig,
    inputs: Mapping[str, VendorInput],
    *,
    requested_at: datetime,
    limits: Limits,
    locations: Mapping[str, str],
) -> InputVerdict:
    """Return the verdict on the inputs of vendors, with that on the catalog behind it.

    Args:
        verdict: The verdict on the inputs of vendors.
        config: The tenant's config.
        inputs: The inputs that were found, the catalog's too.
        requested_at: The moment that ages are counted up to, aware.
        limits: The limits of inputs.
        locations: The expected locations of files in messages, if not the prefixes.
    """
    if config.catalog is None:
        return verdict
    fault = _fault_of(
        config.catalog.as_vendor(),
        inputs.get(CATALOG),
        requested_at,
        locations,
        limits,
    )
    faults = [*verdict.faults, *([] if fault is None else [fault])]
    uploaded_at = dict(verdict.uploaded_at)
    catalog_time = (
        inputs[CATALOG].part_uploaded_at(None) if CATALOG in inputs else None
    )
    if catalog_time is not None:
        uploaded_at[CATALOG] = catalog_time
    return replace(
        verdict,
        failure=run_faults.failure_of(faults, Stage.FETCH_INPUTS),
        faults=tuple(faults),
        uploaded_at=uploaded_at,
        catalog=catalog_state(fault),
    )


def catalog_state(fault: CatalogFault | None) -> VendorState:
    """Return the part of the catalog in a run, which fails for a fault of it."""
    status = VendorStatus.FOUND if fault is None else VendorStatus.MISSING
    return VendorState(status, fault)


def fault_of_earlier(catalog: VendorState) -> CatalogFault | None:
    """Return the fault of the catalog of an earlier run whose rows are used again.

    They are not matched if that run could not use its catalog, or had none.
    """
    if catalog.status.is_used:
        return None
    failure = catalog.failure
    if failure is None:
        return run_faults.no_earlier_catalog()
    return CatalogFault(failure.error_code, failure.error_message, CATALOG)


def _fault_of(
    catalog: VendorConfig,
    upload: VendorInput | None,
    requested_at: datetime,
    locations: Mapping[str, str],
    limits: Limits,
) -> CatalogFault | None:
    """Return the fault of the catalog's upload, judged as a vendor's."""
    failures = failures_of_parts(
        catalog,
        upload,
        requested_at,
        locations,
        limits,
    )
    failure = failure_of_input(catalog, upload, failures, limits)
    if failure is None:
        return None
    if failure.error_code == WarningCode.REQUIRED_VENDOR_MISSING:
        location = locations.get(CATALOG) or catalog.inbound.s3_prefix
        location = location or ANY_PREFIX
        return run_faults.missing_catalog(CATALOG, location)
    return run_faults.of_catalog(failure)
