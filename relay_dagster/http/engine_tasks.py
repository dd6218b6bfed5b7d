"""The engine's tasks for the API: checks of feeds, and explanations of SKUs.

The tasks run in sandboxes, processes of their own that cannot read files. A check gets
the first bytes of a feed. An explanation asks the API's process for a few parts of a
run's files. `TaskSlots` decides who may start a task, and how long it may take.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from relay_core import sandbox
from relay_core.config import PricingConfig, TenantConfig
from relay_core.config.inputs.tenant_inputs import inputs_of
from relay_core.domain.errors import ArtifactsExpiredError, FeedUnreadableError
from relay_core.domain.input_names import ids_of
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.drain import Deadline
from relay_dagster.http.limits import DEFAULT_API_LIMITS, ApiLimits

if TYPE_CHECKING:
    from relay_core.columnar.sorted_file import ByteRange

CheckResults = Mapping[str, FeedCheck | str]
"""The check of each feed, or why its bytes cannot be read at all, by the input's name."""
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


@dataclass(frozen=True, slots=True, eq=False)
class _WaitingTask:
    """A supplier's task that waits for a slot."""

    tenant_id: str
    gives_way_until: float  # the time until which tasks by keys go first


class TaskSlots:
    """The slots for tasks: one a tenant, a few in all. Only suppliers wait for one."""

    def __init__(
        self,
        limits: ApiLimits = DEFAULT_API_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._changed = threading.Condition()
        # The tenant of each running task; "" for a task that a supplier started.
        self._running: list[str] = []
        # Suppliers' tasks, the one that has waited the longest first.
        self._waiting: list[_WaitingTask] = []

    @contextmanager
    def take(self, tenant_id: str) -> Iterator[TaskDeadline]:
        """Take a slot, and yield the deadline of its task.

        Raises:
            BusyError: No slot is free, or the tenant has one.
        """
        with self._changed:
            slots = self._limits.tasks
            if self._waiting and self._is_first_in_line(self._waiting[0]):
                slots -= 1
            is_full = len(self._running) >= slots
            if is_full or tenant_id in self._running:
                raise sandbox.BusyError
            self._running.append(tenant_id)
        with self._released(tenant_id) as deadline:
            yield deadline

    @contextmanager
    def take_behind_keys(self, tenant_id: str) -> Iterator[TaskDeadline]:
        """Wait for a slot for a supplier's task, and yield the deadline of the task.

        The task waits until no other task is running. After a while it no longer gives
        way to tasks by keys, and takes the next free slot. A supplier's task is not its
        tenant's, and never takes all slots.

        Raises:
            BusyError: A task of the tenant's suppliers waits, or too many of all do.
        """
        with self._changed:
            waiting_tenants = [task.tenant_id for task in self._waiting]
            if (
                tenant_id in waiting_tenants
                or len(waiting_tenants) >= self._limits.link_checks_waiting
            ):
                raise sandbox.BusyError
            patience = self._limits.link_check_patience_seconds
            task = _WaitingTask(tenant_id, self._clock() + patience)
            self._waiting.append(task)
            try:
                self._wait_for_slot(task)
                self._running.append("")
            finally:
                self._waiting.remove(task)
                self._changed.notify_all()
        with self._released("") as deadline:
            yield deadline

    def _wait_for_slot(self, task: _WaitingTask) -> None:
        """Wait until a supplier's task may run.

        Raises:
            BusyError: Other tasks did not end in time.
        """
        for seconds in (
            self._limits.link_check_patience_seconds,
            # Each task before this one, and the one that runs, may take all its time.
            self._limits.task_seconds * (self._limits.link_checks_waiting + 1),
        ):
            if self._changed.wait_for(lambda: self._may_run(task), seconds):
                return
        raise sandbox.BusyError

    def _may_run(self, task: _WaitingTask) -> bool:
        """Return True if a supplier's task may take a slot now."""
        if self._waiting[0] is not task:
            return False
        if not self._running:
            return True
        has_free_slot = len(self._running) < self._limits.tasks
        return has_free_slot and self._is_first_in_line(task)

    def _is_first_in_line(self, task: _WaitingTask) -> bool:
        """Return True if the next free slot is that of a supplier's task."""
        has_waited = self._clock() >= task.gives_way_until
        return has_waited and "" not in self._running

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
        """Return the check of each input's feed, which has the first bytes of a file.

        Raises:
            TaskTooSlowError: The check needs too much time.
            TaskOutOfMemoryError: The check needs too much memory.
        """
        if not feeds:
            return {}
        max_rows = max(_MIN_ROWS_PER_UPLOAD, _MAX_ROWS // len(feeds))
        feeds = {
            name: replace(feed, rows=min(feed.rows, max_rows))
            for name, feed in feeds.items()
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
        for name, (size, read_piece) in partial_files.items():
            check = complete_results[name]
            if isinstance(check, str) or size > MAX_WHOLE_BYTES:
                continue
            spent_seconds = time.monotonic() - started
            cpu_seconds = self.limits.task_cpu_seconds - spent_seconds
            if cpu_seconds < _MIN_CPU_SECONDS:
                break
            try:
                complete_results[name] = self.sandboxes.do(
                    partial(read_whole, config, name, check, size),
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
        self,
        objects: ObjectStore,
        keys: ArtifactKeys,
        sku: str,
        pricing: PricingConfig | None = None,
    ) -> dict[str, Any]:
        """Return the explanation of a SKU of a run, as JSON values.

        With ``pricing``, the offers are priced by it and not by the run's config.

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
                partial(explain_with, keys, sku, pricing, sizes),
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
    for name, feed in feeds.items():
        alone = inputs_of(config)[name].alone(config)
        vendor = alone.vendor(ids_of(name)[0])
        try:
            check = feed_check.check_feed(feed, vendor.parser, alone)
            check = feed_check.with_rows(check, feed, vendor, alone)
            results[name] = feed_check.with_samples(check, feed, vendor)
        except FeedUnreadableError as error:
            results[name] = str(error)
    return results


def read_whole(
    config: TenantConfig,
    name: str,
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
    alone = inputs_of(config)[name].alone(config)
    vendor = alone.vendor(ids_of(name)[0])
    return feed_check.with_rows(check, feed, vendor, alone)


def explain_with(
    keys: ArtifactKeys,
    sku: str,
    pricing: PricingConfig | None,
    sizes: Mapping[str, int],
    ask: sandbox.Ask,
) -> dict[str, Any]:
    """Explain a SKU, in a sandbox."""
    from relay_core.columnar.arrow_start import use_arrow_alone
    from relay_core.publish.explaining.explanation import explain_sku

    use_arrow_alone()
    files = _RunFiles(sizes, ask)
    return explain_sku(files, keys, keys.run_id, sku, pricing)


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
