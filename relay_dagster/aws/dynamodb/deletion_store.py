"""Deletions of tenants, ``DELETION#<tenant_id>``, and the items that a tenant has in both tables.

What is due is found by the index of tenants, in a list of its own. ``maintenance/deletion.py``
decides in which order items go; the audit stays. Indexes lag, so a second look may find more.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.codec import DAY, hour_of, marshal, unmarshal
from relay_dagster.aws.dynamodb.database import (
    ConditionsFailedError,
    Database,
    is_closed,
)
from relay_dagster.aws.dynamodb.expressions import DOES_NOT_EXIST, EXISTS
from relay_dagster.aws.dynamodb.pull_store import pulls_planned_now
from relay_dagster.aws.dynamodb.run_writes import to_record
from relay_dagster.aws.dynamodb.schema import (
    Kind,
    Partition,
    config_key,
    run_count_key,
)
from relay_dagster.aws.dynamodb.table import UNREADABLE_AGAIN
from relay_dagster.aws.dynamodb.trigger_store import triggers_due_now
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.runs.model import RunRecord
from relay_dagster.tenants import deletion as rules
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.tenants.deletion import Deletion, TenantState
from relay_dagster.tenants.errors import (
    QuotaExceededError,
    RestoreTooLateError,
    UnknownTenantError,
)

_COUNTED_HOURS = 26  # a count of runs is kept for a day
_CONFIGS_AT_ONCE, _DIGITS = 1000, 10
# Its tenant is in its key alone: or it would be found among the tenant's items.
_DELETIONS = codec.Codec(
    kind=Deletion, in_key="tenant_id", forms={"is_swept": codec.FLAG}
)


@dataclass(frozen=True, slots=True)
class TenantData:
    """The items of tenants in the runs table and in the tenants table."""

    database: Database

    def run_ids(self, tenant_id: str) -> list[str]:
        """Return all runs of a tenant, those that nobody is shown too."""
        lists = (tenant_id, Kind.HIDDEN.key(tenant_id))
        keys = (key for each in lists for key in self._listed(each))
        return [Kind.RUN.name_in({schema.KEY: key}) for key in keys]

    def records(self, run_ids: Iterable[str]) -> list[RunRecord]:
        """Return the records there are, each read consistently."""
        return [*self.database.runs.read_all(map(Kind.RUN.key, run_ids), to_record)]

    def remove_runs(self, records: Sequence[RunRecord]) -> int:
        """Remove records, and before them the items found by them alone; return how many."""
        heartbeats = {
            Kind.HEARTBEAT.key(each.run_id, attempt)
            for each in records
            for attempt in range(1, each.attempt + 1)
        }
        asked = {
            Kind.IDEMPOTENCY.key(run.idempotency_id)
            for run in records
            if run.idempotency_id
        }
        counts = {
            run_count_key(each.tenant_id, hour_of(each.requested_at))
            for each in records
        }
        count = self._remove(heartbeats | asked | counts)
        return count + self._remove({Kind.RUN.key(each.run_id) for each in records})

    def remove_items(self, tenant_id: str, now: datetime) -> int:
        """Remove a tenant's other items from the runs table; return how many."""
        hours = (hour_of(now) - timedelta(hours=ago) for ago in range(_COUNTED_HOURS))
        keys = {
            *self._listed(Kind.EVENTS.key(tenant_id)),
            *self._listed(Kind.PULLS.key(tenant_id)),
            *(run_count_key(tenant_id, hour) for hour in hours),
            *(
                Kind.LINK_COUNT.key(tenant_id, (now - ago).date())
                for ago in (timedelta(0), DAY)
            ),
            Kind.TRIGGER.key(tenant_id),
            Kind.PULL_PLAN.key(tenant_id),
            Kind.FEED.key(tenant_id),
            Kind.RESULTS.key(tenant_id),
            Kind.LOCK.key(tenant_id),
        }
        return self._remove(keys)

    def remove_settings(self, tenant_id: str, version: int | None) -> int:
        """Remove keys, pause, webhooks and configs but the latest; return how many items."""
        table, owned = self.database.tenants, self.database.owned_keys(tenant_id, "")
        kept = {Kind.TENANT.key(tenant_id), config_key(tenant_id, version or 0)}
        there = table.items_by_key({*owned, Kind.PAUSE.key(tenant_id)} - kept)
        for key in there:
            # One by one: who may write in batches may write what it likes.
            table.carry_out(table.delete("removed", key))
        return len(there)

    def remove_old_configs(self, tenant_id: str, latest: int, keep: int) -> int:
        """Remove old configs that no run's record names, readable or not; return how many."""
        table, named = self.database.tenants, set[Any]()
        prefix = Kind.CONFIG.key(tenant_id, "")
        keys, _ = self.database.owned_page(tenant_id, prefix, _CONFIGS_AT_ONCE)
        old = [key for key in keys if key <= config_key(tenant_id, latest - keep)]
        if not old or latest <= keep:
            return 0
        for item in self.database.runs.items_by_key(
            map(Kind.RUN.key, self.run_ids(tenant_id))
        ).values():
            record = unmarshal(item)
            named |= {record.get(name) for name in ("config_version", "asked_version")}
        removed = [key for key in old if int(key[-_DIGITS:]) not in named]
        for key in removed:
            table.carry_out(table.delete("removed", key))
        return len(removed)

    def _listed(self, name: str) -> Iterator[str]:
        listed = Partition(schema.BY_TENANT, schema.LISTED_TENANT, name)
        rows = self.database.runs.rows(listed)
        return (str(row[schema.KEY]) for row in rows)

    def _remove(self, keys: Collection[str]) -> int:
        there = [*self.database.runs.items_by_key(keys)]
        self.database.runs.write_all(
            {"DeleteRequest": {"Key": marshal({schema.KEY: key})}} for key in there
        )
        return len(there)


