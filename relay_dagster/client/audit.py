"""The audit: who did what."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from relay_dagster.client.session import Limit, Session, Shown, argument, command, option
from relay_dagster.client.terminal import TableView

_MAX_PATHS = 3
_HIDDEN = ("changed_count", "expires_at", "sha256")

commands = typer.Typer()


@command(commands)
def audit(
    session: Session,
    tenant: Annotated[
        str | None, argument("[TENANT]", "Whose.", default="all that the key reaches")
    ] = None,
    action: Annotated[
        str | None, option("Only this, such as config.put; docs/API.md has them all.")
    ] = None,
    limit: Limit = 20,
) -> Shown:
    """Show who did what, newest first: entries of the last 400 days."""
    found = list(session.api.audit(tenant, action, limit))
    return Shown(found, lambda: AUDIT.show(session.screen, found))


def _details(details: Mapping[str, Any]) -> str:
    """Return the details of an act in one line; of many changed paths it has the first ones."""
    shown = {
        name: value
        for name, value in details.items()
        if value is not None and value != [] and name not in _HIDDEN
    }
    before, after = (shown.pop(f"config_version_{side}", None) for side in ("before", "after"))
    parts = [] if before is None else [f"config version {before} -> {after}"]
    return "; ".join([*parts, *(f"{name} {_shown(value)}" for name, value in shown.items())])


def _shown(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    rest = f" and {len(value) - _MAX_PATHS} more" if len(value) > _MAX_PATHS else ""
    return ", ".join(map(str, value[:_MAX_PATHS])) + rest


AUDIT = TableView(
    {
        "when": "occurred_at",
        "who": lambda entry: f"{entry.actor.name or entry.actor.id} ({entry.actor.kind})",
        "from": "address",
        "did": "action",
        "tenant": lambda entry: entry.tenant_id or "all",
        "target": "target",
        "details": lambda entry: _details(entry.details),
    },
    folded=("target", "details"),
    empty="the audit has no such entry",
)
