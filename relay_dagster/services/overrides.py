"""Overrides of single SKUs, and accepted prices of a quarantine.

The engine judges overrides, and the store changes them.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from relay_core.config import Override, load_overrides
from relay_core.config.overrides import ACCEPTANCE, MAX_SKU_BYTES
from relay_core.domain import errors
from relay_core.domain.codes import RunStatus
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.overrides import MAX_OVERRIDES
from relay_dagster.http import problems
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.http.security.auth import (
    Call,
)
from relay_dagster.logs import event_log
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.services.quarantine_file import QuarantineFile
from relay_dagster.services.runs import find_run
from relay_dagster.services.tenants import find_config, require_tenant
from relay_dagster.tenants.errors import QuotaExceededError
from relay_dagster.wire import skus as wire
from relay_dagster.wiring import Platform

_log = event_log()

_MAX_PAGE_BYTES = DEFAULT_API_LIMITS.answer_bytes - (64 << 10)
"""The size of the JSON of a page of overrides, at most."""


def put_overrides(
    tenant_id: str,
    call: Call,
    body: wire.OverridesRequest,
) -> wire.ChangedOverrides:
    """Create or replace overrides, one per SKU: all of a request, or none.

    Raises:
        ProblemError: Some of them are not valid (422).
        RefusedError: The tenant has no config, is being deleted, or has too many.
    """
    config = call.platform.tenants.parsed(find_config(call.platform, tenant_id))
    vendor_ids = [vendor.vendor_id for vendor in config.vendors]
    overrides = _read_overrides(body.overrides, vendor_ids)
    change = call.platform.overrides.put(tenant_id, overrides, call.origin)
    _log.info(
        "overrides_put",
        tenant_id=tenant_id,
        version=change.version,
        changed=change.changed,
    )
    return wire.ChangedOverrides.of(change)


def _read_overrides(
    documents: Sequence[Mapping[str, Any]], vendor_ids: Sequence[str]
) -> Sequence[Override]:
    """Return the overrides of a request.

    Raises:
        ProblemError: Some of them are not valid (422, with the path of each error).
    """
    faults: list[errors.ConfigFault] = []
    for index, document in enumerate(documents):
        for name in ACCEPTANCE:
            if document.get(name) is not None:
                message = "can be set only by accepting a price; remove it"
                path = f"overrides.{index}.{name}"
                faults.append(errors.ConfigFault(path, message))
    try:
        overrides = load_overrides(documents, vendor_ids)
    except errors.ConfigError as error:
        raise problems.invalid_request([*faults, *error.faults]) from error
    now = utc_now()
    for index, override in enumerate(overrides):
        if override.expires_at is not None and override.expires_at <= now:
            message = "must be in the future"
            path = f"overrides.{index}.expires_at"
            faults.append(errors.ConfigFault(path, message))
    if faults:
        raise problems.invalid_request(faults)
    return overrides


def list_overrides(
    tenant_id: str,
    call: Call,
    limit: int = 100,
    cursor: str | None = None,
) -> wire.OverrideList:
    """Return a page of a tenant's overrides in effect, sorted by SKU.

    The page has fewer than ``limit`` overrides if they would make it too large.
    """
    require_tenant(call.platform, tenant_id)
    document = call.platform.overrides.document(tenant_id)
    now = utc_now()
    in_effect: dict[str, Override] = {}
    for sku, override in document.overrides.items():
        override_in_effect = override.in_effect_at(now)
        if override_in_effect is not None:
            in_effect[sku] = override_in_effect
    remaining = [
        override
        for sku, override in in_effect.items()
        if cursor is None or sku > cursor
    ]
    page = _bounded_page(remaining[:limit])
    unused_skus = _unused_skus(call.platform, tenant_id)
    return wire.OverrideList(
        version=document.version,
        count=len(in_effect),
        unused=None
        if unused_skus is None
        else len(in_effect.keys() & unused_skus),
        overrides=page,
        next_cursor=page[-1]["sku"] if len(page) < len(remaining) else None,
    )


def _bounded_page(overrides: Sequence[Override]) -> list[dict[str, Any]]:
    """Return the first overrides as JSON values, as many as a response has room for."""
    page: list[dict[str, Any]] = []
    size = 0
    for override in overrides:
        document = override.as_dict()
        size += len(json.dumps(document, ensure_ascii=False).encode())
        if page and size > _MAX_PAGE_BYTES:
            break
        page.append(document)
    return page


def _unused_skus(platform: Platform, tenant_id: str) -> set[str] | None:
    """Return the SKUs with an override that no vendor offered in the live feed's run.

    None if the run used no overrides, or if its files are gone.
    """
    pointer = platform.runs.feed(tenant_id)
    if pointer is None:
        return None
    key = ArtifactKeys(pointer.in_force.run_id, tenant_id).unused_overrides
    content = platform.objects.read_or_none(key)
    return None if content is None else set(json.loads(content))


def remove_overrides(
    tenant_id: str,
    call: Call,
    body: wire.OverrideRemovalRequest,
) -> wire.ChangedOverrides:
    """Remove the overrides and the accepted prices of SKUs that have any."""
    require_tenant(call.platform, tenant_id)
    skus = frozenset(body.skus)
    change = call.platform.overrides.remove(tenant_id, skus, call.origin)
    _log.info(
        "overrides_removed",
        tenant_id=tenant_id,
        version=change.version,
        changed=change.changed,
    )
    return wire.ChangedOverrides.of(change)


def accept_skus(
    run_id: str,
    call: Call,
    body: wire.AcceptRequest,
) -> wire.AcceptedSkus:
    """Accept new prices that a run quarantined: all that are requested, or none.

    Raises:
        RunNotMergedError: The run was neither published nor is it on hold.
        ArtifactsExpiredError: The run's quarantine was deleted.
        ProblemError: The run did not quarantine one of the SKUs (404).
    """
    record = find_run(run_id, call)
    if record.published_at is None and record.status is not RunStatus.HELD:
        raise errors.RunNotMergedError(
            f"run {run_id} is {record.status}, and its feed is neither published nor on "
            "hold; choose a run with a feed"
        )
    prices = _quarantined_prices(call.platform, record, body.skus)
    change = call.platform.overrides.accept(
        record.tenant_id, prices, record.run_id, body.reason, call.origin
    )
    _log.info(
        "skus_accepted",
        changed=change.changed,
        caller=call.caller.id,
        reason=body.reason,
        **record.log_facts,
    )
    return wire.AcceptedSkus(accepted=len(prices))


def _quarantined_prices(
    platform: Platform,
    record: RunRecord,
    requested_skus: Collection[str] | None,
) -> dict[str, Decimal]:
    """Return the computed prices of requested SKUs of a quarantine; None requests all.

    Raises:
        ArtifactsExpiredError: The run had a quarantine, and its file is gone.
        ProblemError: A requested SKU is not in the quarantine, or it has none at all.
        QuotaExceededError: There are more prices than a tenant can have overrides.
    """
    prices: dict[str, Decimal] = {}
    unknown_skus = set(requested_skus or ())
    file = QuarantineFile.find(platform.objects, record.keys)
    if file is None:
        _require_summary(platform, record)
    else:
        unknown_skus = {file.without_mark(sku) for sku in unknown_skus}
        skus = None if requested_skus is None else frozenset(unknown_skus)
        for number, (sku, price) in enumerate(file.prices(skus)):
            if number == MAX_OVERRIDES:
                raise QuotaExceededError(
                    "OVERRIDE_QUOTA_EXCEEDED", record.tenant_id, MAX_OVERRIDES
                )
            # A longer SKU cannot have an override.
            if len(sku.encode()) <= MAX_SKU_BYTES:
                prices[sku] = price
        unknown_skus -= prices.keys()
    if unknown_skus or not prices:
        sku = f"SKU {min(unknown_skus)[:200]!r}" if unknown_skus else "any SKU"
        message = (
            f"run {record.run_id} did not keep the published price of {sku}; "
            "no price was accepted"
        )
        raise problems.ProblemError("SKU_NOT_QUARANTINED", message)
    return prices


def _require_summary(platform: Platform, record: RunRecord) -> None:
    """Require that a run never had a quarantine: its summary is there, and no key of it.

    Raises:
        ArtifactsExpiredError: The run had a quarantine, or its files are gone.
    """
    had_quarantine = "quarantine" in record.artifacts
    if had_quarantine or not platform.objects.exists(record.keys.run_summary):
        raise errors.ArtifactsExpiredError(
            f"{record.keys.quarantine} was deleted; start a new run"
        )
