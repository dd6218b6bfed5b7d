"""Keys and the audit as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from relay_dagster.client.terminal import Screen, instant
from relay_dagster.wire.access import AuditItem, ListedKey

_MOST_PATHS = 3
_HIDDEN = ("changed_count", "expires_at", "sha256")


def show_keys(screen: Screen, keys: Sequence[ListedKey]) -> None:
    """Write a table of keys, the newest last."""
    if not keys:
        screen.complain("the tenant has no keys")
        return
    names = ("key_id", "name", "scopes", "created", "by", "expires", "last used")
    rows = [
        (
            key.key_id,
            key.name,
            " ".join(key.scopes),
            instant(key.created_at),
            key.created_by or "-",
            "never" if key.expires_at is None else instant(key.expires_at),
            instant(key.last_used_at),
        )
        for key in sorted(keys, key=lambda key: key.created_at)
    ]
    screen.table(names, rows, folded=("name", "scopes"))


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
    rest = f" and {len(value) - _MOST_PATHS} more" if len(value) > _MOST_PATHS else ""
    return ", ".join(map(str, value[:_MOST_PATHS])) + rest
