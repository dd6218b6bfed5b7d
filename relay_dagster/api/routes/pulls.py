"""Pulls of vendors' files: request one now. The sensors make the pulls."""

from typing import Annotated

from fastapi import Path

from relay_dagster.api.http.error_codes import STORED_CONFIG, responds_with
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import TenantId, router
from relay_dagster.api.routes.tenants import find_config
from relay_dagster.api.security.auth import MayRun
from relay_dagster.api.security.rate_limits import RateLimitedError
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from relay_dagster.triggers import pulls
from relay_dagster.wire.tenants import PullStanding

routes = router("uploads")
_log = event_log()


@routes.post(
    "/v1/tenants/{tenant_id}/vendors/{vendor_id}/pull", status_code=202
)
@responds_with("TENANT_CLOSING", "NO_PULL", *STORED_CONFIG)
def ask_for_pull(
    tenant_id: TenantId,
    vendor_id: Annotated[
        str, Path(description="The vendor's ID, as in the tenant's config.")
    ],
    call: MayRun,
) -> PullStanding:
    """Pull a vendor's file now. You can request this once in 5 minutes per vendor.

    If a pull of the file is already running, the next one starts when it is finished.
    """
    config = call.platform.tenants.parsed(find_config(call.platform, tenant_id))
    vendors = {vendor.vendor_id: vendor for vendor in config.vendors}
    vendor = vendors.get(vendor_id)
    if vendor is None or vendor.inbound.pull is None:
        message = (
            "the config does not have this vendor, or does not pull its file"
        )
        raise ProblemError("NO_PULL", message)
    now = utc_now()
    note_pull = pulls.noted(vendor.inbound.pull, now)
    request_pull = pulls.asked(now)

    def rule(state: pulls.PullState) -> pulls.PullState | None:
        wait = pulls.wait_to_ask(state, now)
        if wait:
            reason = (
                "the vendor's file can be pulled on request once in 5 minutes"
            )
            raise RateLimitedError(reason, wait.total_seconds())
        # The sensor may not have noted the pull yet.
        return request_pull(note_pull(state) or state)

    entry = call.origin.entry(Action.PULL_ASKED, tenant_id, vendor_id, now)
    state = call.platform.pulls.change(
        tenant_id, vendor_id, rule, audited=entry
    )
    _log.info("pull_asked", tenant_id=tenant_id, vendor_id=vendor_id)
    return PullStanding() if state is None else PullStanding.of(state)
