"""Pulls of vendors' files: request one now. The sensors make the pulls."""

from typing import Annotated

from fastapi import Path, Query

from relay_core.domain.input_names import name_of
from relay_dagster.api.http.error_codes import STORED_CONFIG, responds_with
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import TenantId, router
from relay_dagster.api.routes.tenants import find_config
from relay_dagster.api.security.auth import MayRun
from relay_dagster.api.security.rate_limits import RateLimitedError
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import ID_PATTERN
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
    part_id: Annotated[
        str | None,
        Query(
            description="The ID of a part of the vendor. The default is the vendor's own "
            "file.",
            pattern=ID_PATTERN,
        ),
    ] = None,
) -> PullStanding:
    """Pull a vendor's file now. You can request this once in 5 minutes per file.

    If a pull of the file is already running, the next one starts when it is finished.
    """
    config = call.platform.tenants.parsed(find_config(call.platform, tenant_id))
    input_name = name_of(vendor_id, part_id)
    pull = pulls.configured_pulls(config).get(input_name)
    if pull is None:
        noun = "vendor" if part_id is None else "part"
        message = (
            f"the config does not have this {noun}, or does not pull its file"
        )
        raise ProblemError("NO_PULL", message)
    now = utc_now()
    note_pull = pulls.noted(pull, now)
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

    entry = call.origin.entry(Action.PULL_ASKED, tenant_id, input_name, now)
    state = call.platform.pulls.change(
        tenant_id, input_name, rule, audited=entry
    )
    _log.info("pull_asked", tenant_id=tenant_id, input=input_name)
    return PullStanding() if state is None else PullStanding.of(state)
