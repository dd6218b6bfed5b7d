"""Pauses of run creation, in the tenants table: ``PAUSE#<tenant_id>``, ``PAUSE#`` for everybody.

What a pause stops is decided in ``runs/submission.py``.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Codec, marshal
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import pause_key
from relay_dagster.aws.dynamodb.table import IS_THERE
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.runs.ports import Pause
from relay_dagster.tenants.audit import SYSTEM, Action, Origin

_PAUSES = Codec(kind=Pause, in_key="tenant_id")


@dataclass(frozen=True, slots=True)
class PauseStore:
    """Pauses that are in force."""

    database: Database

    def of(self, tenant_id: str) -> Pause | None:
        """Return the pause that stops a tenant's runs, that of all tenants first; None for none.

        Raises:
            UnreadableItemError: there is one, and this release cannot read it.
        """
        found = self.database.tenants.batch([pause_key(None), pause_key(tenant_id)])
        for scope in (None, tenant_id):
            item = found.get(pause_key(scope))
            if item is not None:
                return self.database.tenants.parse(item, _to_pause)
        return None

    @maps_aws_errors
    def in_force(self) -> list[Pause]:
        """Return all pauses, that of all tenants first, then by tenant; of an index, which lags."""
        table = self.database.tenants
        rows = table.partition(schema.TENANTS_BY_CREATION, (schema.LISTED, schema.ALL_PAUSES))
        keys = sorted({pause_key(None), *(str(row[schema.KEY]) for row in rows)})
        return [*table.read_all(keys, _to_pause)]

    def begin(
        self,
        tenant_id: str | None,
        reason: str,
        public_reason: str | None = None,
        *,
        origin: Origin = SYSTEM,
    ) -> Pause:
        """Stop new runs; where they are stopped already, the new reason counts.

        Raises:
            TenantClosingError: the tenant is being deleted: nothing is started anyway.
        """
        pause = Pause(tenant_id, reason, self.database.clock(), public_reason)
        listed = {
            schema.LISTED: schema.ALL_PAUSES,
            schema.CREATED_KEY: schema.by_time(pause.paused_at, tenant_id or ""),
        }
        item = marshal({schema.KEY: pause_key(tenant_id), **_PAUSES.attributes(pause), **listed})
        details = {"reason": reason, "public_reason": public_reason}
        self.database.transact_while_active(
            tenant_id,
            self.database.tenants.over("pause", item, _PAUSES.names | item.keys()),
            self._audit_write(Action.RUNS_PAUSED, tenant_id, origin, **details),
        )
        return pause

    def end(
        self, tenant_id: str | None, reason: str | None = None, *, origin: Origin = SYSTEM
    ) -> None:
        """Let new runs in again; a pause of the other scope stays in force."""
        write = self.database.tenants.write(
            "pause", "Delete", pause_key(tenant_id), condition=IS_THERE
        )
        with suppress(ConditionsFailedError):  # there was none: nothing is done
            self.database.transact(
                write, self._audit_write(Action.RUNS_RESUMED, tenant_id, origin, reason=reason)
            )

    def _audit_write(
        self, action: Action, tenant_id: str | None, origin: Origin, **details: Any
    ) -> Write:
        now = self.database.clock()
        return self.database.audit_write(origin.entry(action, tenant_id, tenant_id, now, **details))


def _to_pause(item: Mapping[str, Any]) -> Pause:
    scope = str(item[schema.KEY]["S"]).removeprefix(pause_key(None))
    return _PAUSES.read(item, scope or None)
