"""The audit: who did what."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from relay_dagster.client.session import Limit, Session, Shown, command
from relay_dagster.client.terminal import Screen, instant
from relay_dagster.wire.access import AuditItem

_MAX_PATHS = 3
_HIDDEN = ("changed_count", "expires_at", "sha256")

commands = typer.Typer()


@command(commands)
def audit(
    session: Session,
    tenant: Annotated[
        str | None,
        typer.Argument(metavar="[TENANT]", help="Whose.", show_default="all that the key reaches"),
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this, such as config.put; docs/API.md has them all.")
    ] = None,
    limit: Limit = 20,
) -> Shown:
    """Show who did what, newest first: entries of the last 400 days."""
    found = list(session.api.audit(tenant, action, limit))
    return Shown(found, lambda: show_audit(session.screen, found))


def show_audit(screen: Screen, entries: Sequence[AuditItem]) -> None:
    """Write a table of who did what, in the order given."""
    if not entries:
        screen.complain("the audit has no such entry")
        return
    names = ("when", "who", "from", "did", "tenant", "target", "details")
    rows = [
        (
            instant(entry.occurred_at),
            _who(entry),
            entry.address or "-",
            entry.action,
            entry.tenant_id or "all",
            entry.target or "-",
            _details(entry.details),
        )
        for entry in entries
    ]
    screen.table(names, rows, folded=("target", "details"))


def _who(entry: AuditItem) -> str:
    name = entry.actor.name or entry.actor.id
    return f"{name} ({entry.actor.kind})"


def _details(details: Mapping[str, Any]) -> str:
    """Return what is told of an act in a line; of many paths that have changed the first."""
    told = {
        name: value
        for name, value in details.items()
        if value is not None and value != [] and name not in _HIDDEN
    }
    before, after = (told.pop(f"config_version_{side}", None) for side in ("before", "after"))
    parts = [] if before is None else [f"config version {before} -> {after}"]
    return "; ".join([*parts, *(f"{name} {_shown(value)}" for name, value in told.items())])


def _shown(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    rest = f" and {len(value) - _MAX_PATHS} more" if len(value) > _MAX_PATHS else ""
    return ", ".join(map(str, value[:_MAX_PATHS])) + rest
