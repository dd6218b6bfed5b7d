"""Events of feeds in force, which no run of Dagster makes: publications, releases, rollbacks.

The change of a feed pointer stores what is to be reported, in its own transaction. A feed is taken
by a conditional write before anything of it is reported: of two daemons one gets it. Whoever died
between the report and its note is found out by the next, who asks Dagster what it has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from relay_core.domain.codes import RunStatus
from relay_core.publish.reports import timestamp
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import drain
from relay_dagster.feeds.pointer import (
    MAX_PENDING,
    FeedPointer,
    Publication,
    PublishedBy,
)
from relay_dagster.maintenance.housekeeping import Memory
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import DagsterOccasion
from relay_dagster.orchestration.metadata import report_link
from relay_dagster.triggers.rules import TriggerState, late_at
from relay_dagster.wiring import Platform

PUBLISHED_FEED, MERGED = dg.AssetKey("published_feed"), dg.AssetKey("merged_inventory")
FEEDS_AT_ONCE = 200
LEASE = timedelta(seconds=60)
"""A feed that was taken is due again after that, in case that its reporter has died."""
MAX_SKEW = timedelta(hours=1)
"""The clocks of those who publish and of those who report differ by less."""
_DATA_VERSION = "dagster/data_version"
FEED_IS_FRESH = "feed_is_fresh"
_SENTENCES = {
    PublishedBy.RUN: "published by its run",
    PublishedBy.RELEASE: "released by {by}",
    PublishedBy.ROLLBACK: "published again by {by}",
}


def report_publications(on: DagsterOccasion, _: Memory | None = None) -> int:
    """Report the publications that Dagster does not have, each once; return how many."""
    platform, now = on.platform, on.now
    due = platform.runs.feeds_to_report(now, FEEDS_AT_ONCE)
    if not due:
        return 0
    closed, instance = platform.deletions.listed(), on.open_instance()

    def report(feed: FeedPointer) -> int:
        taken = platform.runs.put_feed(feed, replace(feed, due_at=now + LEASE))
        if taken is None:
            return 0  # another daemon has it, or it has just changed and stays due
        known = _reported(instance, taken)
        new = [each for each in taken.pending if _identity(each) not in known]
        for publication in new:
            run_id, published_at = _identity(publication)
            count = publication.record_count
            shown = {
                "run_id": run_id,
                "how": str(publication.how),
                "by": publication.by or "its run",
                "published_at": published_at,
                "sha256": publication.sha256,
                **(
                    {}
                    if count is None
                    else {"record_count": count, "dagster/row_count": count}
                ),
                "report": report_link(taken.tenant_id, run_id),
            }
            event = _event(PUBLISHED_FEED, taken.tenant_id, publication, shown)
            instance.report_runless_asset_event(event)
            if publication.how is PublishedBy.RELEASE:
                _report_release(platform, instance, taken.tenant_id, publication)
        platform.runs.put_feed(taken, replace(taken, pending=(), due_at=None))
        return len(new)

    def fault(feed: FeedPointer, error: Exception) -> None:
        report_fault(
            platform.metrics,
            "publication_not_reported",
            error,
            tenant_id=feed.tenant_id,
        )

    feeds = [feed for feed in due if feed.tenant_id not in closed]
    return sum(filter(None, drain(feeds, report, fault, deadline=on.deadline)))


def _reported(instance: dg.DagsterInstance, feed: FeedPointer) -> set[tuple[Any, Any]]:
    """Return the identities of those of a feed's publications that Dagster has."""
    asked = dg.AssetRecordsFilter(
        asset_key=PUBLISHED_FEED,
        asset_partitions=[feed.tenant_id],
        after_timestamp=(feed.pending[0].published_at - MAX_SKEW).timestamp(),
    )
    found = instance.fetch_materializations(asked, limit=MAX_PENDING).records
    shown = (_values(record) for record in found)
    return {(each.get("run_id"), each.get("published_at")) for each in shown}


def _identity(publication: Publication) -> tuple[str, str]:
    return publication.run_id, timestamp(publication.published_at)


def _event(
    asset: dg.AssetKey,
    tenant_id: str,
    publication: Publication,
    metadata: Mapping[str, Any],
) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        asset,
        partition=tenant_id,
        description=_SENTENCES[publication.how].format(by=publication.by),
        metadata=metadata,
        tags={_DATA_VERSION: publication.sha256},
    )


def _report_release(
    platform: Platform,
    instance: dg.DagsterInstance,
    tenant_id: str,
    publication: Publication,
) -> None:
    """Report the held feed once more on its asset's page, as released: when, why and by whom.

    A newer run's feed, which stands there by now, is left as it is.
    """
    asked = dg.AssetRecordsFilter(asset_key=MERGED, asset_partitions=[tenant_id])
    record = platform.runs.get(publication.run_id)
    for made in instance.fetch_materializations(asked, limit=1).records:
        shown, event = _values(made), made.asset_materialization
        held = (publication.run_id, str(RunStatus.HELD))
        if (
            event is None
            or record is None
            or (shown.get("run_id"), shown.get("status")) != held
        ):
            continue
        released = {
            "run_id": publication.run_id,
            "status": str(RunStatus.SUCCEEDED),
            "released_by": str(publication.by),
            "release_reason": record.release_reason or "",
            "released_at": timestamp(publication.published_at),
        }
        over = {*released, "to_release"}
        kept = {name: each for name, each in event.metadata.items() if name not in over}
        reported = _event(MERGED, tenant_id, publication, {**released, **kept})
        instance.report_runless_asset_event(reported)


def _values(record: dg.EventLogRecord) -> Mapping[str, Any]:
    event = record.asset_materialization
    found = {} if event is None else event.metadata
    return {name: each.value for name, each in found.items()}


def judge_freshness(
    on: DagsterOccasion, feeds: Iterable[tuple[TriggerState, FeedPointer]]
) -> int:
    """Report each verdict that differs from the last one; return how many those were.

    Dagster takes one verdict of a check and a partition that is no run's: the last one goes first.
    The feeds are of all tenants that have a schedule and a feed. None is reported late.
    """
    history, key = DagsterHistory(on.open_instance), PUBLISHED_FEED
    known, count = history.verdicts(key, FEED_IS_FRESH), 0
    verdicts = {feed.tenant_id: freshness(state, feed, on.now) for state, feed in feeds}
    history.forget_verdicts(key, FEED_IS_FRESH, known.keys() - verdicts.keys())
    for tenant_id, verdict in verdicts.items():
        if on.deadline.has_passed():
            break
        if known.get(tenant_id) is verdict.passed:
            continue
        if tenant_id in known:
            history.forget_verdicts(key, FEED_IS_FRESH, [tenant_id])
        evaluation = dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=FEED_IS_FRESH,
            passed=verdict.passed,
            severity=verdict.severity,
            description=verdict.description,
            metadata=verdict.metadata,
            partition=tenant_id,
        )
        on.open_instance().report_runless_asset_event(evaluation)
        count += 1
    return count


def freshness(
    state: TriggerState, feed: FeedPointer, now: datetime
) -> dg.AssetCheckResult:
    """Return the verdict on a tenant's feed: late, or not; one without a schedule is never late."""
    published_at = feed.in_force.published_at
    late = late_at(state, published_at)
    is_late = late is not None and late < now
    expected = "no schedule" if late is None else timestamp(late)
    return dg.AssetCheckResult(
        check_name=FEED_IS_FRESH,
        passed=not is_late,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"published {timestamp(published_at)}, the next expected by {expected}",
        metadata={
            "run_id": feed.in_force.run_id,
            "published_at": timestamp(published_at),
        },
    )
