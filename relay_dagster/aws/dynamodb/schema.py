"""Defines the layout of the DynamoDB tables: keys, indexes, and table definitions.

Every table has a single key, ``pk``. It begins with the kind of the item, a `Kind`.

* The runs table has indexes for the runs of a tenant, for all runs, and for the runs with
  a status, each by time. The events, pulls, and deliveries of a tenant are listed in the
  first of these, under names of their own. Another index lists due items by the instant:
  runs that are not settled, triggers, pulls, deliveries, and events that are not sent.
  It is sparse and divided into shards.
* The tenants table has an index that lists tenants by the time of their first config,
  deletions by the instant at which they are due, and pauses. Another lists the items of a
  tenant.
* The audit table has an entry under its id, which sorts by time, and indexes for the
  entries of a tenant, for all entries, and for the entries with an action.

Every item has ``schema``, the number of the layout in which it was first stored. The
number is 1 in this release. A release that has to tell layouts apart raises it. Nothing
reads it yet, and writing an item again never lowers it.

The indexes hold keys and little else, and they lag. Code that finds an item through an
index reads the item again, consistently.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from relay_core.domain.codes import RunStatus

KEY = "pk"
SCHEMA = "schema"
SCHEMA_NUMBER = 1
EXPIRY = "expires_at"

BY_TENANT = "runs_by_tenant"
BY_TIME = "runs_by_time"
BY_STATUS = "runs_by_status"
DUE = "due_runs"
LISTED_TENANT = "listed_tenant"
LISTED = "listed"
LISTED_STATUS = "listed_status"
DUE_SHARD = "due_shard"
DUE_AT = "due_at"
REQUESTED_KEY = "requested_key"

TENANTS_BY_CREATION = "tenants_by_creation"
CREATED_KEY = "created_key"
BY_OWNER = "items_by_tenant"
OWNER = "tenant_id"

AUDIT_BY_TENANT = "audit_by_tenant"
AUDIT_BY_TIME = "audit_by_time"
AUDIT_BY_ACTION = "audit_by_action"
ACTION = "action"

# Constant partition keys, for indexes that are one list each
ALL_RUNS = "run"
ALL_TENANTS = "tenant"
ALL_DELETIONS = "deletion"
ALL_PAUSES = "pause"
ALL_ENTRIES = "entry"

# Queues of the due index. `DueQueue` and `TriggerQueue` have the others.
# Feed pointers with publications that are not reported yet.
PUBLISHED = "published"
EVENT = "event"  # events with deliveries that are not over yet
PULL = "pull"
# Tenants whose pulls are to be compared with their configs.
PULL_PLAN = "pull_plan"
DELIVERY = "delivery"
DELIVERY_PLAN = "delivery_plan"  # tenants with a publication to send

SHARDS = 4
"""The number of shards of each queue in the due index.

One partition of DynamoDB takes a thousand writes a second.
"""


class Kind(StrEnum):
    """The kind of an item. An item's key is its kind and the names that identify it."""

    # In the runs table
    RUN = "RUN"
    GONE = "GONE"  # a mark that a run existed whose record has expired
    LOCK = "LOCK"
    FEED = "FEED"  # a feed pointer
    IDEMPOTENCY = "IDEMP"  # a caller's idempotency key, by its digest
    HEARTBEAT = "BEAT"
    # The number of runs that a tenant's callers made in an hour.
    RUN_COUNT = "RUNS"
    LINK_COUNT = "LINKS"  # the number of upload links that they made on a day
    SENT = "SENT"  # the files that arrived by a tenant's links in an hour
    TRIGGER = "TRIGGER"  # the state of a tenant's triggers
    PULL = "PULL"  # a vendor's last pulled file, and the time of the next pull
    # A tenant whose pulls are to be compared with its config.
    PULL_PLAN = "PULLPLAN"
    DELIVERY = "DELIVERY"  # the file that a server got last, and the next one
    DELIVERY_PLAN = "DELIVERYPLAN"  # a tenant with a publication to send
    # Each vendor's result in a tenant's last run of all vendors.
    RESULTS = "RESULTS"
    EVENT = "EVENT"  # an event for webhooks, with its deliveries
    # In the tenants table
    TENANT = "TENANT"  # a tenant's latest version of its config
    CONFIG = "CONFIG"
    NAME = "NAME"  # a tenant's id in lower case, and the tenant that has it
    API_KEY = "KEY"  # a tenant's API key, as a digest
    API_KEYS = "KEYS"  # the ids of a tenant's API keys
    LINK = "LINK"  # a link, as a digest
    SECRET = "SECRET"  # noqa: S105 - this is the prefix of a key, not a secret
    SESSION = "SESSION"  # a signed-in person's session on the pages
    SESSIONS = "SESSIONS"  # the digests of the latest sessions of an API key
    OVERRIDES = "OVERRIDES"  # the version of the overrides that is in effect
    WEBHOOKS = "WEBHOOKS"  # all webhooks of a tenant, with their secrets
    PAUSE = "PAUSE"  # a pause; one without a name is of all tenants
    # The progress of a deletion; in the end its tombstone.
    DELETION = "DELETION"
    # Partitions of the index of runs by tenant
    HIDDEN = "HIDDEN"  # runs that are shown to nobody
    EVENTS = "EVENTS"
    PULLS = "PULLS"
    DELIVERIES = "DELIVERIES"

    def key(self, *names: object) -> str:
        """Return the key of the item that the names identify."""
        return "#".join((self.value, *map(str, names)))

    def name_in(self, row: Mapping[str, Any]) -> str:
        """Return the names that identify an item, from its plain attributes."""
        return str(row[KEY]).removeprefix(f"{self.value}#")


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of an index: all rows in which an attribute has a value."""

    index: str
    attribute: str
    value: str


def listed_runs(
    tenant_id: str | None,
    status: RunStatus | None = None,
) -> Partition:
    """Return the partition of a tenant's runs, of the runs with a status, or of all runs."""
    if tenant_id is not None:
        return Partition(BY_TENANT, LISTED_TENANT, tenant_id)
    if status is not None:
        return Partition(BY_STATUS, LISTED_STATUS, status.value)
    return Partition(BY_TIME, LISTED, ALL_RUNS)


