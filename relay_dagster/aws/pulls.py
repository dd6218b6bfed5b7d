"""What vendors' pulls have come to, in the runs table: an item a vendor, found by when it is due.

Items change by rules: each is read, changed on condition that nobody else has changed it, and read
again otherwise. The rules are in ``relay_dagster/triggers/pulls.py``.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Codec, Item
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Kind, due_place
from relay_dagster.aws.dynamodb.webhook_store import new_event_write
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.triggers.pulls import PullQueue, PullState, Rule
from relay_dagster.webhooks.model import Event

_PULLS = Codec(kind=PullState)


@dataclass(frozen=True, slots=True)
class PullStore:
    """The pulls of all tenants' vendors."""

    database: Database

    def of_vendors(self, tenant_id: str, vendor_ids: Iterable[str]) -> dict[str, PullState]:
        """Return what there is of a tenant's vendors, by vendor, read consistently."""
        keys = [Kind.PULL.key(tenant_id, each) for each in vendor_ids]
        return {each.vendor_id: each for each in self.database.runs.read_all(keys, _PULLS.read)}

    def due(self, until: datetime, limit: int, besides: Collection[str] = ()) -> list[PullState]:
        """Return up to ``limit`` pulls that are due up to an instant, the longest due first."""
        return self.database.runs.read_due(PullQueue.PULL, until, limit, _PULLS.read, besides)

    def change(
        self,
        tenant_id: str,
        vendor_id: str,
        rule: Rule,
        *,
        event: Callable[[PullState, PullState], Event | None] = lambda before, after: None,
        audited: AuditEntry | None = None,
        must_be_active: bool = True,
    ) -> PullState | None:
        """Change a pull by a rule, and return it as it now stands; None where it stays.

        ``event`` returns what webhooks are told. What ends or puts off needs no active tenant.

        Raises:
            TenantClosingError: the tenant is being deleted.
            Exception: whatever the rule raises.
        """

        def try_once() -> PullState | None:
            found = self.database.runs.read(Kind.PULL.key(tenant_id, vendor_id), _PULLS.read)
            before = found or PullState(tenant_id=tenant_id, vendor_id=vendor_id)
            after = rule(before)
            if after is None:
                return None
            after = replace(after, revision=before.revision + 1)
            table, told = self.database.runs, event(before, after)
            items = _to_item(before), _to_item(after)
            writes = [table.change("pull", *items, before.revision)]
            if told is not None:
                writes.append(new_event_write(table, told))
            if audited is not None:
                writes.append(self.database.audit_write(audited))
            self.database.transact_while_active(tenant_id if must_be_active else None, *writes)
            return after

        return self.database.until_it_holds(
            try_once, "change pull", f"pull of {tenant_id} {vendor_id}", tries=10
        )

    def remove(self, state: PullState) -> None:
        """Remove a pull that the config has no more, unless somebody has changed it since."""
        write = self.database.runs.write(
            "pull",
            "Delete",
            Kind.PULL.key(state.tenant_id, state.vendor_id),
            condition="revision = :seen",
            values={":seen": state.revision},
        )
        self.database.runs.carry_out(write)


def _to_item(state: PullState) -> Item:
    more = {
        schema.LISTED_TENANT: Kind.PULLS.key(state.tenant_id),
        schema.REQUESTED_KEY: state.vendor_id,
        schema.DUE_SHARD: due_place(PullQueue.PULL, f"{state.tenant_id}#{state.vendor_id}"),
    }
    return _PULLS.item(Kind.PULL.key(state.tenant_id, state.vendor_id), state, **more)
