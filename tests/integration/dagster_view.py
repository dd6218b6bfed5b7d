"""Dagster as its operator sees it: the runs of the instance, and the buttons of its UI."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import httpx

_PID = re.compile(r"Started process for run \(pid: (\d+)\)")
_LOCATION = {
    "repositoryLocationName": "relay",
    "repositoryName": "__repository__",
}
_UNFINISHED = [
    dg.DagsterRunStatus[name]
    for name in (
        "QUEUED",
        "NOT_STARTED",
        "STARTING",
        "STARTED",
        "CANCELING",
        "MANAGED",
    )
]


class DagsterView:
    """Reads the instance of a stack, and presses buttons through its webserver.

    Args:
        home: the instance's folder.
        url: the webserver.
    """

    def __init__(self, home: str, url: str) -> None:
        self._instance = dg.DagsterInstance.from_config(home)
        self._instance.get_runs_count()
        self._instance.all_instigator_state()
        self._instance.get_dynamic_partitions("tenants")
        self._http = httpx.Client(base_url=url, timeout=60)

    def close(self) -> None:
        """Let go of the instance."""
        self._http.close()
        self._instance.dispose()

    # --- reading --------------------------------------------------------------------------------

    def runs(
        self, run_id: str | None = None, attempt: int | None = None
    ) -> list[dg.DagsterRun]:
        """Return the Dagster runs of one of our runs, or all; a re-execution is none of them."""
        tags = {} if run_id is None else {"relay/run_id": run_id}
        if attempt is not None:
            tags["relay/attempt"] = str(attempt)
        runs = self._instance.get_runs(dg.RunsFilter(tags=tags))
        return [
            run for run in runs if run_id is None or run.parent_run_id is None
        ]

    def run(self, dagster_run_id: str) -> dg.DagsterRun | None:
        """Return one Dagster run."""
        return self._instance.get_run_by_id(dagster_run_id)

    def status(self, dagster_run_id: str) -> str:
        """Return a Dagster run's status, ``GONE`` where it was deleted."""
        run = self.run(dagster_run_id)
        return "GONE" if run is None else run.status.value

    def unfinished(self) -> list[dg.DagsterRun]:
        """Return the Dagster runs that have not ended."""
        return list(
            self._instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
        )

    def messages(self, dagster_run_id: str) -> str:
        """Return what a Dagster run's event log says."""
        entries = self._instance.all_logs(dagster_run_id)
        events = (
            (entry.dagster_event, entry.user_message) for entry in entries
        )
        return "\n".join(
            (event.message if event else None) or text or ""
            for event, text in events
        )

    def pid(self, dagster_run_id: str) -> int | None:
        """Return the process that executes a Dagster run, once it has said so."""
        for entry in self._instance.all_logs(dagster_run_id):
            event = entry.dagster_event
            match = _PID.search(
                (event.message if event else None) or entry.user_message or ""
            )
            if match:
                return int(match.group(1))
        return None

    def partitions(self) -> set[str]:
        """Return the tenants that have a partition."""
        return set(self._instance.get_dynamic_partitions("tenants"))

    # --- the UI's buttons -----------------------------------------------------------------------

    def terminate(self, dagster_run_id: str) -> None:
        """Press Terminate."""
        self._press(
            "terminateRun",
            "TerminateRunSuccess",
            "mutation($run: String!) { terminateRun(runId: $run, terminatePolicy: SAFE_TERMINATE)"
            " { __typename ... on TerminateRunFailure { message }"
            " ... on PythonError { message } } }",
            {"run": dagster_run_id},
        )

    def delete(self, dagster_run_id: str) -> None:
        """Press Delete."""
        self._press(
            "deletePipelineRun",
            "DeletePipelineRunSuccess",
            "mutation($run: String!) { deletePipelineRun(runId: $run)"
            " { __typename ... on PythonError { message } } }",
            {"run": dagster_run_id},
        )

    def reexecute(self, dagster_run_id: str, *, from_failure: bool) -> str:
        """Press Re-execute (all steps, or from failure); return the new Dagster run's id."""
        answer = self._press(
            "launchRunReexecution",
            "LaunchRunSuccess",
            "mutation($parameters: ReexecutionParams!) {"
            " launchRunReexecution(reexecutionParams: $parameters) { __typename"
            " ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
            {
                "parameters": {
                    "parentRunId": dagster_run_id,
                    "strategy": "FROM_FAILURE" if from_failure else "ALL_STEPS",
                }
            },
        )
        return str(answer["run"]["runId"])

    def launch(self, tags: Mapping[str, str]) -> str:
        """Press Launch Run with these tags; return the Dagster run's id."""
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        answer = self._press(
            "launchRun",
            "LaunchRunSuccess",
            "mutation($parameters: ExecutionParams!) { launchRun(executionParams: $parameters)"
            " { __typename ... on LaunchRunSuccess { run { runId } }"
            " ... on PythonError { message } } }",
            {
                "parameters": {
                    "selector": {**_LOCATION, "jobName": "inventory_sync"},
                    "runConfigData": {},
                    "executionMetadata": {"tags": pairs},
                }
            },
        )
        return str(answer["run"]["runId"])

    def backfill(self, tenants: Sequence[str], assets: Sequence[str]) -> str:
        """Press Materialize for several partitions; return the backfill's id."""
        answer = self._press(
            "launchPartitionBackfill",
            "LaunchBackfillSuccess",
            "mutation($parameters: LaunchBackfillParams!) {"
            " launchPartitionBackfill(backfillParams: $parameters) { __typename"
            " ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
            {
                "parameters": {
                    "partitionNames": list(tenants),
                    "assetSelection": [{"path": [asset]} for asset in assets],
                }
            },
        )
        return str(answer["backfillId"])

    def switch_sensor(self, name: str, *, on: bool) -> None:
        """Turn a sensor's switch."""
        selector = {**_LOCATION, "sensorName": name}
        if on:
            self._press(
                "startSensor",
                "Sensor",
                "mutation($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor)"
                " { __typename ... on PythonError { message } } }",
                {"sensor": selector},
            )
            return
        state = self._ask(
            "query($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor)"
            " { ... on Sensor { id } } }",
            {"sensor": selector},
        )
        self._press(
            "stopSensor",
            "StopSensorMutationResult",
            "mutation($id: String!) { stopSensor(id: $id)"
            " { __typename ... on PythonError { message } } }",
            {"id": state["sensorOrError"]["id"]},
        )

    def _press(
        self, name: str, wanted: str, text: str, variables: Mapping[str, Any]
    ) -> Any:
        answer = self._ask(text, variables)[name]
        assert answer["__typename"] == wanted, f"{name}: {answer}"
        return answer

    def _ask(self, text: str, variables: Mapping[str, Any]) -> Any:
        response = self._http.post(
            "/graphql", json={"query": text, "variables": dict(variables)}
        )
        answer = response.json()
        assert response.status_code == 200, answer
        assert "errors" not in answer, answer["errors"]
        return answer["data"]
