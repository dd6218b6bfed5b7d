"""The items of a tenant, in both tables, found and removed; the audit stays.

``maintenance/deletion.py`` decides when they go. Indexes lag, so a second look may find more.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import DAY, hour_of, marshal, unmarshal
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.run_writes import to_record
from relay_dagster.aws.dynamodb.schema import Kind, config_key, run_count_key
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.runs.model import RunRecord

_COUNTED_HOURS = 26
"""A count of runs is kept for a day."""
_CONFIGS_AT_ONCE, _DIGITS = 1000, 10


@dataclass(frozen=True, slots=True)
class TenantData:
    """What tenants have in the runs table and in the tenants table."""

    database: Database

    # --- runs -----------------------------------------------------------------------------------

    @maps_aws_errors
    def run_ids(self, tenant_id: str) -> list[str]:
        """Return all runs of a tenant, those that nobody is shown too."""
        lists = (tenant_id, Kind.HIDDEN.key(tenant_id))
        keys = (key for each in lists for key in self._listed(each))
        return [Kind.RUN.name_in({schema.KEY: key}) for key in keys]

    def records(self, run_ids: Iterable[str]) -> list[RunRecord]:
        """Return the records there are, each read consistently."""
        return [*self.database.runs.read_all(map(Kind.RUN.key, run_ids), to_record)]

    @maps_aws_errors
    def remove_runs(self, records: Sequence[RunRecord]) -> int:
        """Remove records, and before them what is found by them alone; return how many items."""
        heartbeats = {
            Kind.HEARTBEAT.key(each.run_id, attempt)
            for each in records
            for attempt in range(1, each.attempt + 1)
        }
        asked = {
            Kind.IDEMPOTENCY.key(each.idempotency_id) for each in records if each.idempotency_id
        }
        counts = {run_count_key(each.tenant_id, hour_of(each.requested_at)) for each in records}
        count = self._remove(heartbeats | asked | counts)
        return count + self._remove({Kind.RUN.key(each.run_id) for each in records})

    # --- what else there is ---------------------------------------------------------------------

    @maps_aws_errors
    def remove_items(self, tenant_id: str, now: datetime) -> int:
        """Remove what else the runs table has of a tenant; return how many items that were."""
        hours = (hour_of(now) - timedelta(hours=ago) for ago in range(_COUNTED_HOURS))
        keys = {
            *self._listed(Kind.EVENTS.key(tenant_id)),
            *self._listed(Kind.PULLS.key(tenant_id)),
            *(run_count_key(tenant_id, hour) for hour in hours),
            *(Kind.LINK_COUNT.key(tenant_id, (now - ago).date()) for ago in (timedelta(0), DAY)),
            Kind.TRIGGER.key(tenant_id),
            Kind.FEED.key(tenant_id),
            Kind.RESULTS.key(tenant_id),
            Kind.LOCK.key(tenant_id),
        }
        return self._remove(keys)

    @maps_aws_errors
    def remove_settings(self, tenant_id: str, version: int | None) -> int:
        """Remove keys, pause, webhooks and configs; the latest config goes with the tenant itself.

        Returns:
            How many items that were.
        """
        table, owned = self.database.tenants, self.database.owned_keys(tenant_id, "")
        kept = {Kind.TENANT.key(tenant_id), config_key(tenant_id, version or 0)}
        there = table.batch({*owned, Kind.PAUSE.key(tenant_id)} - kept)
        for key in there:
            # One by one: who may write in batches may write what it likes.
            table.carry_out(table.write("removed", "Delete", key))
        return len(there)

    @maps_aws_errors
    def remove_old_configs(self, tenant_id: str, latest: int, keep: int) -> int:
        """Remove configs but for the newest and those that a run's record names; return how many.

        Records are read as they are stored: one that this release cannot read names a version too.
        """
        table, named = self.database.tenants, set[Any]()
        rows, _ = table.rows(
            schema.BY_OWNER,
            (schema.OWNER, tenant_id),
            None,
            _CONFIGS_AT_ONCE,
            None,
            prefix=config_key(tenant_id, 0)[:-_DIGITS],
            forward=True,
        )
        keys = [str(row[schema.KEY]) for row in rows]
        old = [key for key in keys if key <= config_key(tenant_id, latest - keep)]
        if not old or latest <= keep:
            return 0
        for item in self.database.runs.batch(map(Kind.RUN.key, self.run_ids(tenant_id))).values():
            record = unmarshal(item)
            named |= {record.get(name) for name in ("config_version", "asked_version")}
        removed = [key for key in old if int(key[-_DIGITS:]) not in named]
        for key in removed:
            table.carry_out(table.write("removed", "Delete", key))
        return len(removed)

    # --- how ------------------------------------------------------------------------------------

    def _listed(self, name: str) -> Iterator[str]:
        rows = self.database.runs.partition(schema.BY_TENANT, (schema.LISTED_TENANT, name))
        return (str(row[schema.KEY]) for row in rows)

    def _remove(self, keys: Collection[str]) -> int:
        there = [*self.database.runs.batch(keys)]
        self.database.runs.write_all(
            {"DeleteRequest": {"Key": marshal({schema.KEY: key})}} for key in there
        )
        return len(there)
