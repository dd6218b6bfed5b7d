"""A run's files in the bucket, read ahead and written beside its steps, and what outlives them.

`ConcurrentIO` makes calls to AWS that need not wait for each other. The bytes that are written come
from the engine; `RunReports` is the sink that its stages write to. Just before it succeeds or is
held, a run copies its feed, and the feed's state, which later runs are compared with, to
``published/<tenant_id>/``. The tenant's feed pointer names the feed in force. Nothing here changes
a record.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import ParamSpec, TypeVar

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import RunContext
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.work_file import WORK_FILE, read_work_file
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import MERGED_INVENTORY, ArtifactKeys
from relay_core.publish.report.content import report_html
from relay_core.publish.reports import errors_json, run_summary_json
from relay_dagster.aws.object_store import ObjectInfo, ObjectStore
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.runs.model import Outcome, RunRecord
from relay_dagster.wiring import Platform

_P = ParamSpec("_P")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

THREADS = 8
MAX_READ_AHEAD_BYTES = 64 << 20
"""The most that is read ahead into memory; a larger feed is read when it is needed."""
JSON = "application/json"
_CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": JSON,
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "tsv": "text/tab-separated-values; charset=utf-8",
}
KEPT_AFTER = timedelta(days=1)
"""The time that a feed stays after it is out of reach."""


class ConcurrentIO:
    """Starts calls and waits for them; none may start others, or all threads could wait."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="relay-aws")
        self._started: list[Future[object]] = []

    def start(
        self, call: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Start a call whose fault `wait` raises."""
        self._started.append(self._pool.submit(call, *args, **kwargs))

    def wait(self) -> None:
        """Wait for all started calls; raise the fault of the first that failed."""
        started = self._started
        self.drain()
        for each in started:
            each.result()

    def drain(self) -> None:
        """Wait for all started calls, and ignore their results."""
        started, self._started = self._started, []
        wait(started)

    def submit(
        self, call: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs
    ) -> "Future[_Result]":
        """Start a call whose caller takes its result."""
        return self._pool.submit(call, *args, **kwargs)

    def map(
        self, call: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> list[_Result]:
        """Return the results in order, once all calls have ended; raise the first fault."""
        started = [self._pool.submit(call, item) for item in items]
        wait(started)
        return [each.result() for each in started]

    def close(self) -> None:
        """Let running calls end, and start no other."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class ReadAhead:
    """Reads objects ahead, in the order of ``sizes`` (bytes by key), as many as fit into memory."""

    def __init__(
        self, objects: ObjectStore, io: ConcurrentIO, sizes: Mapping[str, int]
    ) -> None:
        self._objects = objects
        self._io = io
        self._sizes = dict(sizes)
        self._waiting = deque(self._sizes)
        self._coming: dict[str, Future[bytes]] = {}

    def take(self, key: str) -> bytes:
        """Return an object's bytes, kept no longer; `MissingResourceError` where there is none."""
        coming = self._coming.pop(key, None)
        if coming is None and key in self._waiting:
            self._waiting.remove(key)
        data = self._objects.read(key) if coming is None else coming.result()
        self.fill()
        return data

    def fill(self) -> None:
        """Begin to read as many more as there is room for."""
        room = MAX_READ_AHEAD_BYTES - sum(self._sizes[key] for key in self._coming)
        while self._waiting and self._sizes[self._waiting[0]] <= room:
            key = self._waiting.popleft()
            room -= self._sizes[key]
            self._coming[key] = self._io.submit(self._objects.read, key)


class RunReports:
    """Writes one run's files, from any thread."""

    def __init__(self, objects: ObjectStore, ctx: RunContext, io: ConcurrentIO) -> None:
        self.objects = objects
        self.io = io
        self.ctx = ctx
        self.keys = ArtifactKeys(ctx.run_id, ctx.tenant_id)
        self.artifacts: dict[str, str] = {}
        self._feed_sha256: str | None = None

    @property
    def feed_format(self) -> str | None:
        """The format of the merged feed that is written; None if none is."""
        key = self.artifacts.get(MERGED_INVENTORY)
        return None if key is None else PurePosixPath(key).suffix[1:]

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Begin to write a file; an artifact is listed once it is written."""

        def put() -> None:
            name = self.keys.artifact_name(key)
            content_type = (
                _CONTENT_TYPES[PurePosixPath(key).suffix[1:]] if name else None
            )
            written = self.objects.put_stream(key, chunks, content_type=content_type)
            if name:
                self.artifacts[name] = key
            if name == MERGED_INVENTORY:
                self._feed_sha256 = written.sha256

        self.io.start(put)

    def wait(self) -> None:
        """Wait until all begun files are written."""
        self.io.wait()

    def read_vendor(self, vendor_id: str) -> NormalizedVendor:
        """Read a vendor back from its work file; `FileNotFoundError` where there is none yet."""
        data = self.objects.read_or_none(self.keys.work(vendor_id, WORK_FILE))
        if data is None:
            raise FileNotFoundError(
                f"vendor {vendor_id!r} has no work file in this run; "
                "materialize normalized_inventory as well"
            )
        return read_work_file(data)

    def withdraw(self) -> None:
        """Delete the feed, its changes and its copies of a run that has not succeeded after all."""
        feeds = [each.key for each in self.objects.list_objects(self.keys.outputs)]
        for key in (*feeds, self.keys.changes):
            self.objects.delete(key)
            self.artifacts.pop(self.keys.artifact_name(key), None)
        unpublish(self.objects, self.keys)

    def write_last(
        self, findings: RunFindings, record: RunRecord, status: RunStatus, now: datetime
    ) -> Outcome:
        """Write errors.json (if any), run_summary.json, report.html; return the run's outcome."""
        began = record.started_at or record.requested_at
        errors = errors_json(self.ctx, findings)
        summary = run_summary_json(
            self.ctx,
            findings,
            status=status,
            stage_times=record.stage_times(now),
            duration_seconds=(now - began).total_seconds(),
            completed_at=now,
        )
        if errors is not None:
            self.write(self.keys.errors, [errors])
        self.write(self.keys.run_summary, [summary])
        self.write(self.keys.report, [report_html(self.ctx, findings, status)])
        self.wait()
        return Outcome(
            artifacts=dict(self.artifacts),
            errors_artifact_key=self.artifacts.get("errors"),
            counts=findings.counts(),
            vendor_results=findings.vendor_results(self.ctx.requested_at),
            changes=None if findings.changes is None else findings.changes.counts,
            feed_sha256=self._feed_sha256,
        )


# --- published copies -----------------------------------------------------------------------------


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


def unpublish(objects: ObjectStore, run: RunRecord | ArtifactKeys) -> None:
    """Delete a run's published copies, if there are any."""
    for copy in objects.list_objects(published_key(run, "")):
        objects.delete(copy.key)


def remove_superseded(platform: Platform, tenant_id: str, now: datetime) -> list[str]:
    """Delete copies that were out of reach a day ago (links live an hour); return their keys."""
    until = now - KEPT_AFTER
    place = place_of(tenant_id)
    found = [
        each
        for each in platform.objects.list_objects(place)
        if "/" not in each.key[len(place) :]
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
    record: RunRecord | None,
    updates: Sequence[tuple[int, datetime]],
    until: datetime,
    keep: int,
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
