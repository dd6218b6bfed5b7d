"""Pulls of vendors' files: request one now. The sensors make the pulls."""

from relay_core.domain.input_names import name_of
from relay_dagster.http.problems import ProblemError
from relay_dagster.http.security.auth import Call
from relay_dagster.http.security.rate_limits import RateLimitedError
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.services.tenants import find_config
from relay_dagster.tenants.audit import Action
from relay_dagster.triggers import pulls
from relay_dagster.wire.tenants import PullStanding

_log = event_log()


def request_pull(
    tenant_id: str,
    vendor_id: str,
    call: Call,
    part_id: str | None = None,
) -> PullStanding:
    """Let a vendor's file be pulled now, and return the pull's status.

    Raises:
        ProblemError: The config has no such pull (422).
        RateLimitedError: The file's last pull on request was too recent.
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
    mark_requested = pulls.asked(now)

    def rule(state: pulls.PullState) -> pulls.PullState | None:
        wait = pulls.wait_to_ask(state, now)
        if wait:
            reason = (
                "the vendor's file can be pulled on request once in 5 minutes"
            )
            raise RateLimitedError(reason, wait.total_seconds())
        # The sensor may not have noted the pull yet.
        return mark_requested(note_pull(state) or state)

    entry = call.origin.entry(Action.PULL_ASKED, tenant_id, input_name, now)
    state = call.platform.pulls.change(
        tenant_id, input_name, rule, audited=entry
    )
    _log.info("pull_asked", tenant_id=tenant_id, input=input_name)
    return PullStanding() if state is None else PullStanding.of(state)
