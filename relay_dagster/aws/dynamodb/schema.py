"""How the DynamoDB tables are laid out: keys, indexes, and the definitions to create them from.

Each table has one key, ``pk``, whose beginning says what an item is: `Kind`.

* runs table. Indexes: a tenant's runs (and, as if they were other tenants', its events and its
  pulls), all runs, and those of a status by time, and by when they are due the runs that are not
  settled yet, the triggers, the pulls and the events that are not delivered yet (sparse, in
  shards).
* tenants table. Indexes: tenants by the time their first config was stored, deletions by when they
  are due, and pauses; a tenant's items.
* audit table: an entry by its id, which sorts by time. Indexes: a tenant's entries, all entries,
  and those of an action.

Every item has its ``schema``, the number of the shape in which it was first stored. It is 1 for
all of this release; a release that needs to tell shapes apart raises it. No reader asks for it
yet, and a greater one stays in an item that is written again.

Indexes hold keys alone: whoever finds a thing by one reads it again, consistently.
"""

import zlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

KEY = "pk"
SCHEMA, SCHEMA_NUMBER = "schema", 1
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

# Constant partition keys: these indexes are one list each.
ALL_RUNS = "run"
ALL_TENANTS = "tenant"
ALL_DELETIONS = "deletion"
ALL_PAUSES = "pause"
ALL_ENTRIES = "entry"

# Queues of the due index: of feed pointers whose publications are not all reported, of events whose
# deliveries are not over, of pulls. `DueQueue` and `TriggerQueue` have the others.
PUBLISHED, EVENT, PULL = "published", "event", "pull"
SHARDS = 4
"""Of each queue of the due index: one partition of DynamoDB takes a thousand writes a second."""


class Kind(StrEnum):
    """The kind of an item, with which its key begins; the names that identify it follow."""

    # Of the runs table
    RUN = "RUN"
    GONE = "GONE"  # a run whose record was deleted in its time
    LOCK = "LOCK"
    FEED = "FEED"  # the feed pointer
    IDEMPOTENCY = "IDEMP"  # by the digest of a caller's key
    HEARTBEAT = "BEAT"
    RUN_COUNT = "RUNS"  # how many runs a tenant's callers made in an hour
    LINK_COUNT = "LINKS"  # how many upload links they made on a day
    TRIGGER = "TRIGGER"  # what a tenant's triggers wait for
    PULL = "PULL"  # what was pulled last of a vendor, and when the next pull is due
    RESULTS = "RESULTS"  # of each vendor, in a tenant's last run of all vendors
    EVENT = "EVENT"  # for webhooks, with its deliveries
    # Of the tenants table
    TENANT = "TENANT"  # the latest version
    CONFIG = "CONFIG"
    NAME = "NAME"  # a tenant's id in small letters: whose it is
    API_KEY = "KEY"  # a tenant's API key, as a digest
    API_KEYS = "KEYS"  # the ids of them
    LINK = "LINK"  # as a digest
    SECRET = "SECRET"  # noqa: S105 - what is shown of one
    SESSION = "SESSION"  # somebody who has signed in to the page
    OVERRIDES = "OVERRIDES"  # which version of them is in force, and where that lies
    WEBHOOKS = "WEBHOOKS"  # all of a tenant's, with their secrets
    PAUSE = "PAUSE"  # without a name: of all tenants
    DELETION = "DELETION"  # how far it is; in the end the tombstone
    # Partitions of the index of runs by tenant
    HIDDEN = "HIDDEN"  # runs that nobody is shown
    EVENTS = "EVENTS"
    PULLS = "PULLS"

    def key(self, *names: object) -> str:
        """Return the key of the item of these names."""
        return "#".join((self.value, *map(str, names)))

    def name_in(self, row: Mapping[str, Any]) -> str:
        """Return the names that identify an item, by its row or its plain attributes."""
        return str(row[KEY]).removeprefix(f"{self.value}#")


def run_count_key(tenant_id: str, hour: datetime) -> str:
    """Return the key of the count of runs that a tenant's callers made in an hour."""
    return Kind.RUN_COUNT.key(tenant_id, f"{hour:%Y-%m-%dT%H}")


def config_key(tenant_id: str, version: int) -> str:
    """Return the key of one version of a tenant's config."""
    return Kind.CONFIG.key(tenant_id, f"{version:010d}")


def due_shard(queue: str, shard: int) -> str:
    """Return the partition of a shard of a queue in the due index."""
    return f"{queue}#{shard}"


def due_place(queue: str, name: str) -> str:
    """Return the partition of a named item of a queue in the due index."""
    return due_shard(queue, zlib.crc32(name.encode()) % SHARDS)


def runs_table(name: str) -> dict[str, Any]:
    """Return the arguments of CreateTable for the runs table."""
    return _table(
        name,
        _index(BY_TENANT, LISTED_TENANT, REQUESTED_KEY, "status"),
        _index(BY_TIME, LISTED, REQUESTED_KEY),
        _index(BY_STATUS, LISTED_STATUS, REQUESTED_KEY),
        _index(DUE, DUE_SHARD, DUE_AT),
    )


def tenants_table(name: str) -> dict[str, Any]:
    """Return the arguments of CreateTable for the tenants table."""
    return _table(
        name,
        _index(TENANTS_BY_CREATION, LISTED, CREATED_KEY),
        _index(BY_OWNER, OWNER, KEY),
    )


def audit_table(name: str) -> dict[str, Any]:
    """Return the arguments of CreateTable for the audit table."""
    return _table(
        name,
        _index(AUDIT_BY_TENANT, OWNER, KEY, ACTION),
        _index(AUDIT_BY_TIME, LISTED, KEY),
        _index(AUDIT_BY_ACTION, ACTION, KEY),
    )


def _index(name: str, hash_key: str, range_key: str, *also: str) -> dict[str, Any]:
    projection: dict[str, Any] = {"ProjectionType": "KEYS_ONLY"}
    if also:
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(also)}
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": hash_key, "KeyType": "HASH"},
            {"AttributeName": range_key, "KeyType": "RANGE"},
        ],
        "Projection": projection,
    }


def _table(name: str, *indexes: dict[str, Any]) -> dict[str, Any]:
    names = {key["AttributeName"] for index in indexes for key in index["KeySchema"]}
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": KEY, "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": each, "AttributeType": "S"}
            for each in sorted({KEY, *names})
        ],
        "GlobalSecondaryIndexes": list(indexes),
    }
