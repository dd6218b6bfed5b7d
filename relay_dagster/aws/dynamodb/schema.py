"""How the DynamoDB tables are laid out: keys, indexes, and the definitions to create them from.

Each table has one key, ``pk``, whose prefix says what an item is:

* runs table: ``RUN#<run_id>``, ``LOCK#<tenant_id>``, ``FEED#<tenant_id>``, ``IDEMP#<digest>``,
  ``BEAT#<run_id>#<attempt>``, ``GONE#<run_id>`` (its record was kept as long as it is to be),
  ``RUNS#<tenant_id>#<hour>`` (how many there were), ``LINKS#<tenant_id>#<day>`` (upload links),
  ``TRIGGER#<tenant_id>`` (what its triggers wait for), ``PULL#<tenant_id>#<vendor_id>`` (what was
  pulled last, and when the next pull is due), ``RESULTS#<tenant_id>`` (what its last run
  of all vendors came to with each), ``EVENT#<event_id>`` (what webhooks are
  told of, and what became of it). Indexes: a tenant's runs (and, as if they were other tenants',
  its events and its pulls), all runs, and those of a status by time, and by when they are due the
  runs that are not settled yet, the triggers, the pulls and the events that are not delivered yet
  (sparse, in shards).
* tenants table: ``TENANT#<tenant_id>`` (the latest version), ``CONFIG#<tenant_id>#<version>``,
  ``NAME#<tenant_id>`` (in small letters: whose it is),
  ``KEY#<key_id>`` and ``LINK#<link_id>`` (a tenant's API key, a link, as digests),
  ``SECRET#<tenant_id>#<name>`` (what is shown of a secret),
  ``SESSION#<digest>`` (somebody who has signed in to the page),
  ``OVERRIDES#<tenant_id>`` (which version of its overrides is in force, and where that lies),
  ``KEYS#<tenant_id>`` (the keys' ids), ``WEBHOOKS#<tenant_id>`` (all its webhooks, with their
  secrets), ``PAUSE#<tenant_id>`` (``PAUSE#`` for all), ``DELETION#<tenant_id>`` (how far its
  deletion is; in the end the tombstone). Indexes: tenants by the time their first config was
  stored, deletions by when they are due, and pauses; a tenant's items.
* audit table: an entry by its id, which sorts by time. Indexes: a tenant's entries, all entries,
  and those of an action.

Every item has its ``schema``, the number of the shape in which it was first stored. It is 1 for
all of this release; a release that needs to tell shapes apart raises it. No reader asks for it
yet, and a greater one stays in an item that is written again.

Indexes hold keys alone: whoever finds a thing by one reads it again, consistently.
"""

from __future__ import annotations

import zlib
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from relay_dagster.aws.dynamodb.codec import instant_text

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

SHARDS = 4
"""Of each queue of what is due: one partition of DynamoDB takes a thousand writes a second."""

# What keys begin with that are read back.
RUN, KEY_OF_TENANT, TRIGGER, DELETION = "RUN#", "KEY#", "TRIGGER#", "DELETION#"
LINK, SECRET, SESSION = "LINK#", "SECRET#", "SESSION#"


# --- keys of the runs table ---------------------------------------------------------------------


def run_key(run_id: str) -> str:
    """Return the key of a run's item."""
    return f"{RUN}{run_id}"


def expired_run_key(run_id: str) -> str:
    """Return the key of the tombstone of a run whose record is no longer kept."""
    return f"GONE#{run_id}"


def lock_key(tenant_id: str) -> str:
    """Return the key of a tenant's lock."""
    return f"LOCK#{tenant_id}"


def feed_key(tenant_id: str) -> str:
    """Return the key of a tenant's feed pointer."""
    return f"FEED#{tenant_id}"


def idempotency_key(digest: str) -> str:
    """Return the key of an idempotency item."""
    return f"IDEMP#{digest}"


def heartbeat_key(run_id: str, attempt: int) -> str:
    """Return the key of an attempt's heartbeat."""
    return f"BEAT#{run_id}#{attempt}"


