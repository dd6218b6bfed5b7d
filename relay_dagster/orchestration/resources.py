"""Dagster resources: thin, they hand out plain objects, made when a run or tick first needs them.

A run's session lives as long as its process: its heartbeat spans all steps.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from relay_dagster.execution.attempt import Launch, RunStoppedError
from relay_dagster.execution.session import ASSETS, RunSession
from relay_dagster.external_errors import INTERNAL_ERROR, error_code_of
from relay_dagster.orchestration.metadata import failure_metadata
from relay_dagster.wiring import Platform


class RunFailed(dg.Failure):
    """A run, or an attempt, that has ended for a reason that has a code."""

    # Python writes a class's module before its name, except for this one.
    __module__ = "builtins"


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
            raise self._failure(str(stopped)) from None
        except Exception as error:
            # A fault that has a code is named, not shown with its calls; a defect needs them.
            code = error_code_of(error)
            if code == INTERNAL_ERROR:
                raise
            raise self._failure(self._last_word() or f"{code}: {error}") from None

    def close(self) -> None:
        """Stop what runs beside the steps."""
        vars(sys).pop("tracebacklimit", None)
        if self._session is not None:
            self._session.close()

    def _last_word(self) -> str | None:
        """Return the code and message of a run that its last attempt has ended, else None."""
        life = self._session.claimed if self._session else None
        if life is None or not life.record.is_final:
            return None
        return f"{life.record.error_code}: {life.record.error_message}"

    def _failure(self, description: str) -> RunFailed:
        # Dagster shows the calls that led to a failure, most of them its own; Python leaves them
        # out while this is 0, which is until this run's resources are closed.
        sys.tracebacklimit = 0
        life = self._session.claimed if self._session else None
        return RunFailed(description, failure_metadata(life) if life else None, allow_retries=False)


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
