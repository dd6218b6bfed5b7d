"""The one Dagster resource: the run that this process executes, made when an asset first needs it.

Thin: it finds out what Dagster was asked for, and says in Dagster how the run ended. The session
that it keeps lives as long as the process, because its heartbeat spans all assets.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from relay_dagster.execution.attempt import Attempt, Launch, RunStoppedError
from relay_dagster.execution.session import ASSETS, RunSession
from relay_dagster.external_errors import INTERNAL_ERROR, error_code_of
from relay_dagster.orchestration.metadata import failure_metadata
from relay_dagster.wiring import Platform


class RunFailed(dg.Failure):
    """A run, or an attempt, that has ended for a reason that has a code: what Dagster shows."""


class RunSessions(dg.ConfigurableResource):
    """The run that this process executes."""

    connect: dg.ResourceDependency[Callable[[], Platform]]
    _session: RunSession | None = PrivateAttr(default=None)

    @contextmanager
    def materializing(self, context: dg.AssetExecutionContext) -> Iterator[RunSession]:
        """Do one asset's part inside; a run that has ended fails in Dagster under our own code.

        Raises:
            RunFailed: the run has ended; the description starts with the error code.
        """
        if self._session is None:
            self._session = RunSession(self.connect(), _launch(context))
        session = self._session
        try:
            with session.materializing(context.asset_key.to_user_string()):
                yield session
        except RunStoppedError as stopped:
            raise _failure(str(stopped), session.claimed_attempt) from None
        except Exception as error:
            # A fault that has a code is named, not shown with its cause; a defect needs both.
            code, attempt = error_code_of(error), session.claimed_attempt
            if code == INTERNAL_ERROR:
                raise
            raise _failure(_last_word(attempt) or f"{code}: {error}", attempt) from None

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Stop what runs beside the assets."""
        if self._session is not None:
            self._session.close()


def _failure(description: str, attempt: Attempt | None) -> RunFailed:
    shown = None if attempt is None else failure_metadata(attempt)
    return RunFailed(description, shown, allow_retries=False)


def _last_word(attempt: Attempt | None) -> str | None:
    """Return the code and message of a run that its last attempt has ended, else None."""
    if attempt is None or not attempt.record.has_ended:
        return None
    return f"{attempt.record.error_code}: {attempt.record.error_message}"


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
