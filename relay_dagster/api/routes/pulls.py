"""Pulls of vendors' files: one is asked for before it is due. The sensors make it."""

from typing import Annotated

from fastapi import Path

from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import answers
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import TenantId, router
from relay_dagster.api.routes.tenants import find_config
from relay_dagster.api.security.auth import Acting, MayRun
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from relay_dagster.triggers.pulls import PullState, asked, noted
from relay_dagster.wire.tenants import PullStanding

routes = router("uploads")
_log = event_log()


@routes.post(
    "/v1/tenants/{tenant_id}/vendors/{vendor_id}/pull",
    status_code=202,
    responses=answers(
        "TENANT_NOT_FOUND",
        "TENANT_CLOSING",
        "NO_PULL",
        "invalid_config",
        "unsupported_schema_version",
    ),
)
def ask_for_pull(
    tenant_id: TenantId,
    vendor_id: Annotated[str, Path(description="As the config has it.")],
    caller: MayRun,
    acting: Acting,
    platform: PlatformDep,
) -> PullStanding:
    """Let a vendor's file be pulled now, or once the pull under way is over."""
    config = platform.tenants.parsed(find_config(platform.tenants, tenant_id))
    vendor = next((each for each in config.vendors if each.vendor_id == vendor_id), None)
    if vendor is None or vendor.inbound.pull is None:
        raise ProblemError("NO_PULL", "the config has no vendor of that id whose file is pulled")
    pull, now = vendor.inbound.pull, utc_now()

    def rule(state: PullState) -> PullState | None:
        # One that no sensor has looked at yet is noted, too.
        return asked(now)(noted(pull, now)(state) or state)

    entry = acting.entry(Action.PULL_ASKED, tenant_id, vendor_id, now)
    state = platform.pulls.change(tenant_id, vendor_id, rule, audited=entry)
    _log.info("pull_asked", tenant_id=tenant_id, vendor_id=vendor_id)
    return PullStanding() if state is None else PullStanding.of(state)
