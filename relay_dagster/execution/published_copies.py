"""The published copies of a tenant's feeds under ``published/<tenant_id>/``.

Just before it succeeds or is held, a run copies its feed there, and the feed's state,
which later runs are compared with. The tenant's feed pointer names the live feed.
Nothing here changes a record.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from relay_core.domain.codes import RunStatus
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.aws.stored_objects import ObjectInfo
from relay_dagster.feeds.pointer import (
    FeedPointer,
    Publication,
    copy_name,
    published_prefix,
)
from relay_dagster.runs.model import ChannelFile, RunRecord
from relay_dagster.wiring import Platform

KEPT_AFTER = timedelta(days=1)
"""How long a feed is kept after it is out of reach: links live for an hour."""


def feed_copy_key(run: RunRecord | ArtifactKeys, feed_format: str) -> str:
    """Return the key of the published copy of a run's feed in a format."""
    name = copy_name(run.run_id, feed_format)
    return f"{published_prefix(run.tenant_id)}{name}"


def state_key(run: RunRecord | ArtifactKeys) -> str:
    """Return the key of the published copy of the state of a run's feed."""
    return feed_copy_key(run, "state.parquet")


def copies_of(
    keys: ArtifactKeys,
    feed_format: str,
    channels: Iterable[ChannelFile] = (),
) -> dict[str, str]:
    """Return the keys of the copies to publish, by the keys of the run's files.

    They are those of the feed, its state, and its channels. Every attempt copies the
    same bytes.
    """
    copies = {
        keys.merged_inventory(feed_format): feed_copy_key(keys, feed_format),
        keys.state: state_key(keys),
    }
    for channel in channels:
        file_key = keys.channel(channel.channel_id, channel.suffix)
        name = copy_name(keys.run_id, channel.suffix, channel.channel_id)
        copies[file_key] = f"{published_prefix(keys.tenant_id)}{name}"
    return copies


def unpublish(objects: ObjectStore, run: RunRecord | ArtifactKeys) -> None:
    """Delete a run's published copies, if there are any."""
    prefix = feed_copy_key(run, "")
    for copy in objects.list_objects(prefix):
        objects.delete(copy.key)


def remove_superseded(
    platform: Platform,
    tenant_id: str,
    now: datetime,
) -> list[str]:
    """Delete copies of feeds that were out of reach a day ago; return their keys."""
    until = now - KEPT_AFTER
    prefix = published_prefix(tenant_id)
    copies = []
    for stored in platform.objects.list_objects(prefix):
        # Pulled files lie in folders beside the copies.
        if "/" not in stored.key.removeprefix(prefix):
            copies.append(stored)
    old_run_ids = {
        _run_id_of(copy) for copy in copies if copy.last_modified <= until
    }
    if not old_run_ids:
        return []
    records = platform.runs.get_many({_run_id_of(copy) for copy in copies})
    # Read after the records: a run that had ended by then has updated the pointer.
    pointer = platform.runs.feed(tenant_id)
    keep = platform.settings.keep_published
    superseded = superseded_runs(old_run_ids, records, pointer, until, keep)
    keys = [copy.key for copy in copies if _run_id_of(copy) in superseded]
    for key in keys:
        platform.objects.delete(key)
    return keys


def superseded_runs(
    run_ids: Collection[str],
    records: Mapping[str, RunRecord],
    pointer: FeedPointer | None,
    until: datetime,
    keep: int,
) -> set[str]:
    """Return the runs, of ``run_ids``, whose feeds were out of reach at an instant.

    The last ``keep`` publications of the pointer can be published again, and are in
    reach.
    """
    publications = () if pointer is None else pointer.publications[:keep]
    updates = _updates(publications, records.values())
    in_reach = {publication.run_id for publication in publications}
    superseded = set()
    for run_id in set(run_ids) - in_reach:
        if _is_out_of_reach(records.get(run_id), updates, until, keep):
            superseded.add(run_id)
    return superseded


def _updates(
    publications: Iterable[Publication],
    records: Iterable[RunRecord],
) -> list[tuple[int, datetime]]:
    """Return the known publications of a tenant: number and instant of each."""
    updates = [
        (publication.seq, publication.published_at)
        for publication in publications
    ]
    for record in records:
        if record.published_seq is not None and record.published_at is not None:
            updates.append((record.published_seq, record.published_at))
    return updates


def _is_out_of_reach(
    record: RunRecord | None,
    updates: Sequence[tuple[int, datetime]],
    until: datetime,
    keep: int,
) -> bool:
    """Return True if a feed was never published, or was followed by enough others."""
    if record is None:
        return True
    if record.status is not RunStatus.SUCCEEDED or record.published_seq is None:
        return record.status.is_final
    pushed_out_by = record.published_seq + keep
    return any(
        seq >= pushed_out_by and published_at <= until
        for seq, published_at in updates
    )


def _run_id_of(copy: ObjectInfo) -> str:
    return PurePosixPath(copy.key).name.split(".")[0]
