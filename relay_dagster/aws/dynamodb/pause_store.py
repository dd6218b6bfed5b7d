"""Pauses of run creation, in the tenants table: ``PAUSE#<tenant_id>``, ``PAUSE#`` for everybody.

What a pause stops is decided in ``runs/submission.py``.
"""

from dataclasses import dataclass

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Codec, by_time
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import IS_THERE
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
        keys = [Kind.PAUSE.key(scope) for scope in ("", tenant_id)]
        found = self.database.tenants.in_order(keys)
        return self.database.tenants.parse(found[0], _PAUSES.read) if found else None

    @maps_aws_errors
    def in_force(self) -> list[Pause]:
        """Return all pauses, that of all tenants first, then by tenant; of an index, which lags."""
        table = self.database.tenants
        rows = table.partition(schema.TENANTS_BY_CREATION, (schema.LISTED, schema.ALL_PAUSES))
        keys = sorted({Kind.PAUSE.key(""), *(str(row[schema.KEY]) for row in rows)})
        return [*table.read_all(keys, _PAUSES.read)]

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
            schema.CREATED_KEY: by_time(pause.paused_at, tenant_id or ""),
        }
        item = _PAUSES.item(Kind.PAUSE.key(tenant_id or ""), pause, **listed)
        details = {"reason": reason, "public_reason": public_reason}
        paused = Action.RUNS_PAUSED
        self.database.transact_while_active(
            tenant_id,
            self.database.tenants.over("pause", item, _PAUSES.names | item.keys()),
            self.database.audited(origin, paused, tenant_id, tenant_id, **details),
        )
        return pause

    def end(
        self, tenant_id: str | None, reason: str | None = None, *, origin: Origin = SYSTEM
    ) -> None:
        """Let new runs in again; a pause of the other scope stays in force."""
        key, resumed = Kind.PAUSE.key(tenant_id or ""), Action.RUNS_RESUMED
        # Where there was none, nothing is done
        self.database.carry_out(
            self.database.tenants.write("pause", "Delete", key, condition=IS_THERE),
            self.database.audited(origin, resumed, tenant_id, tenant_id, reason=reason),
        )
