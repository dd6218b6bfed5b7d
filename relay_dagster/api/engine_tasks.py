"""Tasks of the engine for an answer, in processes of their own: checks of feeds, explanations.

A check reads the first bytes of a feed, an explanation a few parts of a run's files. `TaskSlots`
says who may start a task, and how long it may take.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from relay_core.config import TenantConfig
from relay_core.domain.errors import ArtifactsExpiredError, FeedUnreadableError
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.publish.keys import ArtifactKeys
from relay_core.sandbox import (
    Ask,
    BusyError,
    SandboxEndedError,
    SandboxPool,
    TaskOutOfMemoryError,
    TaskTooSlowError,
)
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.drain import Deadline

if TYPE_CHECKING:
    from relay_core.columnar.sorted_file import ByteRange


class TaskDeadline(Deadline):
    """The instant by which a task is done."""

    def left(self) -> float:
        """Return the seconds that are left; `TaskTooSlowError` where there are none."""
        seconds = self.at - self.monotonic()
        if seconds <= 0:
            raise TaskTooSlowError
        return seconds


class TaskSlots:
    """One task of a tenant at once, and a few of all tenants; none waits but suppliers."""

    def __init__(self, limits: ApiLimits = DEFAULT_API_LIMITS) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._under_way: list[str] = []
        self._waiting = 0

    @contextmanager
    def hold(self, tenant_id: str) -> Iterator[TaskDeadline]:
        """Hold a slot, and yield its deadline; `BusyError`: none is free, or the tenant has one."""
        with self._changed:
            if (
                tenant_id in self._under_way
                or len(self._under_way) >= self._limits.tasks
            ):
                raise BusyError
            self._under_way.append(tenant_id)
        with self._ending(tenant_id) as deadline:
            yield deadline

    @contextmanager
    def hold_behind(self) -> Iterator[TaskDeadline]:
        """Hold a slot as `hold` does, once no task at all is under way.

        So a supplier's check is no task of its tenant, and those who have keys find a slot.
        `BusyError`: there are others all the time, or enough wait already.
        """
        with self._changed:
            if self._waiting >= self._limits.link_checks_waiting:
                raise BusyError
            self._waiting += 1
            seconds = self._limits.task_seconds
            is_free = self._changed.wait_for(lambda: not self._under_way, seconds)
            self._waiting -= 1
            if not is_free:
                raise BusyError
            self._under_way.append("")
        with self._ending("") as deadline:
            yield deadline

    @contextmanager
    def _ending(self, whose: str) -> Iterator[TaskDeadline]:
        try:
            yield TaskDeadline.after(self._limits.task_seconds)
        finally:
            with self._changed:
                self._under_way.remove(whose)
                self._changed.notify_all()


Checks = Mapping[str, FeedCheck | str]
"""By vendor: the check of its feed, or the reason why its bytes cannot be read at all."""

Whole = tuple[int, Ask]
"""The size of an upload, and the function that returns its next piece from an offset on."""
PIECE_BYTES = 4 << 20
"""The size of a piece."""
MAX_WHOLE_BYTES = 64 << 20
"""A larger upload is not read whole."""
_MIN_ROWS, _MAX_ROWS_OF_ALL = 200, 20_000
"""Guesses are made of so many rows of each upload at least, and of all together at most."""
_SHORTEST_SECONDS = 0.5
_READS_AT_ONCE = 8
_FilePart: TypeAlias = tuple[str, tuple[int, int]]
"""Some bytes of an object: its key, from where and up to where."""


@dataclass(frozen=True, slots=True)
class EngineTasks:
    """Holds feeds against a config and explains runs' feeds, for any number of threads."""

    sandboxes: SandboxPool
    slots: TaskSlots
    limits: ApiLimits = DEFAULT_API_LIMITS

    def check(
        self,
        config: TenantConfig,
        feeds: Mapping[str, FeedSample],
        deadline: TaskDeadline,
    ) -> Checks:
        """Return the check of each vendor's feed.

        `TaskTooSlowError`, `TaskOutOfMemoryError`: it took too long, or too much memory.
        """
        if not feeds:
            return {}
        rows = max(_MIN_ROWS, _MAX_ROWS_OF_ALL // len(feeds))
        feeds = {
            name: replace(feed, rows=min(feed.rows, rows))
            for name, feed in feeds.items()
        }
        task = partial(check_feeds, config, feeds)
        checks: Checks = self.sandboxes.do(
            task, cpu_seconds=self.limits.task_cpu_seconds, seconds=deadline.left()
        )
        return checks

    def read_on(
        self,
        config: TenantConfig,
        checks: Checks,
        wholes: Mapping[str, Whole],
        deadline: TaskDeadline,
    ) -> Checks:
        """Return the checks with uploads read whole, one after the other, while there is time."""
        found, started = dict(checks), time.monotonic()
        for vendor_id, (size, read) in wholes.items():
            check, spent = found[vendor_id], time.monotonic() - started
            if isinstance(check, str) or size > MAX_WHOLE_BYTES:
                continue
            left = self.limits.task_cpu_seconds - spent
            if left < _SHORTEST_SECONDS:
                break
            task = partial(read_whole, config, vendor_id, check, size)
            try:
                found[vendor_id] = self.sandboxes.do(
                    task, cpu_seconds=left, seconds=deadline.left(), answer=read
                )
            except (TaskTooSlowError, TaskOutOfMemoryError, SandboxEndedError):
                continue  # its first rows have to do
        return found

    def explain(
        self, objects: ObjectStore, keys: ArtifactKeys, sku: str
    ) -> dict[str, Any]:
        """Return the explanation of a SKU of a run, as JSON values.

        `SkuNotFoundError`: no row of the run has it; `ArtifactsExpiredError`: its files are gone;
        `BusyError`: enough tasks are under way, or one of the tenant's; `TaskTooSlowError`,
        `TaskOutOfMemoryError`: the SKU has too many rows.
        """

        def part_of(wanted: _FilePart) -> bytes:
            key, (start, stop) = wanted
            data = objects.read_range(key, start, stop)
            if data is None or len(data) < stop - start:
                raise ArtifactsExpiredError(f"{key} is gone")
            return data

        with (
            self.slots.hold(keys.tenant_id) as deadline,
            ThreadPoolExecutor(_READS_AT_ONCE) as beside,
        ):
            sizes = {each.key: each.size for each in objects.list_objects(keys.prefix)}
            task = partial(explain_with, keys, sku, sizes)
            explanation: dict[str, Any] = self.sandboxes.do(
                task,
                cpu_seconds=self.limits.task_cpu_seconds,
                seconds=deadline.left(),
                answer=lambda parts: list(beside.map(part_of, parts)),
            )
        return explanation


def check_feeds(
    config: TenantConfig, feeds: Mapping[str, FeedSample], _: Ask
) -> Checks:
    """Check feeds, in a sandbox."""
    from relay_core.onboarding.feed_check import check_feed, with_rows

    found: dict[str, FeedCheck | str] = {}
    for vendor_id, feed in feeds.items():
        try:
            vendor = config.vendor(vendor_id)
            found[vendor_id] = with_rows(
                check_feed(feed, vendor.parser, config), feed, vendor, config
            )
        except FeedUnreadableError as error:
            found[vendor_id] = str(error)
    return found


def read_whole(
    config: TenantConfig, vendor_id: str, check: FeedCheck, size: int, ask: Ask
) -> FeedCheck:
    """Go on with a check, in a sandbox, with all of an upload."""
    from relay_core.onboarding.feed_check import with_rows

    data = b"".join(map(ask, range(0, size, PIECE_BYTES)))
    return with_rows(
        check, FeedSample(data, is_whole=True), config.vendor(vendor_id), config
    )


def explain_with(
    keys: ArtifactKeys, sku: str, sizes: Mapping[str, int], ask: Ask
) -> dict[str, Any]:
    """Explain a SKU, in a sandbox."""
    from relay_core.publish.explanation import explain_sku

    return explain_sku(_Files(sizes, ask), keys, keys.run_id, sku)


@dataclass(frozen=True, slots=True)
class _Files:
    """The engine's ``RunFiles`` in a sandbox, which asks the API's process for each part."""

    sizes: Mapping[str, int]
    ask: Ask

    def read(self, parts: "Sequence[tuple[str, ByteRange]]") -> Sequence[bytes]:
        found: Sequence[bytes] = self.ask(
            [(key, (part.start, part.stop)) for key, part in parts]
        )
        return found
