"""What vendors' pulls have come to, in the runs table: an item a vendor, found by when it is due.

Items change by rules: each is read, changed on condition that nobody else has changed it, and read
again otherwise. The rules are in ``relay_dagster/triggers/pulls.py``.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Codec, Item, marshal
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import due_place, pull_key, pulls_list
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write
from relay_dagster.aws.dynamodb.webhook_store import new_event_write
from relay_dagster.aws.retries import retrying
from relay_dagster.external_errors import ThrottledError
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
        keys = [pull_key(tenant_id, each) for each in vendor_ids]
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
            found = self.database.runs.read(pull_key(tenant_id, vendor_id), _PULLS.read)
            before = found or PullState(tenant_id=tenant_id, vendor_id=vendor_id)
            after = rule(before)
            if after is None:
                return None
            after = replace(after, revision=before.revision + 1)
            writes = [self._write(before, after), *self._beside(event(before, after), audited)]
            self.database.transact_while_active(tenant_id if must_be_active else None, *writes)
            return after

        again = retrying(lambda error: isinstance(error, ConditionsFailedError), tries=10)
        try:
            return again(try_once)
        except ConditionsFailedError as error:
            problem = f"pull of {tenant_id} {vendor_id}: too many writers at once"
            raise ThrottledError("change pull", problem) from error

    def remove(self, state: PullState) -> None:
        """Remove a pull that the config has no more, unless somebody has changed it since."""
        write = self.database.runs.write(
            "pull",
            "Delete",
            pull_key(state.tenant_id, state.vendor_id),
            condition="revision = :seen",
            values={":seen": state.revision},
        )
        self.database.runs.carry_out(write)

    def _write(self, before: PullState, after: PullState) -> Write:
        table = self.database.runs
        return table.change("pull", _to_item(before), _to_item(after), before.revision)

    def _beside(self, event: Event | None, audited: AuditEntry | None) -> Sequence[Write]:
        writes = [] if event is None else [new_event_write(self.database.runs, event)]
        return writes if audited is None else [*writes, self.database.audit_write(audited)]


def _to_item(state: PullState) -> Item:
    plain: Mapping[str, Any] = {
        schema.KEY: pull_key(state.tenant_id, state.vendor_id),
        schema.LISTED_TENANT: pulls_list(state.tenant_id),
        schema.REQUESTED_KEY: state.vendor_id,
        schema.DUE_SHARD: due_place(PullQueue.PULL, f"{state.tenant_id}#{state.vendor_id}"),
        **_PULLS.attributes(state),
    }
    return marshal(plain)
