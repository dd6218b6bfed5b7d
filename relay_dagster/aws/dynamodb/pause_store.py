"""Stores the pauses of run creation, in the tenants table.

A pause of one tenant is ``PAUSE#<tenant_id>``, a pause of all tenants is ``PAUSE#``.
``ledger/submission.py`` decides what a pause stops.
"""

from dataclasses import dataclass

from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.expressions import EXISTS
from relay_dagster.aws.dynamodb.schema import Kind, Partition
from relay_dagster.runs.ports import Pause
from relay_dagster.tenants.audit import SYSTEM, Action, Origin

_PAUSES = codec.Codec(kind=Pause, in_key="tenant_id")


@dataclass(frozen=True, slots=True)
class PauseStore:
    """The pauses that are in effect."""

    database: Database

    def of(self, tenant_id: str) -> Pause | None:
        """Return the pause that stops a tenant's runs, or None where there is none.

        The pause of all tenants comes before the tenant's own.
        """
        items = self.database.tenants.items(
            [Kind.PAUSE.key(""), Kind.PAUSE.key(tenant_id)],
        )
        return (
            self.database.tenants.parse(items[0], _PAUSES.read)
            if items
            else None
        )

    def in_force(self) -> list[Pause]:
        """Return all pauses, that of all tenants first, then by tenant.

        The index that finds the pauses of single tenants lags.
        """
        pauses = Partition(
            schema.TENANTS_BY_CREATION,
            schema.LISTED,
            schema.ALL_PAUSES,
        )
        keys = {
            str(row[schema.KEY]) for row in self.database.tenants.rows(pauses)
        }
        keys.add(Kind.PAUSE.key(""))
        return self.database.tenants.read_all(sorted(keys), _PAUSES.read)

    def begin(
        self,
        tenant_id: str | None,
        reason: str,
        public_reason: str | None = None,
        *,
        origin: Origin = SYSTEM,
    ) -> Pause:
        """Stop new runs of a tenant, or of all for None, or change the reason for it.

        Raises:
            TenantClosingError: The tenant is being deleted, so it has no new runs.
        """
        pause = Pause(tenant_id, reason, self.database.clock(), public_reason)
        name = tenant_id or ""
        index_keys = {
            schema.LISTED: schema.ALL_PAUSES,
            schema.CREATED_KEY: codec.by_time(pause.paused_at, name),
        }
        item = _PAUSES.item(Kind.PAUSE.key(name), pause, **index_keys)
        attributes = _PAUSES.names | item.keys()
        self.database.transact_while_active(
            tenant_id,
            self.database.tenants.overwrite("pause", item, attributes),
            self.database.audited(
                origin,
                Action.RUNS_PAUSED,
                tenant_id,
                tenant_id,
                reason=reason,
                public_reason=public_reason,
            ),
        )
        return pause

    def end(
        self,
        tenant_id: str | None,
        reason: str | None = None,
        *,
        origin: Origin = SYSTEM,
    ) -> None:
        """Allow new runs again, if there is a pause; one of the other scope stays."""
        key = Kind.PAUSE.key(tenant_id or "")
        self.database.carry_out(
            self.database.tenants.delete("pause", key, EXISTS),
            self.database.audited(
                origin,
                Action.RUNS_RESUMED,
                tenant_id,
                tenant_id,
                reason=reason,
            ),
        )