@dataclass(frozen=True, slots=True)
class DeletionStore:
    """Which tenants are being deleted, and how far that is."""

    database: Database

    # --- reads, all consistent but for the lists ------------------------------------------------

    def get(self, tenant_id: str) -> Deletion | None:
        """Return a tenant's deletion or tombstone; None where there is none."""
        return self.database.tenants.read(Kind.DELETION.key(tenant_id), _DELETIONS.read)

    def under_way(self, tenant_id: str) -> Deletion | None:
        """Return the deletion of a tenant that is there; None where nobody deletes it."""
        found = self.get(tenant_id)
        return found if found is not None and found.is_under_way else None

    def due(self, until: datetime, limit: int = 100) -> list[Deletion]:
        """Return the deletions that are due, the longest due first; unreadable ones wait."""
        table, due = self.database.tenants, []
        items = table.items(
            Kind.DELETION.key(each) for each in self._listed(until)[:limit]
        )
        for item, found in table.parse_all(items, _DELETIONS.read):
            if found is None:
                tenant_id = Kind.DELETION.name_in(codec.unmarshal(item))
                later = codec.by_time(until + UNREADABLE_AGAIN, tenant_id)
                table.postpone(item, schema.CREATED_KEY, later)
            elif found.due_at is not None and found.due_at <= until:
                due.append(found)
        return due

    def listed(self) -> set[str]:
        """Return the tenants that are being deleted, or were a moment ago and are not made anew."""
        table, listed = self.database.tenants, {*self._listed(None)}
        # Tenants are read last: one that is there although its deletion was over is made anew.
        found = table.items_by_key(map(Kind.DELETION.key, listed))
        there = table.items_by_key(map(Kind.TENANT.key, listed))
        return {
            each
            for each in listed
            if Kind.TENANT.key(each) not in there
            or is_closed(found.get(Kind.DELETION.key(each)))
        }

    def ask(
        self, tenant_id: str, grace: timedelta, origin: Origin = SYSTEM
    ) -> Deletion:
        """Begin a tenant's deletion, or return the one under way; else `UnknownTenantError`."""
        now = self.database.clock()
        wanted = replace(
            rules.asked(tenant_id, origin.actor.name, now, grace), revision=1
        )
        until = wanted.delete_after.isoformat()
        asked = Action.TENANT_DELETION_ASKED
        entry = origin.entry(asked, tenant_id, tenant_id, now, delete_after=until)
        item = _to_item(wanted)
        is_new = DOES_NOT_EXIST | Attr("state").eq(TenantState.DELETED.value)
        names = _DELETIONS.names | item.keys()
        try:
            self.database.transact(
                self._tenant_check(tenant_id, EXISTS),
                self.database.tenants.overwrite("deletion", item, names, is_new),
                self.database.audit_write(entry),
            )
        except ConditionsFailedError as error:
            if "tenant" in error.items:
                raise UnknownTenantError(tenant_id) from error
            return self.get(tenant_id) or self.ask(tenant_id, grace, origin)
        return wanted

    def restore(self, tenant_id: str, origin: Origin = SYSTEM) -> None:
        """Let a tenant be as it was; `RestoreTooLateError` where its deletion has begun."""
        table, now = self.database.tenants, self.database.clock()
        found = self.under_way(tenant_id)
        if found is None:
            if table.item(Kind.TENANT.key(tenant_id)) is None:
                raise UnknownTenantError(tenant_id)
            return
        found.refuse_late(now)
        entry = origin.entry(Action.TENANT_RESTORED, tenant_id, tenant_id, now)
        is_closing = Attr("state").eq(TenantState.CLOSING.value)
        is_early = Attr("delete_after").gt(codec.instant_text(now))
        try:
            self.database.transact(
                table.delete(
                    "deletion", Kind.DELETION.key(tenant_id), is_closing & is_early
                ),
                triggers_due_now(self.database.runs, tenant_id, now),
                pulls_planned_now(self.database.runs, tenant_id, now),
                self.database.audit_write(entry),
            )
        except ConditionsFailedError as error:
            if self.under_way(tenant_id) is not None:
                raise RestoreTooLateError(tenant_id) from error
            # Somebody else has just restored it.

    def put(self, before: Deletion, after: Deletion) -> Deletion | None:
        """Write a deletion down that goes on, and return it as it now stands.

        A tombstone is swept only while its tenant has not been made anew. None where it is not as
        it was read; nothing is written then.
        """
        after = replace(after, revision=before.revision + 1)
        writes = [self._change(before, after)]
        if after.is_swept:
            writes.append(self._tenant_check(after.tenant_id, DOES_NOT_EXIST))
        try:
            self.database.transact(*writes)
        except ConditionsFailedError:
            return None
        return after

    def finish(self, before: Deletion, version: int | None) -> Deletion | None:
        """End a deletion: tenant and latest config go with its tombstone; None as for `put`."""
        now, tenant_id = self.database.clock(), before.tenant_id
        after = replace(rules.done(before, now), revision=before.revision + 1)
        counts = dict(after.removed)
        entry = SYSTEM.entry(
            Action.TENANT_DELETED, tenant_id, tenant_id, now, removed=counts
        )
        keys = (
            ()
            if version is None
            else (config_key(tenant_id, version), Kind.TENANT.key(tenant_id))
        )
        try:
            self.database.transact(
                self._change(before, after),
                self.database.audit_write(entry),
                *(self.database.tenants.delete("removed", key) for key in keys),
            )
        except ConditionsFailedError:
            return None
        return after

    def add_link(self, entry: AuditEntry, links_per_day: int) -> None:
        """Count an upload link, its entry in the audit alone; else `QuotaExceededError`."""
        tenant_id, now = str(entry.tenant_id), entry.occurred_at.astimezone(UTC)
        key, until = Kind.LINK_COUNT.key(tenant_id, now.date()), now + 2 * DAY
        counted = self.database.runs.count("links", key, "links", links_per_day, until)
        try:
            added = self.database.audit_write(entry)
            self.database.transact_while_active(tenant_id, added, counted)
        except ConditionsFailedError as error:
            if "links" not in error.items:
                raise
            wait = codec.seconds_left_of_day(now)
            code = "UPLOAD_QUOTA_EXCEEDED"
            raise QuotaExceededError(code, tenant_id, links_per_day, wait) from error

    def _change(self, before: Deletion, after: Deletion) -> Write:
        table = self.database.tenants
        return table.change(
            "deletion", _to_item(before), _to_item(after), before.revision
        )

    def _tenant_check(self, tenant_id: str, condition: ConditionBase) -> Write:
        key = Kind.TENANT.key(tenant_id)
        return self.database.tenants.require("tenant", key, condition)

    def _listed(self, until: datetime | None) -> Sequence[str]:
        """Return the tenants in the list of deletions, the longest due first."""
        # A "~" sorts after every id.
        bound = (
            None
            if until is None
            else Key(schema.CREATED_KEY).lte(codec.by_time(until, "~"))
        )
        deletions = Partition(
            schema.TENANTS_BY_CREATION, schema.LISTED, schema.ALL_DELETIONS
        )
        rows = self.database.tenants.rows(deletions, bound)
        return [Kind.DELETION.name_in(row) for row in rows]


def _to_item(deletion: Deletion) -> codec.Item:
    tenant_id, listed = deletion.tenant_id, dict[str, str]()
    if deletion.due_at is not None:
        listed[schema.LISTED] = schema.ALL_DELETIONS
        listed[schema.CREATED_KEY] = codec.by_time(deletion.due_at, tenant_id)
    return _DELETIONS.item(Kind.DELETION.key(tenant_id), deletion, **listed)
