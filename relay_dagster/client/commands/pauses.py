"""Commands that pause and resume the creation of runs."""

from typing import Annotated

import typer

from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.session import (
    Output,
    Session,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import TableView, instant
from relay_dagster.wire import tenants as wire

commands = typer.Typer()
_PATH = "/v1/admin/pause"
_PAUSES = TableView(
    {
        "tenant_id": lambda pause: pause.tenant_id or "all",
        "since": "since",
        "reason": "reason",
        "public reason": "public_reason",
    },
    folded=("tenant_id", "reason", "public reason"),
    empty="Run creation is not paused.",
)
_TenantOrAll = Annotated[
    str | None,
    argument("TENANT", "Tenant ID; by default all tenants."),
]


@command(commands)
def pause(
    session: Session,
    tenant: _TenantOrAll = None,
    reason: Annotated[
        str | None,
        option("Reason, shown to admins only.", show_default=False),
    ] = None,
    public_reason: Annotated[
        str | None,
        option("Reason, shown to tenants.", show_default=False),
    ] = None,
) -> Output:
    """Pause the creation of runs, for one tenant or for all tenants.

    Without arguments and options, list the pauses.
    """
    if reason is None:
        if tenant is not None or public_reason is not None:
            raise BadUsageError(
                "Give a reason with --reason. To list the pauses, use no arguments and options.",
            )
        return _list_pauses(session)
    body = {
        "tenant_id": tenant,
        "reason": reason,
        "public_reason": public_reason,
    }
    result = session.api.request(wire.Pausing, "POST", _PATH, json=body)
    paused_at = instant(result.paused_at)
    line = f"Run creation is paused for {_scope(tenant)} since {paused_at}."
    return Output(result, lambda: session.screen.say(line))


@command(commands)
def resume(
    session: Session,
    tenant: _TenantOrAll = None,
    reason: Annotated[
        str | None,
        option("Reason, recorded in the audit log.", show_default=False),
    ] = None,
) -> None:
    """Resume the creation of runs, for one tenant or for all tenants.

    Resuming all tenants does not end the pause of a single tenant, and vice
    versa.
    """
    session.api.send(
        "DELETE",
        _PATH,
        json={"tenant_id": tenant, "reason": reason},
    )
    session.screen.say(
        f"Run creation is no longer paused for {_scope(tenant)}.",
    )


def _list_pauses(session: Session) -> Output:
    pages = session.api.pages(wire.PauseList, _PATH)
    pauses = [pause for page in pages for pause in page.pauses]
    document = {"pauses": [pause.as_json() for pause in pauses]}
    return Output(document, lambda: _PAUSES.show(session.screen, pauses))


def _scope(tenant_id: str | None) -> str:
    return "all tenants" if tenant_id is None else f"tenant {tenant_id}"
