"""A tenant's feeds at the place that outlives the artifacts of runs: ``published/<tenant_id>/``.

A run puts its feed there just before it succeeds; the tenant's feed pointer, which the ledger
moves, says which of them is in force. Nothing here changes a record.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Protocol

from relay_core.domain.codes import RunStatus
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.s3.object_store import ObjectInfo, ObjectStore
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform

KEPT_AFTER = timedelta(days=1)
"""For how long a feed stays that is no longer in force: links to it live for an hour."""


class OfRun(Protocol):
    """What belongs to a run: its record, its keys."""

    @property
    def run_id(self) -> str:
        """The run."""

    @property
    def tenant_id(self) -> str:
        """Its tenant."""


def published_key(run: OfRun) -> str:
    """Return where a run's feed is published."""
    return f"{_place_of(run.tenant_id)}{run.run_id}.csv"


def state_key(run: OfRun) -> str:
    """Return where the state of that feed lies, which later runs are compared with."""
    return f"{_place_of(run.tenant_id)}{run.run_id}.state.parquet"


def publish(objects: ObjectStore, keys: ArtifactKeys) -> None:
    """Copy a run's merged feed and its state, within S3, to their stable places.

    Every attempt of a run copies the same bytes to the same keys.
    """
    objects.copy(keys.merged_inventory, published_key(keys))
    objects.copy(keys.state, state_key(keys))


def withdraw(objects: ObjectStore, run: OfRun) -> None:
    """Take a run's published copies away, if there are any: its feed is not to be had."""
    objects.delete(published_key(run))
    objects.delete(state_key(run))


def remove_superseded(platform: Platform, tenant_id: str, now: datetime) -> list[str]:
    """Delete the tenant's feeds that have not been in force for a day, and return their keys."""
    until = now - KEPT_AFTER
    found = platform.objects.list_objects(_place_of(tenant_id))
    old = {_run_id_of(each): each for each in found if each.last_modified <= until}
    if not old:
        return []
    records = platform.runs.get_many(old)
    # Read after the records: a run that was final then has moved the pointer by now.
    pointer = platform.runs.feed(tenant_id)
    keys = superseded(old, records, until)
    doomed = [key for key in keys if pointer is None or key != pointer.key]
    for key in doomed:
        platform.objects.delete(key)
    return doomed


def superseded(
    old: Mapping[str, ObjectInfo], records: Mapping[str, RunRecord], until: datetime
) -> list[str]:
    """Return the keys of feeds that were not in force at an instant, nor can be later.

    Args:
        old: feeds from before the instant, by run_id.
        records: the records of these runs, as far as there are any.
        until: the instant.
    """
    last = max(_ends_of_successes(records.values(), until), default=None)
    return [each.key for run_id, each in sorted(old.items()) if _is_over(records.get(run_id), last)]


def _is_over(record: RunRecord | None, last_success: datetime | None) -> bool:
    if record is None:
        return True
    if record.status is not RunStatus.SUCCEEDED:
        return record.is_final
    ended = record.finished_at
    return ended is not None and last_success is not None and ended < last_success


def _ends_of_successes(records: Iterable[RunRecord], until: datetime) -> Iterable[datetime]:
    for record in records:
        ended = record.finished_at
        if record.status is RunStatus.SUCCEEDED and ended is not None and ended <= until:
            yield ended


def _place_of(tenant_id: str) -> str:
    return f"published/{tenant_id}/"


def _run_id_of(published: ObjectInfo) -> str:
    return PurePosixPath(published.key).name.split(".")[0]
