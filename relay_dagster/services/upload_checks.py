"""Checks of inputs' latest uploads with a config that is not stored.

The uploads are read here: the first bytes of each, a few at a time. The engine checks
them in sandboxes, through `engine_tasks`; ``relay_core.onboarding`` makes the findings.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from relay_core.config import TenantConfig
from relay_core.config.inputs.tenant_inputs import Input
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_sample import FeedSample, is_read_whole
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.aws.stored_objects import ObjectInfo
from relay_dagster.http.engine_tasks import (
    PIECE_BYTES,
    EngineTasks,
    TaskDeadline,
)

HEAD_BYTES = 1 << 20
"""The number of bytes that are read first of each upload."""
WHOLE_BYTES = 8 << 20
"""The number of bytes that may be read of whole files, of all inputs together."""
_THREADS = 4


@dataclass(frozen=True, slots=True)
class UploadSample:
    """The bytes that were read of an input's latest upload."""

    file: ObjectInfo
    feed: FeedSample


@dataclass(frozen=True, slots=True)
class CheckedUpload:
    """An input's latest upload and its check."""

    tenant_input: Input
    # None if the input has no upload, or does not use S3.
    file: ObjectInfo | None
    # The check, or the reason why the bytes cannot be read at all. None without a file.
    result: FeedCheck | str | None

    @property
    def check(self) -> FeedCheck | None:
        """The check, or None if there is none."""
        return None if isinstance(self.result, str) else self.result

    @property
    def changes(self) -> Mapping[str, Any]:
        """The proposed changes of the input's parser, keyed by option."""
        return {} if self.check is None else self.check.changes


def check_uploads(
    config: TenantConfig,
    inputs: Sequence[Input],
    objects: ObjectStore,
    tasks: EngineTasks,
    deadline: TaskDeadline,
) -> list[CheckedUpload]:
    """Read the latest uploads of some inputs, each by itself, and check them.

    The result has one upload an input, in the same order.

    Raises:
        TaskTooSlowError: The deadline has passed, or the checks need too much CPU time.
        TaskOutOfMemoryError: The checks need too much memory.
    """
    samples = _read_samples(inputs, objects, deadline)
    feeds = {name: sample.feed for name, sample in samples.items()}
    results = tasks.check(config, feeds, deadline)
    partial_files = {}
    for name, sample in samples.items():
        if not sample.feed.is_whole:
            read_piece = partial(_read_piece, objects, sample.file)
            partial_files[name] = (sample.file.size, read_piece)
    results = tasks.read_on(config, results, partial_files, deadline)
    uploads = []
    for tenant_input in inputs:
        input_sample = samples.get(tenant_input.name)
        file = None if input_sample is None else input_sample.file
        result = results.get(tenant_input.name)
        uploads.append(CheckedUpload(tenant_input, file, result))
    return uploads


def _read_samples(
    inputs: Sequence[Input],
    objects: ObjectStore,
    deadline: TaskDeadline,
) -> dict[str, UploadSample]:
    """Read the first bytes of each input's latest upload, and some whole files."""
    pool = ThreadPoolExecutor(_THREADS)
    try:
        samples = pool.map(
            lambda tenant_input: _read_head(tenant_input, objects, deadline),
            inputs,
        )
        heads = {
            tenant_input.name: sample
            for tenant_input, sample in zip(inputs, samples, strict=True)
            if sample is not None
        }
    finally:
        pool.shutdown(cancel_futures=True)
    whole_samples = _with_whole_files(heads.values(), objects)
    return dict(zip(heads, whole_samples, strict=True))


def _read_head(
    tenant_input: Input, objects: ObjectStore, deadline: TaskDeadline
) -> UploadSample | None:
    """Return the first bytes of an input's latest upload, or None without an upload."""
    prefix = tenant_input.prefix
    if prefix is None:
        return None
    file = objects.latest_object(
        prefix, on_page=deadline.left, fits=tenant_input.takes
    )
    head = None if file is None else objects.read_range(file.key, 0, HEAD_BYTES)
    if file is None or head is None:
        return None
    return UploadSample(file, FeedSample(head, is_whole=file.size <= len(head)))


def _with_whole_files(
    samples: Iterable[UploadSample], objects: ObjectStore
) -> Iterator[UploadSample]:
    """Yield each sample, whole if its index is at its end and there is room for it."""
    room = WHOLE_BYTES
    for sample in samples:
        file = sample.file
        needs_whole = not sample.feed.is_whole and is_read_whole(
            sample.feed.data
        )
        content = None
        if needs_whole and file.size <= room:
            content = objects.read_range(file.key, 0, file.size)
        if content is None:
            yield sample
        else:
            room -= file.size
            yield replace(sample, feed=FeedSample(content, is_whole=True))


def _read_piece(objects: ObjectStore, file: ObjectInfo, start: int) -> bytes:
    """Return the piece of an upload at an offset; no bytes if the file is gone."""
    stop = min(file.size, start + PIECE_BYTES)
    return objects.read_range(file.key, start, stop) or b""
