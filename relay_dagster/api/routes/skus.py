"""Single SKUs: why a row of a run's feed is what it is, overrides, and prices that are accepted.

HTTP alone: the engine explains, through `engine_tasks`, from the run's files, and judges what an
override may say; what stands is the store's.
"""

import csv
import json
import sys
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Annotated, Any

from fastapi import Query

from relay_core.config import Override, load_overrides
from relay_core.config.overrides import ACCEPTED, MAX_SKU_BYTES
from relay_core.domain import errors
from relay_core.domain.codes import RunStatus
from relay_core.publish.keys import ArtifactKeys
from relay_core.sandbox import BusyError, TaskOutOfMemoryError, TaskTooSlowError
from relay_dagster.api.http.error_codes import STORED_CONFIG, responds_with
from relay_dagster.api.http.problems import ProblemError, invalid_request, unavailable
from relay_dagster.api.http.request_parsing import (
    RunId,
    TenantId,
    cursor_query,
    request_body,
    router,
)
from relay_dagster.api.limits import DEFAULT_API_LIMITS
from relay_dagster.api.routes.runs import find_run
from relay_dagster.api.routes.tenants import find_config, require_tenant
from relay_dagster.api.security.auth import MayConfigure, MayRead, MayRelease
from relay_dagster.aws.overrides import MAX_OVERRIDES
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import QuotaExceededError
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire import skus as wire
from relay_dagster.wiring import Platform

routes = router("skus")
_log = event_log()
_MAX_BYTES = DEFAULT_API_LIMITS.answer_bytes - (64 << 10)
"""A page of overrides is no longer, as JSON."""


@routes.get("/v1/runs/{run_id}/explain")
@responds_with(
    "SKU_NOT_FOUND",
    "RUN_NOT_MERGED",
    "ARTIFACTS_EXPIRED",
    "EXPLAIN_TOO_SLOW",
    "EXPLANATIONS_BUSY",
)
def explain_sku(
    run_id: RunId,
    call: MayRead,
    sku: Annotated[str, Query(description="As in the feed, after the SKU map.")],
) -> wire.Explanation:
    """Explain a SKU's row of a run's feed: every offer, and each step of the price.

    Of a run that has published its feed, or has held it back.
    """
    record = find_run(run_id, call)
    if record.published_at is None and record.hold is None:  # nor has it ever been
        raise errors.RunNotMergedError(
            f"run {run_id} is {record.status}: it has neither published its feed nor held it back; "
            "ask for a run of all vendors that has"
        )
    try:
        explained = call.parts.tasks.explain(call.platform.objects, record.keys, sku)
        return wire.Explanation(**explained)
    except BusyError as error:
        raise unavailable("EXPLANATIONS_BUSY", "others are being explained") from error
    except (TaskTooSlowError, TaskOutOfMemoryError) as error:
        message = "has too many rows to be explained; errors.json and normalized.csv have them"
        fault = errors.ConfigFault("sku", message)
        raise ProblemError("EXPLAIN_TOO_SLOW", str(fault), errors=[fault]) from error


# --- overrides ---------------------------------------------------------------------------------


@routes.post("/v1/tenants/{tenant_id}/overrides:put")
@responds_with("TENANT_CLOSING", "OVERRIDE_QUOTA_EXCEEDED", *STORED_CONFIG)
def put_overrides(
    tenant_id: TenantId,
    call: MayConfigure,
    asked: Annotated[wire.OverridesRequest, request_body(wire.OverridesRequest)],
) -> wire.ChangedOverrides:
    """Put each override in place of that of its SKU, all of them or none; the next run uses them.

    What was accepted of a SKU stays.
    """
    config = call.platform.tenants.parsed(find_config(call.platform, tenant_id))
    vendor_ids = [vendor.vendor_id for vendor in config.vendors]
    wanted = _read(asked.overrides, vendor_ids)
    change = call.platform.overrides.put(tenant_id, wanted, call.origin)
    _log.info(
        "overrides_put",
        tenant_id=tenant_id,
        version=change.version,
        changed=change.changed,
    )
    return wire.ChangedOverrides.of(change)


def _read(
    documents: Sequence[Mapping[str, Any]], vendor_ids: Sequence[str]
) -> Sequence[Override]:
    """Return the overrides of a body; `ProblemError` 422 with every fault and its path."""
    faults = [
        errors.ConfigFault(
            f"overrides.{place}.{name}", "is set by accept alone; leave it out"
        )
        for place, each in enumerate(documents)
        for name in ACCEPTED
        if each.get(name) is not None
    ]
    try:
        read = load_overrides(documents, vendor_ids)
    except errors.ConfigError as error:
        raise invalid_request([*faults, *error.faults]) from error
    now = utc_now()
    past = "lies in the past; name a later instant"
    faults += [
        errors.ConfigFault(f"overrides.{place}.expires_at", past)
        for place, each in enumerate(read)
        if each.expires_at is not None and each.expires_at <= now
    ]
    if faults:
        raise invalid_request(faults)
    return read