def run_count_key(tenant_id: str, hour: datetime) -> str:
    """Return the key of the count of runs that a tenant's callers made in an hour."""
    return f"RUNS#{tenant_id}#{hour:%Y-%m-%dT%H}"


def link_count_key(tenant_id: str, day: date) -> str:
    """Return the key of the count of upload links that a tenant's callers made on a day."""
    return f"LINKS#{tenant_id}#{day.isoformat()}"


def trigger_key(tenant_id: str) -> str:
    """Return the key of a tenant's triggers."""
    return f"{TRIGGER}{tenant_id}"


def pull_key(tenant_id: str, vendor_id: str) -> str:
    """Return the key of what a vendor's pulls have come to."""
    return f"PULL#{tenant_id}#{vendor_id}"


def results_key(tenant_id: str) -> str:
    """Return the key of what a tenant's last run of all vendors came to with each."""
    return f"RESULTS#{tenant_id}"


def event_key(event_id: str) -> str:
    """Return the key of an event."""
    return f"EVENT#{event_id}"


# --- keys of the tenants table ------------------------------------------------------------------


def tenant_key(tenant_id: str) -> str:
    """Return the key of a tenant's item, which has its latest version."""
    return f"TENANT#{tenant_id}"


def name_key(tenant_id: str) -> str:
    """Return the key by which no other tenant has an id that differs in case alone."""
    return f"NAME#{tenant_id.lower()}"


def config_key(tenant_id: str, version: int) -> str:
    """Return the key of one version of a tenant's config."""
    return f"CONFIG#{tenant_id}#{version:010d}"


def api_key_key(key_id: str) -> str:
    """Return the key of a tenant's API key."""
    return f"{KEY_OF_TENANT}{key_id}"


def api_keys_key(tenant_id: str) -> str:
    """Return the key of the ids of a tenant's API keys."""
    return f"KEYS#{tenant_id}"


def secret_key(tenant_id: str, name: str) -> str:
    """Return the key of what is shown of a tenant's secret."""
    return f"{SECRET}{tenant_id}#{name}"


def overrides_key(tenant_id: str) -> str:
    """Return the key of which version of a tenant's overrides is in force."""
    return f"OVERRIDES#{tenant_id}"


def link_key(link_id: str) -> str:
    """Return the key of a tenant's link."""
    return f"{LINK}{link_id}"


def session_key(digest: str) -> str:
    """Return the key of the session whose id has a digest."""
    return f"{SESSION}{digest}"


def webhooks_key(tenant_id: str) -> str:
    """Return the key of all webhooks of a tenant."""
    return f"WEBHOOKS#{tenant_id}"


def pause_key(tenant_id: str | None) -> str:
    """Return the key of a tenant's pause, or of that of everybody."""
    return f"PAUSE#{tenant_id or ''}"


def deletion_key(tenant_id: str) -> str:
    """Return the key of a tenant's deletion."""
    return f"{DELETION}{tenant_id}"


# --- partitions and sort keys of indexes --------------------------------------------------------


def hidden_list(tenant_id: str) -> str:
    """Return the partition of a tenant's runs that nobody is shown."""
    return f"HIDDEN#{tenant_id}"


def events_list(tenant_id: str) -> str:
    """Return the partition of a tenant's events, in the index of runs by tenant."""
    return f"EVENTS#{tenant_id}"


def pulls_list(tenant_id: str) -> str:
    """Return the partition of a tenant's pulls, in the index of runs by tenant."""
    return f"PULLS#{tenant_id}"


def by_time(instant: datetime, name: str) -> str:
    """Return the sort key of what has a name, among others of its kind by time."""
    return f"{instant_text(instant)}#{name}"


def due_shard(queue: StrEnum, shard: int) -> str:
    """Return the partition of a shard of a queue in the index of what is due."""
    return f"{queue}#{shard}"


def due_place(queue: StrEnum, name: str) -> str:
    """Return the partition of what has a name, in the index of what is due."""
    return due_shard(queue, zlib.crc32(name.encode()) % SHARDS)


# --- definitions --------------------------------------------------------------------------------


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
            {"AttributeName": each, "AttributeType": "S"} for each in sorted({KEY, *names})
        ],
        "GlobalSecondaryIndexes": list(indexes),
    }
