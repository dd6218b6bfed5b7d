"""Why a SKU's row of a run's feed is what it is: the engine's, in its process, a few parts read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from relay_core.domain.errors import ArtifactsExpiredError
from relay_core.publish.keys import ArtifactKeys
from relay_core.sandbox import Ask, SandboxPool
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.api.task_slots import TaskSlots
from relay_dagster.aws.s3.object_store import ObjectStore

if TYPE_CHECKING:
    from relay_core.columnar.sorted_file import Part

_READS_AT_ONCE = 8
_FilePart: TypeAlias = tuple[str, tuple[int, int]]
"""Some bytes of an object: its key, from where and up to where."""


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains runs' feeds, for any number of threads."""

    sandboxes: SandboxPool
    slots: TaskSlots
    limits: ApiLimits = DEFAULT_API_LIMITS

    def explain(self, objects: ObjectStore, keys: ArtifactKeys, sku: str) -> dict[str, Any]:
        """Return what a run has made of a SKU, as JSON values.

        Raises:
            SkuNotFoundError: no row of the run has it.
            ArtifactsExpiredError: files of the run are gone.
            BusyError: enough tasks are under way, or one of the tenant's.
            TaskTooSlowError, TaskOutOfMemoryError: the SKU has too many rows.
            ExternalServiceError: the bucket does not answer.
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
            task = _ExplainSku(keys, sku, sizes)
            explanation: dict[str, Any] = self.sandboxes.do(
                task,
                cpu_seconds=self.limits.task_cpu_seconds,
                seconds=deadline.left(),
                answer=lambda parts: list(beside.map(part_of, parts)),
            )
        return explanation


@dataclass(frozen=True, slots=True)
class _ExplainSku:
    keys: ArtifactKeys
    sku: str
    sizes: Mapping[str, int]

    def __call__(self, ask: Ask) -> dict[str, Any]:
        from relay_core.publish.explanation import explain_sku

        return explain_sku(_Files(self.sizes, ask), self.keys, self.keys.run_id, self.sku)


@dataclass(frozen=True, slots=True)
class _Files:
    """The engine's ``RunFiles``: what is read is asked for, in plain values."""

    sizes: Mapping[str, int]
    ask: Ask

    def read(self, parts: Sequence[tuple[str, Part]]) -> Sequence[bytes]:
        found: Sequence[bytes] = self.ask([(key, (part.start, part.stop)) for key, part in parts])
        return found
