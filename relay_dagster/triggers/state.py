"""What is kept of a tenant's triggers between two checks, and the update that a run makes of it.

Frozen values only. The rules are ``relay_dagster/triggers/rules.py``, how it is stored
``aws/dynamodb/trigger_store.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from relay_dagster.runs.model import Trigger


class TriggerQueue(StrEnum):
    """Which queue of the due index a tenant's triggers stand in.

    ``DUE`` is of those with a due time or uploads, ``WANTED`` of those whose run waits for its
    tenant or for the end of a pause: however many wait, what falls due does not wait behind them.
    """

    DUE = "trigger"
    WANTED = "follow_up"


@dataclass(frozen=True, slots=True, order=True)
class UploadEvent:
    """An upload as its event tells of it: when it was made, aware, and its key."""

    at: datetime
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerState:
    """What a tenant's triggers have come to. Instants are aware, UTC.

    ``cron`` and ``timezone`` are those that ``next_run_at`` was reckoned with, the due time that
    nobody has taken. ``uploads`` are the vendors that have uploaded something since the last run
    for an upload, which was made at ``upload_run_at``; their first and last events stand beside,
    and each vendor's ``newest``.
    ``wanted`` is the run whose time has come, ``wanted_since`` when it had: one where many times
    have come. ``due_at`` is when to check again, None for never.
    """

    tenant_id: str
    cron: str | None = None
    timezone: str | None = None
    next_run_at: datetime | None = None
    uploads: frozenset[str] = frozenset()
    first_upload_at: datetime | None = None
    last_upload_at: datetime | None = None
    newest: Mapping[str, UploadEvent] = field(default_factory=dict)
    upload_run_at: datetime | None = None
    wanted: Trigger | None = None
    wanted_since: datetime | None = None
    due_at: datetime | None = None
    revision: int = 0

    @property
    def queue(self) -> TriggerQueue:
        """Where to be found once it is due."""
        return TriggerQueue.DUE if self.wanted is None else TriggerQueue.WANTED


@dataclass(frozen=True, slots=True)
class TriggerUpdate:
    """What a run takes from its tenant's triggers in the transaction that makes its record."""

    before: TriggerState
    after: TriggerState