@routes.get("/v1/tenants/{tenant_id}/overrides")
def list_overrides(
    tenant_id: TenantId,
    call: MayRead,
    limit: Annotated[
        int, Query(ge=1, le=1000, description="How many at the most.")
    ] = 100,
    cursor: Annotated[str | None, cursor_query(max_length=1024)] = None,
) -> wire.OverrideList:
    """List a tenant's overrides by SKU, with what was accepted; those that are over are not shown.

    A page may be shorter than `limit`; as long as it has a `next_cursor` there are more.
    """
    require_tenant(call.platform, tenant_id)
    document, now = call.platform.overrides.document(tenant_id), utc_now()
    standing = {
        sku: left for sku, one in document.overrides.items() if (left := one.at(now))
    }
    behind = [one for sku, one in standing.items() if cursor is None or sku > cursor]
    shown = [one.as_dict() for one in behind[:limit]]
    ends = accumulate(
        len(json.dumps(each, ensure_ascii=False).encode()) for each in shown
    )
    page = shown[: max(1, bisect_right([*ends], _MAX_BYTES))]
    # The SKUs whose override the run of the feed in force used for no offer.
    feed = call.platform.runs.feed(tenant_id)
    key = (
        ArtifactKeys(feed.in_force.run_id, tenant_id).unused_overrides if feed else None
    )
    data = call.platform.objects.read_or_none(key) if key else None
    return wire.OverrideList(
        version=document.version,
        count=len(standing),
        unused=None if data is None else len(standing.keys() & set(json.loads(data))),
        overrides=page,
        next_cursor=page[-1]["sku"] if len(page) < len(behind) else None,
    )


@routes.post("/v1/tenants/{tenant_id}/overrides:remove")
@responds_with("TENANT_CLOSING")
def remove_overrides(
    tenant_id: TenantId,
    call: MayConfigure,
    asked: Annotated[
        wire.OverrideRemovalRequest, request_body(wire.OverrideRemovalRequest)
    ],
) -> wire.ChangedOverrides:
    """Remove the overrides of SKUs, with what was accepted of them; one that has none is fine."""
    require_tenant(call.platform, tenant_id)
    change = call.platform.overrides.remove(
        tenant_id, frozenset(asked.skus), call.origin
    )
    facts = {"version": change.version, "changed": change.changed}
    _log.info("overrides_removed", tenant_id=tenant_id, **facts)
    return wire.ChangedOverrides.of(change)


@routes.post("/v1/runs/{run_id}/accept")
@responds_with(
    "RUN_NOT_MERGED",
    "SKU_NOT_QUARANTINED",
    "TENANT_CLOSING",
    "OVERRIDE_QUOTA_EXCEEDED",
    "ARTIFACTS_EXPIRED",
)
def accept_skus(
    run_id: RunId,
    call: MayRelease,
    asked: Annotated[wire.AcceptRequest, request_body(wire.AcceptRequest)],
) -> wire.AcceptedSkus:
    """Accept prices that a run has kept back, all of them or none; the next run publishes them.

    For 30 days, of a run that was published or is held.
    """
    record = find_run(run_id, call)
    if record.published_at is None and record.status is not RunStatus.HELD:
        raise errors.RunNotMergedError(
            f"run {run_id} is {record.status}: its feed is neither published nor held back"
        )
    wanted = None if asked.skus is None else frozenset(asked.skus)
    prices = _quarantined_prices(call.platform, record, wanted)
    unknown = sorted((wanted or frozenset()) - prices.keys())
    if unknown or not prices:
        which = f"SKU {unknown[0][:200]!r}" if unknown else "any SKU"
        message = f"run {run_id} has not kept the published price of {which}; nothing is accepted"
        raise ProblemError("SKU_NOT_QUARANTINED", message)
    change = call.platform.overrides.accept(
        record.tenant_id, prices, record.run_id, asked.reason, call.origin
    )
    facts = {"caller": call.caller.id, "reason": asked.reason, **record.log_facts}
    _log.info("skus_accepted", changed=change.changed, **facts)
    return wire.AcceptedSkus(accepted=len(prices))


def _quarantined_prices(
    platform: Platform, record: RunRecord, wanted: Collection[str] | None
) -> dict[str, Decimal]:
    """Return the computed price of each SKU of a run's quarantine, or of those that are wanted.

    One that is too long for an override is none of them.
    """
    objects, key, prices = (
        platform.objects,
        record.keys.quarantine,
        dict[str, Decimal](),
    )
    size = objects.size_of(key)
    if size is None:
        if "quarantine" in record.artifacts or not objects.exists(
            record.keys.run_summary
        ):
            raise errors.ArtifactsExpiredError(f"{key} is gone")
        return prices
    csv.field_size_limit(sys.maxsize)  # a SKU is as long as a cell may be
    for row in csv.DictReader(_lines(objects.chunks(key, 0, size))):
        can_have_one = len(row["sku"].encode()) <= MAX_SKU_BYTES
        if can_have_one and (wanted is None or row["sku"] in wanted):
            prices[row["sku"]] = Decimal(row["price_computed"])
        if len(prices) > MAX_OVERRIDES:
            raise QuotaExceededError(
                "OVERRIDE_QUOTA_EXCEEDED", record.tenant_id, MAX_OVERRIDES
            )
    return prices


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Yield the lines of a file, each with its end, a piece of the file in memory."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (f"{line.decode()}\n" for line in lines)
    if rest:
        yield rest.decode()
