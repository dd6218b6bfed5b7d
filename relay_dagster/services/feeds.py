"""A tenant's live feed, and decisions on it: releases and rollbacks.

The ledger makes each decision's changes, in one transaction.
"""

from collections.abc import Sequence
from typing import NamedTuple

from relay_core.domain.codes import RunStatus
from relay_dagster.feeds.pointer import (
    PublishedFile,
    file_of,
    files_of,
    files_of_run,
)
from relay_dagster.http.problems import ProblemError
from relay_dagster.http.security.auth import Call
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import FeedNotKeptError
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.model import Release
from relay_dagster.services.runs import find_run, run_response
from relay_dagster.wire import runs as wire
from relay_dagster.wiring import Platform

_log = event_log()


class LiveFile(NamedTuple):
    """A file of a tenant's live feed, and the run that made it."""

    run_id: str
    key: str
    sha256: str


def live_file(
    tenant_id: str, platform: Platform, channel_id: str | None = None
) -> LiveFile:
    """Return the file of a tenant's live feed, or the file of one of its channels.

    Raises:
        ProblemError: The tenant has no feed, or the feed has no such channel (404).
    """
    pointer = platform.runs.feed(tenant_id) if is_id(tenant_id) else None
    if pointer is None:
        raise ProblemError(
            "FEED_NOT_FOUND",
            f"tenant {tenant_id} has no feed yet; start a run of all vendors",
        )
    file = file_of(pointer.in_force, channel_id)
    if file is None:
        raise lacking_channel(str(channel_id))
    return LiveFile(pointer.in_force.run_id, file.key, file.sha256)


def lacking_channel(channel_id: str) -> ProblemError:
    """Return the error of a live feed that was published without a channel."""
    return ProblemError(
        "FEED_NOT_FOUND",
        f"the live feed has no channel {channel_id}; add it to channels in the config, "
        "and start a run of all vendors",
    )


def _are_kept(call: Call, files: Sequence[PublishedFile]) -> bool:
    """Return whether all published copies of a feed are there."""
    objects = call.platform.objects
    return bool(files) and all(objects.exists(file.key) for file in files)


def release_run(
    run_id: str,
    call: Call,
    body: wire.ReleaseRequest,
) -> wire.Run:
    """Publish the feed of a run that is on hold, and return the run.

    Raises:
        FeedNotKeptError: The feed's files were deleted.
        RelayError: The run cannot be seen, is not on hold, or has another feed or other
            guards than the request names.
    """
    record = find_run(run_id, call)
    is_held = record.status is RunStatus.HELD
    if is_held and not _are_kept(call, files_of_run(record)):
        raise FeedNotKeptError(record.tenant_id, record.run_id)
    decision = Release(
        body.sha256, frozenset(body.guards), body.reason, by=call.caller.id
    )
    result = call.platform.ledger.feeds.release(
        record.run_id, decision, origin=call.origin
    )
    if result.was_changed:
        _log.info(
            "run_released",
            caller=call.caller.id,
            reason=body.reason,
            **result.record.log_facts,
        )
        call.platform.metrics.run_released(result.record)
    return run_response(result.record, call)


def roll_back_feed(
    tenant_id: str,
    call: Call,
    body: wire.RollbackRequest,
) -> wire.PublishedFeed:
    """Publish one of a tenant's previous feeds again, and return it.

    Raises:
        FeedNotKeptError: The tenant has no such feed, or the feed's files were deleted.
    """
    feeds = call.platform.ledger.feeds
    pointer = call.platform.runs.feed(tenant_id) if is_id(tenant_id) else None
    publication = None
    if pointer is not None:
        publication = pointer.republishable(body.run_id, feeds.keep)
    if publication is None or not _are_kept(call, files_of(publication)):
        raise FeedNotKeptError(tenant_id, body.run_id)

    rollback = feeds.roll_back(
        tenant_id,
        body.run_id,
        body.reason,
        by=call.caller.id,
        origin=call.origin,
    )
    if rollback.was_changed:
        _log.info(
            "feed_rolled_back",
            tenant_id=tenant_id,
            run_id=body.run_id,
            caller=call.caller.id,
            reason=body.reason,
        )
    return wire.PublishedFeed.of(rollback.feed.in_force, tenant_id=tenant_id)