def owned_items(tenant_id: str) -> Partition:
    """Return the partition of a tenant's items in the tenants table."""
    return Partition(BY_OWNER, OWNER, tenant_id)


def due_items(queue: str, shard: int) -> Partition:
    """Return the partition of a shard of a queue in the due index."""
    return Partition(DUE, DUE_SHARD, f"{queue}#{shard}")


def run_count_key(tenant_id: str, hour: datetime) -> str:
    """Return the key of the number of runs that a tenant's callers made in an hour."""
    return Kind.RUN_COUNT.key(tenant_id, f"{hour:%Y-%m-%dT%H}")


def link_uploads_key(tenant_id: str, hour: datetime) -> str:
    """Return the key of the files that arrived by a tenant's links in an hour."""
    return Kind.SENT.key(tenant_id, f"{hour:%Y-%m-%dT%H}")


def config_key(tenant_id: str, version: int) -> str:
    """Return the key of one version of a tenant's config."""
    return Kind.CONFIG.key(tenant_id, f"{version:010d}")


def due_shard(queue: str, name: str) -> str:
    """Return the shard of a queue, in the due index, that has the item with the name."""
    return due_items(queue, zlib.crc32(name.encode()) % SHARDS).value


def runs_table(name: str) -> dict[str, Any]:
    """Return the arguments of CreateTable for the runs table."""
    indexes = [
        _index(BY_TENANT, LISTED_TENANT, REQUESTED_KEY, "status"),
        _index(BY_TIME, LISTED, REQUESTED_KEY),
        _index(BY_STATUS, LISTED_STATUS, REQUESTED_KEY),
        _index(DUE, DUE_SHARD, DUE_AT),
    ]
    return _table(name, indexes)


def tenants_table(name: str) -> dict[str, Any]:
    """Return the arguments of CreateTable for the tenants table."""
    indexes = [
        _index(TENANTS_BY_CREATION, LISTED, CREATED_KEY),
        _index(BY_OWNER, OWNER, KEY),
    ]
    return _table(name, indexes)


def audit_table(name: str) -> dict[str, Any]:
    """Return the arguments of CreateTable for the audit table."""
    indexes = [
        _index(AUDIT_BY_TENANT, OWNER, KEY, ACTION),
        _index(AUDIT_BY_TIME, LISTED, KEY),
        _index(AUDIT_BY_ACTION, ACTION, KEY),
    ]
    return _table(name, indexes)


def _index(
    name: str,
    hash_key: str,
    range_key: str,
    *attributes: str,
) -> dict[str, Any]:
    """Return an index of the keys, and of more attributes where there are some."""
    projection: dict[str, Any] = {"ProjectionType": "KEYS_ONLY"}
    if attributes:
        projection = {
            "ProjectionType": "INCLUDE",
            "NonKeyAttributes": list(attributes),
        }
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": hash_key, "KeyType": "HASH"},
            {"AttributeName": range_key, "KeyType": "RANGE"},
        ],
        "Projection": projection,
    }


def _table(name: str, indexes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the definition of a table, all of whose keys are text."""
    key_attributes = {KEY}
    for index in indexes:
        key_attributes.update(
            key["AttributeName"] for key in index["KeySchema"]
        )
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": KEY, "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": attribute, "AttributeType": "S"}
            for attribute in sorted(key_attributes)
        ],
        "GlobalSecondaryIndexes": indexes,
    }
