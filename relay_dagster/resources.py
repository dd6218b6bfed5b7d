"""Dagster resources: thin, they hand out plain objects, made when a run or tick first needs them.

A run's session lives as long as its process: its heartbeat spans all steps.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from relay_dagster.aws.platform import Platform
from relay_dagster.run_life import Launch, RunStoppedError
from relay_dagster.run_session import ASSETS, RunSession


class RunSessions:
    """Gives the steps of one Dagster run the same session."""

    def __init__(self, connect: Callable[[], Platform]) -> None:
        self._connect = connect
        self._session: RunSession | None = None

    @contextmanager
    def step(self, context: dg.AssetExecutionContext) -> Iterator[RunSession]:
        """Do one asset's part inside; a run that has ended fails in Dagster under our own code.

        Raises:
            dagster.Failure: the run has ended; the description starts with the error code.
        """
        if self._session is None:
            self._session = RunSession(self._connect(), _launch(context))
        try:
            with self._session.step(context.asset_key.to_user_string()):
                yield self._session
        except RunStoppedError as stopped:
            raise dg.Failure(description=str(stopped), allow_retries=False) from stopped

    def close(self) -> None:
        """Stop what runs beside the steps."""
        if self._session is not None:
            self._session.close()


def run_sessions(connect: Callable[[], Platform]) -> dg.ResourceDefinition:
    """Return the resource that the assets use."""

    @dg.resource(description="The run that this process executes.")
    def resource(_: dg.InitResourceContext) -> Iterator[RunSessions]:
        sessions = RunSessions(connect)
        try:
            yield sessions
        finally:
            sessions.close()

    return resource


def _launch(context: dg.AssetExecutionContext) -> Launch:
    run = context.run
    return Launch(
        dagster_run_id=run.run_id,
        tenant_id=context.partition_key,
        tags=run.tags,
        assets=_selected(run),
        is_reexecution=run.parent_run_id is not None,
    )


def _selected(run: dg.DagsterRun) -> frozenset[str]:
    """Return the assets that a run is to materialize; Dagster names none where it is all."""
    if run.step_keys_to_execute:
        return frozenset(run.step_keys_to_execute)
    if run.asset_selection:
        return frozenset(key.to_user_string() for key in run.asset_selection)
    return frozenset(ASSETS)
