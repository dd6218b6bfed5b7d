"""A tenant's feeds where they outlive the artifacts of runs: ``published/<tenant_id>/``.

A run puts its feed there just before it succeeds or is held, with the feed's state, which later
runs are compared with. The tenant's feed pointer names the feed in force. Nothing here changes a
record.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from relay_core.domain.codes import RunStatus
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.object_store import ObjectInfo, ObjectStore
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform

KEPT_AFTER = timedelta(days=1)
"""The time that a feed stays after it is out of reach."""


def published_key(run: RunRecord | ArtifactKeys, feed_format: str) -> str:
    """Return the key under which a run's feed of a format is published; of all begins with ""."""
    return f"{place_of(run.tenant_id)}{run.run_id}.{feed_format}"


def state_key(run: RunRecord | ArtifactKeys) -> str:
    """Return the key of that feed's state, which later runs are compared with."""
    return published_key(run, "state.parquet")


def publish(objects: ObjectStore, keys: ArtifactKeys, feed_format: str) -> None:
    """Copy a run's feed and state to their stable keys; each attempt copies the same bytes."""
    objects.copy(keys.merged_inventory(feed_format), published_key(keys, feed_format))
    objects.copy(keys.state, state_key(keys))


def withdraw(objects: ObjectStore, run: RunRecord | ArtifactKeys) -> None:
    """Delete a run's published copies, if there are any."""
    for copy in objects.list_objects(published_key(run, "")):
        objects.delete(copy.key)


def remove_superseded(platform: Platform, tenant_id: str, now: datetime) -> list[str]:
    """Delete copies that were out of reach a day ago (links live an hour); return their keys."""
    until = now - KEPT_AFTER
    place = place_of(tenant_id)
    found = [
        each for each in platform.objects.list_objects(place) if "/" not in each.key[len(place) :]
    ]
    if all(each.last_modified > until for each in found):
        return []
    records = platform.runs.get_many({_run_id_of(each) for each in found})
    # Read after the records: a run that had ended by then has updated the pointer by now.
    pointer = platform.runs.feed(tenant_id)
    old = {_run_id_of(each) for each in found if each.last_modified <= until}
    dead = superseded(old, records, pointer, until, platform.settings.keep_published)
    doomed = [each.key for each in found if _run_id_of(each) in dead]
    for key in doomed:
        platform.objects.delete(key)
    return doomed


def superseded(
    run_ids: Collection[str],
    records: Mapping[str, RunRecord],
    pointer: FeedPointer | None,
    until: datetime,
    keep: int,
) -> set[str]:
    """Return the runs whose feeds were out of reach then, with ``keep`` that can return."""
    last = () if pointer is None else pointer.publications[:keep]
    updates = [(one.seq, one.published_at) for one in last]
    updates += [
        (each.published_seq, each.published_at)
        for each in records.values()
        if each.published_seq is not None and each.published_at is not None
    ]
    others = set(run_ids) - {one.run_id for one in last}
    return {one for one in others if _is_over(records.get(one), updates, until, keep)}


def _is_over(
    record: RunRecord | None, updates: Sequence[tuple[int, datetime]], until: datetime, keep: int
) -> bool:
    """Return whether a feed was out of reach: never published, or followed by enough others."""
    if record is None:
        return True
    if record.status is not RunStatus.SUCCEEDED or record.published_seq is None:
        return record.status.is_final
    pushed_out = record.published_seq + keep
    return any(seq >= pushed_out and at <= until for seq, at in updates)


def place_of(tenant_id: str) -> str:
    """Return the prefix under which all feeds of a tenant are published."""
    return f"published/{tenant_id}/"


def _run_id_of(published: ObjectInfo) -> str:
    return PurePosixPath(published.key).name.split(".")[0]
