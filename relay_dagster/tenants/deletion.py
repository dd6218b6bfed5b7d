"""A tenant's deletion as it is kept, and the rules by which it goes on.

Frozen values only: how it is stored is ``aws/dynamodb/deletion_store.py``, who carries it out
``maintenance/deletion.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from relay_dagster.tenants.errors import RestoreTooLateError

SWEPT_AFTER = timedelta(minutes=20)
"""After which a deleted tenant's places are looked through once more.

A form for an upload is good for 15 minutes, and so what was made just before may be used after.
"""


class TenantState(StrEnum):
    """How a tenant stands: it works, it may still be restored, it is removed, it was."""

    ACTIVE = "ACTIVE"
    CLOSING = "CLOSING"
    DELETING = "DELETING"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How far a tenant's deletion is. Instants are aware, UTC.

    ``stopped_at`` is when nothing of the tenant was under way any more. ``step`` is the next to be
    taken, None for the first, and ``mark`` where in it to go on; ``found`` what the steps of this
    round have removed so far, ``removed`` what each has removed in all. ``due_at`` is when it goes
    on, None for never again; while ``is_swept`` a deleted tenant cannot be made anew. ``asked_by``
    is forgotten in the end.
    """

    tenant_id: str
    state: TenantState
    asked_at: datetime
    delete_after: datetime
    asked_by: str | None = None
    stopped_at: datetime | None = None
    deleting_since: datetime | None = None
    deleted_at: datetime | None = None
    step: str | None = None
    mark: str | None = None
    found: int = 0
    removed: Mapping[str, int] = field(default_factory=dict)
    is_swept: bool = False
    due_at: datetime | None = None
    revision: int = 0

    @property
    def is_under_way(self) -> bool:
        """Whether the tenant is there and nothing is made for it."""
        return self.state in (TenantState.CLOSING, TenantState.DELETING)

    def refuse_late(self, now: datetime) -> None:
        """Refuse to restore a tenant whose time is over; `RestoreTooLateError` where it is."""
        if self.state is not TenantState.CLOSING or self.delete_after <= now:
            raise RestoreTooLateError(self.tenant_id)


def asked(tenant_id: str, by: str | None, now: datetime, grace: timedelta) -> Deletion:
    """Return the deletion of a tenant that is asked for."""
    return Deletion(
        tenant_id=tenant_id,
        state=TenantState.CLOSING,
        asked_at=now,
        delete_after=now + grace,
        asked_by=by,
        due_at=now,
    )


def stopped(deletion: Deletion, now: datetime) -> Deletion:
    """Return it with nothing of the tenant under way: it rests until its time has come."""
    return replace(deletion, stopped_at=now, due_at=deletion.delete_after)


def begun(deletion: Deletion, now: datetime) -> Deletion:
    """Return it with its time come: from here there is no way back."""
    return replace(deletion, state=TenantState.DELETING, deleting_since=now, due_at=now)


def noted(
    deletion: Deletion,
    step: str,
    count: int,
    upcoming: str | None,
    mark: str | None = None,
) -> Deletion:
    """Return it with what a step has removed, and the next step: None begins a round."""
    removed = {**deletion.removed, step: deletion.removed.get(step, 0) + count}
    found = deletion.found + count
    return replace(deletion, step=upcoming, mark=mark, found=found, removed=removed)


def next_round(deletion: Deletion) -> Deletion:
    """Return it at the beginning of a round: what the last has found may not have been all."""
    return replace(deletion, step=None, found=0)


def put_off(deletion: Deletion, until: datetime) -> Deletion:
    """Return it due later, behind others."""
    return replace(deletion, due_at=until)


def done(deletion: Deletion, now: datetime) -> Deletion:
    """Return the tombstone, which tells of no person; its places are swept once more."""
    return replace(
        next_round(deletion),
        state=TenantState.DELETED,
        deleted_at=now,
        asked_by=None,
        due_at=now + SWEPT_AFTER,
    )


def sweeping(tombstone: Deletion) -> Deletion:
    """Return a tombstone whose tenant cannot be made anew for the moment."""
    return replace(next_round(tombstone), is_swept=True)


def swept(tombstone: Deletion) -> Deletion:
    """Return a tombstone that nothing is to be done about any more."""
    return replace(next_round(tombstone), is_swept=False, due_at=None)
