"""The engine's tasks for the API: checks of feeds, and explanations of SKUs.

The tasks run in sandboxes, processes of their own that cannot read files. A check gets
the first bytes of a feed. An explanation asks the API's process for a few parts of a
run's files. `TaskSlots` decides who may start a task, and how long it may take.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from relay_core import sandbox
from relay_core.config import TenantConfig
from relay_core.domain.errors import ArtifactsExpiredError, FeedUnreadableError
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.drain import Deadline

if TYPE_CHECKING:
    from relay_core.columnar.sorted_file import ByteRange

CheckResults = Mapping[str, FeedCheck | str]
"""The check of each feed, or why its bytes cannot be read at all, by vendor ID."""
PartialFile = tuple[int, sandbox.Ask]
"""The size of an upload, and the function that returns its piece from an offset."""
PIECE_BYTES = 4 << 20
"""The size of a piece."""
MAX_WHOLE_BYTES = 64 << 20
"""The size of an upload that is read as a whole, at most."""
_MAX_ROWS = 20_000
"""The number of rows that are read of all uploads together, at most."""
_MIN_ROWS_PER_UPLOAD = 200
_MIN_CPU_SECONDS = 0.5
_CONCURRENT_READS = 8
_FilePart: TypeAlias = tuple[str, tuple[int, int]]
"""A part of a file: its key, and the offsets of its first byte and after its last."""


# --- slots --------------------------------------------------------------------------


class TaskDeadline(Deadline):
    """The instant by which a task must be finished."""

    def left(self) -> float:
        """Return the remaining seconds.

        Raises:
            TaskTooSlowError: There are none.
        """
        seconds = self.at - self.monotonic()
        if seconds <= 0:
            raise sandbox.TaskTooSlowError
        return seconds


class TaskSlots:
    """The slots for tasks: one a tenant, a few in all. Only suppliers wait for one."""

    def __init__(self, limits: ApiLimits = DEFAULT_API_LIMITS) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        # The tenant of each running task; "" for a task that a supplier started.
        self._running: list[str] = []
        self._waiting = 0

    @contextmanager
    def take(self, tenant_id: str) -> Iterator[TaskDeadline]:
        """Take a slot, and yield the deadline of its task.

        Raises:
            BusyError: No slot is free, or the tenant has one.
        """
        with self._changed:
            is_full = len(self._running) >= self._limits.tasks
            if is_full or tenant_id in self._running:
                raise sandbox.BusyError
            self._running.append(tenant_id)
        with self._released(tenant_id) as deadline:
            yield deadline

    @contextmanager
    def take_when_idle(self) -> Iterator[TaskDeadline]:
        """Take a slot once no task is running, and yield the deadline of its task.

        So a supplier's task is not its tenant's, and callers with a key find a slot.

        Raises:
            BusyError: Other tasks were running all the time, or enough callers wait.
        """
        with self._changed:
            if self._waiting >= self._limits.link_checks_waiting:
                raise sandbox.BusyError
            self._waiting += 1
            is_idle = self._changed.wait_for(
                lambda: not self._running, timeout=self._limits.task_seconds
            )
            self._waiting -= 1
            if not is_idle:
                raise sandbox.BusyError
            self._running.append("")
        with self._released("") as deadline:
            yield deadline

    @contextmanager
    def _released(self, tenant_id: str) -> Iterator[TaskDeadline]:
        """Yield the deadline of a task, and release its slot at the end."""
        try:
            yield TaskDeadline.after(self._limits.task_seconds)
        finally:
            with self._changed:
                self._running.remove(tenant_id)
                self._changed.notify_all()


# --- tasks --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EngineTasks:
    """Runs the engine's tasks in sandboxes. All threads share it."""

    sandboxes: sandbox.SandboxPool
    slots: TaskSlots
    limits: ApiLimits = DEFAULT_API_LIMITS

    def check(
        self,
        config: TenantConfig,
        feeds: Mapping[str, FeedSample],
        deadline: TaskDeadline,
    ) -> CheckResults:
        """Return the check of each vendor's feed, which has the first bytes of a file.

        Raises:
            TaskTooSlowError: The check needs too much time.
            TaskOutOfMemoryError: The check needs too much memory.
        """
        if not feeds:
            return {}
        max_rows = max(_MIN_ROWS_PER_UPLOAD, _MAX_ROWS // len(feeds))
        feeds = {
            vendor_id: replace(feed, rows=min(feed.rows, max_rows))
            for vendor_id, feed in feeds.items()
        }
        results: CheckResults = self.sandboxes.do(
            partial(check_feeds, config, feeds),
            cpu_seconds=self.limits.task_cpu_seconds,
            seconds=deadline.left(),
        )
        return results

    def read_on(
        self,
        config: TenantConfig,
        results: CheckResults,
        partial_files: Mapping[str, PartialFile],
        deadline: TaskDeadline,
    ) -> CheckResults:
        """Return the checks of whole files, as far as there is time for them.

        The files are read one after the other. Of the others, the checks of their first
        bytes remain.
        """
        started = time.monotonic()
        complete_results = dict(results)
        for vendor_id, (size, read_piece) in partial_files.items():
            check = complete_results[vendor_id]
            if isinstance(check, str) or size > MAX_WHOLE_BYTES:
                continue
            spent_seconds = time.monotonic() - started
            cpu_seconds = self.limits.task_cpu_seconds - spent_seconds
            if cpu_seconds < _MIN_CPU_SECONDS:
                break
            try:
                complete_results[vendor_id] = self.sandboxes.do(
                    partial(read_whole, config, vendor_id, check, size),
                    cpu_seconds=cpu_seconds,
                    seconds=deadline.left(),
                    answer=read_piece,
                )
            except (
                sandbox.TaskTooSlowError,
                sandbox.TaskOutOfMemoryError,
                sandbox.SandboxEndedError,
            ):
                continue
        return complete_results

    def explain(
        self, objects: ObjectStore, keys: ArtifactKeys, sku: str
    ) -> dict[str, Any]:
        """Return the explanation of a SKU of a run, as JSON values.

        Raises:
            SkuNotFoundError: No row of the run has the SKU.
            ArtifactsExpiredError: The run's files are gone.
            BusyError: No slot is free, or the tenant has one.
            TaskTooSlowError: The SKU has too many rows.
            TaskOutOfMemoryError: The SKU has too many rows.
        """

        def read_part(part: _FilePart) -> bytes:
            key, (start, stop) = part
            content = objects.read_range(key, start, stop)
            if content is None or len(content) < stop - start:
                raise ArtifactsExpiredError(
                    f"{key} was deleted; start a new run"
                )
            return content

        with (
            self.slots.take(keys.tenant_id) as deadline,
            ThreadPoolExecutor(_CONCURRENT_READS) as threads,
        ):

            def read_parts(parts: Sequence[_FilePart]) -> list[bytes]:
                return list(threads.map(read_part, parts))

            files = objects.list_objects(keys.prefix)
            sizes = {file.key: file.size for file in files}
            explanation: dict[str, Any] = self.sandboxes.do(
                partial(explain_with, keys, sku, sizes),
                cpu_seconds=self.limits.task_cpu_seconds,
                seconds=deadline.left(),
                answer=read_parts,
            )
        return explanation


# --- what runs in a sandbox ---------------------------------------------------------


def check_feeds(
    config: TenantConfig, feeds: Mapping[str, FeedSample], _: sandbox.Ask
) -> CheckResults:
    """Check feeds, in a sandbox."""
    from relay_core.columnar.arrow_start import use_arrow_alone
    from relay_core.onboarding import feed_check

    use_arrow_alone()
    results: dict[str, FeedCheck | str] = {}
    for vendor_id, feed in feeds.items():
        vendor = config.vendor(vendor_id)
        try:
            check = feed_check.check_feed(feed, vendor.parser, config)
            results[vendor_id] = feed_check.with_rows(
                check, feed, vendor, config
            )
        except FeedUnreadableError as error:
            results[vendor_id] = str(error)
    return results


def read_whole(
    config: TenantConfig,
    vendor_id: str,
    check: FeedCheck,
    size: int,
    ask: sandbox.Ask,
) -> FeedCheck:
    """Complete a check with all of an upload, in a sandbox."""
    from relay_core.columnar.arrow_start import use_arrow_alone
    from relay_core.onboarding import feed_check

    use_arrow_alone()
    content = b"".join(ask(offset) for offset in range(0, size, PIECE_BYTES))
    feed = FeedSample(content, is_whole=True)
    return feed_check.with_rows(check, feed, config.vendor(vendor_id), config)


def explain_with(
    keys: ArtifactKeys, sku: str, sizes: Mapping[str, int], ask: sandbox.Ask
) -> dict[str, Any]:
    """Explain a SKU, in a sandbox."""
    from relay_core.columnar.arrow_start import use_arrow_alone
    from relay_core.publish.explanation import explain_sku

    use_arrow_alone()
    return explain_sku(_RunFiles(sizes, ask), keys, keys.run_id, sku)


@dataclass(frozen=True, slots=True)
class _RunFiles:
    """A run's files in a sandbox, which asks the API's process for each part."""

    sizes: Mapping[str, int]
    ask: sandbox.Ask

    def read(self, parts: "Sequence[tuple[str, ByteRange]]") -> Sequence[bytes]:
        """Return the bytes of parts of files, one a part."""
        requests = [(key, (part.start, part.stop)) for key, part in parts]
        contents: Sequence[bytes] = self.ask(requests)
        return contents
