"""The assets, and their resource: the run that this process executes.

The session of ``execution/session.py`` does the work, ``checks.py`` judges it, and
``metadata.py`` shows it. The checks are evaluated inside the assets, which have the rows, and
block nothing: a blocked merge would leave nobody to write the reports and to end the run.

No Dagster run makes the live feed: runs, releases, and rollbacks publish it, and
``feed_events.py`` reports each publication.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from relay_core.domain.columns import COLUMNS
from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.records import ENGINE_VERSION
from relay_dagster.execution.attempt import Attempt, Launch, RunStoppedError
from relay_dagster.execution.session import ASSETS, RunSession
from relay_dagster.external_errors import INTERNAL_ERROR, error_code_of
from relay_dagster.orchestration import checks, metadata
from relay_dagster.orchestration.column_lineage import service_lineage
from relay_dagster.orchestration.feed_events import PUBLISHED_FEED, freshness
from relay_dagster.orchestration.jobs import tenant_partitions
from relay_dagster.orchestration.metadata_tables import column_schema
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform


class RunFailed(dg.Failure):
    """The failure that Dagster shows for a run, or an attempt, that ended with an error code."""


class RunSessions(dg.ConfigurableResource):
    """The run that this process executes."""

    connect: dg.ResourceDependency[Callable[[], Platform]]
    _session: RunSession | None = PrivateAttr(default=None)

    @contextmanager
    def materializing(
        self,
        context: dg.AssetExecutionContext,
    ) -> Iterator[RunSession]:
        """Yield the run's session for one asset's part of the work.

        Raises:
            RunFailed: The run or the attempt ended inside; the message begins with the code.
        """
        if self._session is None:
            run = context.run
            # Dagster names no assets if it is all of them.
            selected = [
                key.to_user_string() for key in run.asset_selection or ()
            ]
            launch = Launch(
                dagster_run_id=run.run_id,
                tenant_id=context.partition_key,
                tags=run.tags,
                assets=frozenset(
                    run.step_keys_to_execute or selected or ASSETS,
                ),
                is_reexecution=run.parent_run_id is not None,
            )
            self._session = RunSession(self.connect(), launch)
        session = self._session
        try:
            with session.materializing(context.asset_key.to_user_string()):
                yield session
        except RunStoppedError as stopped:
            raise _failure(str(stopped), session.claimed_attempt) from None
        except Exception as error:
            # The code explains an error that has one. A defect needs its traceback.
            code = error_code_of(error)
            if code == INTERNAL_ERROR:
                raise
            attempt = session.claimed_attempt
            description = f"{code}: {error}"
            if attempt is not None and attempt.record.has_ended:
                # It was the last attempt, and the record has the run's own error.
                record = attempt.record
                description = f"{record.error_code}: {record.error_message}"
            raise _failure(description, attempt) from None

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Stop the threads that run beside the assets."""
        if self._session is not None:
            self._session.close()


def _failure(description: str, attempt: Attempt | None) -> RunFailed:
    shown_metadata = (
        None if attempt is None else metadata.failure_metadata(attempt)
    )
    return RunFailed(description, shown_metadata, allow_retries=False)


_IN_COMMON: Any = {
    "group_name": "inventory",
    "partitions_def": tenant_partitions,
    "code_version": ENGINE_VERSION,
    "tags": {"domain": "inventory", "tier": "core"},
}


@dg.asset(
    **_IN_COMMON,
    kinds={"s3"},
    description="The latest feed of each vendor, copied into the run and pinned by its manifest.",
)
def fetched_inventory(
    context: dg.AssetExecutionContext,
    run_sessions: RunSessions,
) -> dg.MaterializeResult:
    """Claim the run, load its config, pin its inputs."""
    with run_sessions.materializing(context) as run:
        run.claim()
        run.load_config()
        inputs = run.pin_inputs()
        if run.ends_here:
            run.attempt.end()
    context.add_asset_metadata(
        metadata.fetched_metadata(inputs, run.attempt.sink),
    )
    return dg.MaterializeResult()


@dg.asset(
    **_IN_COMMON,
    deps=[fetched_inventory],
    check_specs=checks.NORMALIZED_CHECKS,
    kinds={"pandas", "pandera"},
    metadata=column_schema((column.name, column.kind) for column in COLUMNS),
    description="Each vendor's valid rows in the canonical columns, and a list of rejected rows.",
)
def normalized_inventory(
    context: dg.AssetExecutionContext,
    run_sessions: RunSessions,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Read every vendor's feed, whatever is wrong with another, and only then judge them."""
    with run_sessions.materializing(context) as run:
        run.claim()
        config = run.load_config()
        inputs = run.pin_inputs()
        normalized = run.normalize(inputs)
        results = [
            *checks.normalized_results(config.error_policy, normalized.vendors),
        ]
        try:
            run.stop_if_failed()
        except RunStoppedError:
            yield from results
            raise
        if run.ends_here:
            run.attempt.end()
    # With the rows that they are about: Dagster forgets a verdict that is older than its rows.
    context.add_asset_metadata(
        metadata.normalized_metadata(normalized.vendors, run.attempt.sink),
    )
    yield dg.MaterializeResult(check_results=results)


@dg.asset(
    **_IN_COMMON,
    deps=[normalized_inventory],
    check_specs=checks.MERGED_CHECKS,
    kinds={"csv"},
    description="The best offer for each SKU with its price: the feed that the merchant receives.",
)
def merged_inventory(
    context: dg.AssetExecutionContext,
    run_sessions: RunSessions,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Merge and price, judge the run, write the feed, end the run: published, or held back."""
    with run_sessions.materializing(context) as run:
        run.claim()
        run.load_config()
        run.pin_inputs()
        compared = run.merge()
        merged = compared.merged
        results = [
            *checks.merged_results(
                merged, run.attempt.findings, run.attempt.sink.context
            )
        ]
        try:
            run.write(compared)
        except (RunStoppedError, ContractBrokenError):
            yield from results
            raise
        run.attempt.end()
    # Only now is it materialized: a run that was cancelled at the last moment has not got here.
    # A result's own metadata would be stored a second time, with the step's output.
    context.add_asset_metadata(
        {
            **service_lineage(merged.config, fetched_inventory.key),
            **metadata.merged_metadata(merged, run.attempt),
        },
    )
    yield dg.MaterializeResult(
        check_results=results,
        data_version=dg.DataVersion(str(run.attempt.record.feed_sha256)),
    )


published_feed = dg.AssetSpec(
    PUBLISHED_FEED,
    deps=[merged_inventory],
    partitions_def=tenant_partitions,
    group_name="inventory",
    tags={"domain": "inventory", "tier": "core"},
    kinds={"csv"},
    description="The live feed, with an event for each publication by a run, release, or rollback.",
)


@dg.multi_asset_check(specs=[checks.FRESH_CHECK])
def feed_is_fresh(
    context: dg.AssetCheckExecutionContext,
    run_sessions: RunSessions,
) -> Iterator[dg.AssetCheckResult]:
    """Judge a tenant's feed now; housekeeping does so every five minutes."""
    platform = run_sessions.connect()
    tenant_id = context.partition_key
    feed = platform.runs.feed(tenant_id)
    if feed is None:
        raise dg.Failure(
            f"tenant {tenant_id} has no feed yet",
            allow_retries=False,
        )
    yield freshness(platform.triggers.get(tenant_id), feed, utc_now())
