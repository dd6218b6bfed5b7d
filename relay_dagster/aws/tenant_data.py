"""The items that a tenant has in the runs table and the tenants table, for their removal.

``maintenance/deletion.py`` decides in which order they go; the audit stays. The indexes
that find them lag, so a second search may find more.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.run_writes import to_record
from relay_dagster.aws.dynamodb.schema import Kind, Partition
from relay_dagster.runs.model import RunRecord

# The counts of an hour are stored for a day, so that many hours cover all counts.
_COUNTED_HOURS = 26
_CONFIGS_AT_ONCE = 1000
_VERSION_DIGITS = 10


@dataclass(frozen=True, slots=True)
class TenantData:
    """The items of tenants."""

    database: Database

    def run_ids(self, tenant_id: str) -> list[str]:
        """Return the ids of all runs of a tenant, hidden ones included."""
        run_ids = []
        for listed_tenant in (tenant_id, Kind.HIDDEN.key(tenant_id)):
            for key in self._listed_keys(listed_tenant):
                run_ids.append(Kind.RUN.name_in({schema.KEY: key}))
        return run_ids

    def records(self, run_ids: Iterable[str]) -> list[RunRecord]:
        """Return the records that exist, read consistently."""
        keys = [Kind.RUN.key(run_id) for run_id in run_ids]
        return self.database.runs.read_all(keys, to_record)

    def remove_runs(self, records: Sequence[RunRecord]) -> int:
        """Remove records and what only they lead to; return the number of items."""
        keys = set()
        for record in records:
            for attempt in range(1, record.attempt + 1):
                keys.add(Kind.HEARTBEAT.key(record.run_id, attempt))
            if record.idempotency_id:
                keys.add(Kind.IDEMPOTENCY.key(record.idempotency_id))
            hour = codec.hour_of(record.requested_at)
            keys.add(schema.run_count_key(record.tenant_id, hour))
        count = self._remove(keys)
        # The records go last: without them nobody would find the other items.
        return count + self._remove(
            {Kind.RUN.key(each.run_id) for each in records},
        )

    def remove_items(self, tenant_id: str, now: datetime) -> int:
        """Remove a tenant's other items from the runs table; return their number."""
        keys = {
            Kind.TRIGGER.key(tenant_id),
            Kind.PULL_PLAN.key(tenant_id),
            Kind.DELIVERY_PLAN.key(tenant_id),
            Kind.FEED.key(tenant_id),
            Kind.RESULTS.key(tenant_id),
            Kind.LOCK.key(tenant_id),
        }
        keys.update(self._listed_keys(Kind.EVENTS.key(tenant_id)))
        keys.update(self._listed_keys(Kind.PULLS.key(tenant_id)))
        keys.update(self._listed_keys(Kind.DELIVERIES.key(tenant_id)))
        for hours_ago in range(_COUNTED_HOURS):
            hour = codec.hour_of(now) - timedelta(hours=hours_ago)
            keys.add(schema.run_count_key(tenant_id, hour))
            keys.add(schema.link_uploads_key(tenant_id, hour))
        for day in (now, now - codec.DAY):
            keys.add(Kind.LINK_COUNT.key(tenant_id, day.date()))
        return self._remove(keys)

    def remove_settings(self, tenant_id: str, version: int | None) -> int:
        """Remove a tenant's other items from the tenants table; return their number.

        The tenant and its latest config, which has the version, stay.
        """
        table = self.database.tenants
        latest_config_key = schema.config_key(tenant_id, version or 0)
        remaining_keys = {Kind.TENANT.key(tenant_id), latest_config_key}
        keys = {
            *self.database.owned_keys(tenant_id, ""),
            Kind.PAUSE.key(tenant_id),
        }
        stored_keys = table.items_by_key(keys - remaining_keys)
        for key in stored_keys:
            # They go one by one: a role that may write batches may write anything.
            table.carry_out(table.delete("removed", key))
        return len(stored_keys)

    def remove_old_configs(self, tenant_id: str, latest: int, keep: int) -> int:
        """Remove old configs that no run's record names; return their number.

        The ``keep`` latest ones stay.
        """
        prefix = Kind.CONFIG.key(tenant_id, "")
        keys, _ = self.database.owned_page(tenant_id, prefix, _CONFIGS_AT_ONCE)
        newest_old_key = schema.config_key(tenant_id, latest - keep)
        old_keys = [key for key in keys if key <= newest_old_key]
        if not old_keys or latest <= keep:
            return 0
        used_versions = self._config_versions_of_runs(tenant_id)
        count = 0
        for key in old_keys:
            if int(key[-_VERSION_DIGITS:]) not in used_versions:
                table = self.database.tenants
                table.carry_out(table.delete("removed", key))
                count += 1
        return count

    def _config_versions_of_runs(self, tenant_id: str) -> set[object]:
        """Return the versions that a tenant's runs name, unreadable records included."""
        keys = [Kind.RUN.key(run_id) for run_id in self.run_ids(tenant_id)]
        versions = set()
        for item in self.database.runs.items_by_key(keys).values():
            plain = codec.unmarshal(item)
            versions.add(plain.get("config_version"))
            versions.add(plain.get("asked_version"))
        return versions

    def _listed_keys(self, listed_tenant: str) -> Iterator[str]:
        partition = Partition(
            schema.BY_TENANT,
            schema.LISTED_TENANT,
            listed_tenant,
        )
        for row in self.database.runs.rows(partition):
            yield str(row[schema.KEY])

    def _remove(self, keys: Collection[str]) -> int:
        """Remove the items that exist from the runs table; return their number."""
        stored_keys = list(self.database.runs.items_by_key(keys))
        requests = [
            {"DeleteRequest": {"Key": codec.marshal({schema.KEY: key})}}
            for key in stored_keys
        ]
        self.database.runs.write_all(requests)
        return len(stored_keys)
