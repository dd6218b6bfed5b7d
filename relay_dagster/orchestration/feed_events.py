"""Events of the live feeds that no run of Dagster makes.

They are publications, releases and rollbacks, and the verdict whether a feed is late. A
change of a feed pointer stores its report as work, in the same transaction. The queue
of work lets one daemon report a feed at a time. If a daemon dies between a report and
its note, the next one asks Dagster for the events that it already has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import dagster as dg

from relay_core.domain.codes import RunStatus
from relay_core.publish.reports import timestamp
from relay_dagster.aws.metrics import report_fault
from relay_dagster.feeds import pointer
from relay_dagster.feeds.pointer import FeedPointer, Publication, PublishedBy
from relay_dagster.maintenance.housekeeping import Memory
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import DagsterOccasion
from relay_dagster.orchestration.metadata import report_link
from relay_dagster.orchestration.report_metadata import COMMAND_LABEL
from relay_dagster.triggers.rules import TriggerState, late_at
from relay_dagster.work.queue import LeasedItem
from relay_dagster.work.worker import Worker

PUBLISHED_FEED = dg.AssetKey("published_feed")
MERGED = dg.AssetKey("merged_inventory")
FEED_IS_FRESH = "feed_is_fresh"
FEEDS_AT_ONCE = 200
MAX_SKEW = timedelta(hours=1)
"""The most by which the clocks of those who publish and who report differ."""
CLOSING_DELAY = timedelta(minutes=5)
"""The delay of a publication whose tenant is being deleted, but may be restored."""
_DATA_VERSION = "dagster/data_version"
_DESCRIPTIONS = {
    PublishedBy.RUN: "published by its run",
    PublishedBy.RELEASE: "released by {by}",
    PublishedBy.ROLLBACK: "published again by {by}",
}
_Metadata = Mapping[str, Any]


def report_publications(on: DagsterOccasion, _: Memory | None = None) -> int:
    """Report the publications that Dagster does not have, and return their number."""
    reporter = PublicationReporter(on)
    worker = Worker(
        queue=on.platform.runs.publications,
        handle=reporter.report,
        on_fault=reporter.report_failure,
        clock=lambda: on.now,
        page_size=FEEDS_AT_ONCE,
    )
    return sum(worker.run(on.deadline).results)


@dataclass(frozen=True)
class PublicationReporter:
    """Reports feeds' publications to Dagster, as events of its assets."""

    on: DagsterOccasion

    @cached_property
    def closing_tenants(self) -> set[str]:
        """The tenants that are being deleted; read when the first feed is reported."""
        return self.on.platform.deletions.listed()

    def report(self, leased: LeasedItem[FeedPointer]) -> int:
        """Report the pending publications of a feed that Dagster does not have."""
        feed = leased.value
        if feed.tenant_id in self.closing_tenants:
            leased.postpone(CLOSING_DELAY, "the tenant is being deleted")
            return 0
        reported = self._reported_identities(feed)
        count = 0
        for publication in feed.pending:
            if _identity(publication) not in reported:
                self._report_publication(feed.tenant_id, publication)
                count += 1
        leased.finish(lambda stored: pointer.reported(stored, feed.pending))
        return count

    def report_failure(self, feed: FeedPointer, error: Exception) -> None:
        """Report a feed whose publications could not be reported."""
        metrics = self.on.platform.metrics
        tenant_id = feed.tenant_id
        report_fault(
            metrics,
            "publication_not_reported",
            error,
            tenant_id=tenant_id,
        )

    def _reported_identities(self, feed: FeedPointer) -> set[tuple[Any, Any]]:
        """Return the identities of the feed's last publications that Dagster has."""
        if not feed.pending:
            return set()
        since = feed.pending[0].published_at - MAX_SKEW
        records_filter = dg.AssetRecordsFilter(
            asset_key=PUBLISHED_FEED,
            asset_partitions=[feed.tenant_id],
            after_timestamp=since.timestamp(),
        )
        materializations = self.on.open_instance().fetch_materializations(
            records_filter,
            limit=pointer.MAX_PENDING,
        )
        identities = set()
        for record in materializations.records:
            values = _metadata_values(record)
            identities.add((values.get("run_id"), values.get("published_at")))
        return identities

    def _report_publication(
        self,
        tenant_id: str,
        publication: Publication,
    ) -> None:
        run_id, published_at = _identity(publication)
        metadata: dict[str, Any] = {
            "run_id": run_id,
            "how": str(publication.how),
            "by": publication.by or "its run",
            "published_at": published_at,
            "sha256": publication.sha256,
        }
        if publication.record_count is not None:
            metadata["record_count"] = publication.record_count
            metadata["dagster/row_count"] = publication.record_count
        metadata["report"] = report_link(tenant_id, run_id)
        event = _materialization(
            PUBLISHED_FEED,
            tenant_id,
            publication,
            metadata,
        )
        self.on.open_instance().report_runless_asset_event(event)
        if publication.how is PublishedBy.RELEASE:
            self._report_release(tenant_id, publication)

    def _report_release(self, tenant_id: str, publication: Publication) -> None:
        """Report the held feed again on its asset's page, as released.

        If the page shows a newer run's feed by now, it stays as it is.
        """
        instance = self.on.open_instance()
        record = self.on.platform.runs.get(publication.run_id)
        records_filter = dg.AssetRecordsFilter(
            asset_key=MERGED,
            asset_partitions=[tenant_id],
        )
        latest = instance.fetch_materializations(
            records_filter,
            limit=1,
        ).records
        if record is None or not latest:
            return
        held_event = latest[0].asset_materialization
        values = _metadata_values(latest[0])
        is_held_run = values.get("run_id") == publication.run_id
        is_held = is_held_run and values.get("status") == str(RunStatus.HELD)
        if held_event is None or not is_held:
            return
        metadata: dict[str, Any] = {
            "run_id": publication.run_id,
            "status": str(RunStatus.SUCCEEDED),
            "released_by": str(publication.by),
            "release_reason": record.release_reason or "",
            "released_at": timestamp(publication.published_at),
        }
        for name, value in held_event.metadata.items():
            is_command = name.startswith(COMMAND_LABEL)
            if name not in metadata and not is_command:
                metadata[name] = value
        event = _materialization(MERGED, tenant_id, publication, metadata)
        instance.report_runless_asset_event(event)


