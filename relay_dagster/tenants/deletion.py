"""A tenant's deletion as it is stored, and the rules by which it goes on.

Frozen values only. ``aws/dynamodb/deletion_store.py`` stores a deletion, and
``maintenance/deletion.py`` carries it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from relay_dagster.tenants.errors import RestoreTooLateError

SWEPT_AFTER = timedelta(minutes=20)
"""The time after which the keys of a deleted tenant are searched once more.

An upload form is valid for 15 minutes, so one that was made just before the deletion
may be used after it.
"""


class TenantState(StrEnum):
    """The state of a tenant."""

    ACTIVE = "ACTIVE"  # it works
    CLOSING = "CLOSING"  # its deletion is requested; it can still be restored
    DELETING = "DELETING"  # its data are being removed
    DELETED = "DELETED"  # its data are gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """The progress of a tenant's deletion. Instants are aware, in UTC."""

    tenant_id: str
    state: TenantState
    asked_at: datetime
    delete_after: datetime  # until then the tenant can be restored
    asked_by: str | None = None  # the caller; forgotten in the end
    # When no run of the tenant was in progress any more
    stopped_at: datetime | None = None
    deleting_since: datetime | None = None
    deleted_at: datetime | None = None
    step: str | None = None  # the next step; None for the first
    mark: str | None = None  # where the step goes on
    found: int = 0  # how much the steps of this round have removed so far
    # How much, by step, in all
    removed: Mapping[str, int] = field(default_factory=dict)
    # Whether the keys are being searched; no new tenant in the meantime
    is_swept: bool = False
    # When the deletion goes on; None for never again.
    due_at: datetime | None = None
    revision: int = 0

    @property
    def is_under_way(self) -> bool:
        """Return True if the tenant exists and nothing is started or stored for it."""
        return self.state in (TenantState.CLOSING, TenantState.DELETING)

    def refuse_late(self, now: datetime) -> None:
        """Raise `RestoreTooLateError` if the tenant can no longer be restored."""
        if self.state is not TenantState.CLOSING or self.delete_after <= now:
            raise RestoreTooLateError(self.tenant_id)


def asked(
    tenant_id: str, by: str | None, now: datetime, grace: timedelta
) -> Deletion:
    """Return a requested deletion of a tenant; it is due at once."""
    return Deletion(
        tenant_id=tenant_id,
        state=TenantState.CLOSING,
        asked_at=now,
        delete_after=now + grace,
        asked_by=by,
        due_at=now,
    )


def stopped(deletion: Deletion, now: datetime) -> Deletion:
    """Return a deletion whose tenant has no run in progress: it waits for its time."""
    return replace(deletion, stopped_at=now, due_at=deletion.delete_after)


def begun(deletion: Deletion, now: datetime) -> Deletion:
    """Return a deletion whose time has come: the tenant cannot be restored any more."""
    return replace(
        deletion, state=TenantState.DELETING, deleting_since=now, due_at=now
    )


def noted(
    deletion: Deletion,
    step: str,
    count: int,
    upcoming: str | None,
    mark: str | None = None,
) -> Deletion:
    """Return a deletion after a step that has removed ``count`` things.

    ``upcoming`` is the next step; None begins a new round with the first one.
    """
    removed_by_step = deletion.removed.get(step, 0) + count
    return replace(
        deletion,
        step=upcoming,
        mark=mark,
        found=deletion.found + count,
        removed={**deletion.removed, step: removed_by_step},
    )


def next_round(deletion: Deletion) -> Deletion:
    """Return a deletion at the beginning of a round.

    A round that has removed something is followed by another, which may find more.
    """
    return replace(deletion, step=None, found=0)


def postponed(deletion: Deletion, until: datetime) -> Deletion:
    """Return a deletion that is due later, behind others."""
    return replace(deletion, due_at=until)


def done(deletion: Deletion, now: datetime) -> Deletion:
    """Return the tombstone of a deletion: it names no person, and is swept once."""
    return replace(
        next_round(deletion),
        state=TenantState.DELETED,
        deleted_at=now,
        asked_by=None,
        due_at=now + SWEPT_AFTER,
    )


def sweeping(tombstone: Deletion) -> Deletion:
    """Return a tombstone whose keys are being searched: no tenant begins in the meantime."""
    return replace(next_round(tombstone), is_swept=True)


def swept(tombstone: Deletion) -> Deletion:
    """Return a tombstone that is never due again."""
    return replace(next_round(tombstone), is_swept=False, due_at=None)
