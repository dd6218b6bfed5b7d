"""The API over a platform on embedded AWS, with the few acts that its tests need."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure, VendorResult
from relay_core.sandbox import SandboxPool
from relay_dagster.aws.job_queue import Message
from relay_dagster.http.connections import server_options
from relay_dagster.http.engine_tasks import EngineTasks, TaskSlots
from relay_dagster.http.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.runs.model import Outcome, RunRecord
from relay_dagster.server.app import create_app
from relay_dagster.server.assembly import ENGINE_MODULES
from relay_dagster.wiring import Platform
from support.builders import config_document
from support.fakes import held_outcome, published_outcome

ADMIN = "admin-key"
SANDBOXES = SandboxPool(
    ENGINE_MODULES, memory_bytes=DEFAULT_API_LIMITS.task_bytes
)
"""Those of all worlds: a process takes a moment to start, and keeps nothing."""
TENANT = "acme"
JSON = {"Content-Type": "application/json"}
NOBODY_S_RUN = "00000000-0000-4000-8000-000000000000"


class ApiWorld:
    """An app, its platform, and a client with an admin key.

    Args:
        platform: what the app works with.
        limits: of callers.
        parts: in place of the platform's own.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        limits: ApiLimits = DEFAULT_API_LIMITS,
        **parts: Any,
    ) -> None:
        self.platform = platform
        self.app = create_app(replace(platform, **parts), limits=limits)
        slots = TaskSlots(limits)
        self.app.state.parts.tasks = EngineTasks(SANDBOXES, slots, limits)
        self.client = TestClient(self.app, headers={"X-API-Key": ADMIN})

    def with_key(self, key: str | None) -> TestClient:
        """Return a client that shows another key, or none."""
        return TestClient(
            self.app, headers={} if key is None else {"X-API-Key": key}
        )

    def store_config(self, *vendors: Any, **changes: Any) -> Response:
        """Put a config of `config_document`."""
        document = config_document(*vendors, **changes)
        return self.client.put(
            f"/v1/tenants/{document['tenant_id']}/config", json=document
        )

    def post_run(
        self, headers: Mapping[str, str] | None = None, **changes: Any
    ) -> Response:
        """Ask for a run of the tenant."""
        body = {"tenant_id": TENANT, "run_type": "inventory_sync", **changes}
        return self.client.post("/v1/runs", json=body, headers=headers)

    def run_of(self, response: Response) -> RunRecord:
        """Return the record of the run that a response shows."""
        record = self.platform.runs.get(response.json()["run_id"])
        assert record is not None
        return record

    def issue_key(self, tenant_id: str) -> str:
        """Make a key of a tenant that has a config."""
        response = self.client.post(f"/v1/tenants/{tenant_id}/api-keys")
        return str(response.json()["api_key"])

    def messages(self) -> list[Message]:
        """Receive what is in the queue."""
        return self.platform.queue.receive()

    def claim(self, run_id: str) -> RunRecord:
        """Bring a run to its first attempt, executing."""
        self.platform.ledger.dispatch(
            run_id, 1, message_id="m-1", receipt_handle="handle"
        )
        return self.platform.ledger.claim(run_id, 1, "dagster-1")

    def succeed(
        self, run_id: str, *results: VendorResult, **channels: bytes
    ) -> RunRecord:
        """End a run well, with a merged feed that is published where it is one of all vendors.

        ``channels`` are the files of channels, by id.
        """
        record = self.claim(run_id)
        outcome = published_outcome(self.platform, record, channels=channels)
        outcome = replace(outcome, vendor_results=results)
        return self.platform.ledger.succeed(record.fence, outcome)

    def hold(self, run_id: str, **channels: bytes) -> RunRecord:
        """End a run with its merged feed and ``channels`` held back."""
        record = self.claim(run_id)
        ledger = self.platform.ledger
        record = ledger.pin(record.fence, 1, "baseline-run")
        record = ledger.enter_stage(record.fence, Stage.WRITE_OUTPUTS)
        return ledger.feeds.hold(
            record.fence, held_outcome(self.platform, record, channels)
        )

    def hold_one(self) -> RunRecord:
        """Publish a feed of the tenant, and let the next one be held back."""
        self.succeed(self.post_run().json()["run_id"])
        return self.hold(self.post_run().json()["run_id"])

    def fail(self, run_id: str, *results: VendorResult) -> RunRecord:
        """End a run for its data."""
        record = self.claim(run_id)
        failure = RunFailure(
            "DECODE_ERROR", "decode error: vendor_1", Stage.NORMALIZE
        )
        key = f"{run_id}/tenants/{record.tenant_id}/reports/errors.json"
        self.platform.objects.put(key, b"{}")
        outcome = Outcome(
            artifacts={"errors": key},
            errors_artifact_key=key,
            vendor_results=results,
        )
        return self.platform.ledger.fail(record.fence, failure, outcome)


@contextmanager
def served(
    app: FastAPI, limits: ApiLimits = DEFAULT_API_LIMITS
) -> Iterator[int]:
    """Serve an app as `serve` does, on a port of its own, and yield the port."""
    options = server_options(limits)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", **options
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}
        )
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def assert_problem(
    response: Response, status: int, error_code: str
) -> dict[str, Any]:
    """Assert that a response is a whole problem document of this code, and return it."""
    problem: dict[str, Any] = json.loads(response.content)
    assert (response.status_code, problem["error_code"]) == (status, error_code)
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"] == "about:blank"
    return problem


def paths_of(problem: Mapping[str, Any]) -> list[str]:
    """Return the paths of a problem's faults, in order."""
    return [fault["path"] for fault in problem["errors"]]