def _identity(publication: Publication) -> tuple[str, str]:
    """Return what tells a publication from all others of its tenant."""
    return publication.run_id, timestamp(publication.published_at)


def _materialization(
    asset_key: dg.AssetKey,
    tenant_id: str,
    publication: Publication,
    metadata: _Metadata,
) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        asset_key,
        partition=tenant_id,
        description=_DESCRIPTIONS[publication.how].format(by=publication.by),
        metadata=metadata,
        tags={_DATA_VERSION: publication.sha256},
    )


def _metadata_values(record: dg.EventLogRecord) -> _Metadata:
    event = record.asset_materialization
    if event is None:
        return {}
    return {name: entry.value for name, entry in event.metadata.items()}


def judge_freshness(
    on: DagsterOccasion,
    feeds: Iterable[tuple[TriggerState, FeedPointer]],
) -> int:
    """Report the verdicts that differ from the last ones, and return their number.

    ``feeds`` are those of all tenants that have a schedule and a feed. Dagster keeps one
    verdict for a check and a partition without a run, so the last one is deleted
    first. After the deadline none is reported.
    """
    history = DagsterHistory(on.open_instance)
    last_verdicts = history.verdicts(PUBLISHED_FEED, FEED_IS_FRESH)
    verdicts = {
        feed.tenant_id: freshness(state, feed, on.now) for state, feed in feeds
    }
    tenants_without = last_verdicts.keys() - verdicts.keys()
    history.forget_verdicts(PUBLISHED_FEED, FEED_IS_FRESH, tenants_without)
    count = 0
    for tenant_id, verdict in verdicts.items():
        if on.deadline.has_passed():
            break
        if last_verdicts.get(tenant_id) is verdict.passed:
            continue
        if tenant_id in last_verdicts:
            history.forget_verdicts(PUBLISHED_FEED, FEED_IS_FRESH, [tenant_id])
        evaluation = dg.AssetCheckEvaluation(
            asset_key=PUBLISHED_FEED,
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
    state: TriggerState,
    feed: FeedPointer,
    now: datetime,
) -> dg.AssetCheckResult:
    """Return the verdict whether a feed is late; without a schedule it never is."""
    publication = feed.in_force
    late_from = late_at(state, publication.published_at)
    is_late = late_from is not None and late_from < now
    expected = "no schedule" if late_from is None else timestamp(late_from)
    published_at = timestamp(publication.published_at)
    return dg.AssetCheckResult(
        check_name=FEED_IS_FRESH,
        passed=not is_late,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"published {published_at}, the next expected by {expected}",
        metadata={"run_id": publication.run_id, "published_at": published_at},
    )
