"""A run's whole way in this process: `POST /v1/runs`, intake, Dagster, the message acknowledged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from fastapi.testclient import TestClient

from relay_dagster.orchestration.build import build_defs
from relay_dagster.server.app import create_app
from relay_dagster.wiring import Platform
from support.builders import config_document, feed
from support.fakes import embedded_platform

TENANT = "acme"
MAX_TICKS = 10


class Journey:
    """A tenant with a config and an uploaded feed, on embedded AWS and an ephemeral Dagster."""

    def __init__(
        self, platform: Platform, instance: dg.DagsterInstance
    ) -> None:
        self.platform = platform
        self.instance = instance
        self.defs = build_defs(
            connect_run=lambda: platform,
            connect_tick=lambda: platform,
            wait_seconds=0,
        )
        self.client = TestClient(
            create_app(platform), headers={"X-API-Key": "admin-key"}
        )

    def prepare(self) -> None:
        platform = self.platform
        platform.tenants.put(TENANT, json.dumps(config_document()))
        platform.objects.put(
            f"tenants/{TENANT}/inbound/vendor_1/feed.csv", feed("a-1,3,2.50")
        )

    def post(self) -> str:
        body = {"tenant_id": TENANT, "run_type": "inventory_sync"}
        response = self.client.post("/v1/runs", json=body)
        assert response.status_code == 202, response.text
        return str(response.json()["run_id"])

    def tick(self, sensor: str) -> dg.SensorResult | dg.SkipReason | None:
        with dg.build_sensor_context(instance=self.instance) as context:
            return self.defs.resolve_sensor_def(sensor)(context)

    def take_in(self) -> dg.RunRequest:
        result = self.tick("sqs_run_sensor")
        assert isinstance(result, dg.SensorResult)
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, request.partition_keys
            )
        (run_request,) = result.run_requests or ()
        return run_request

    def execute(self, request: dg.RunRequest) -> None:
        job = self.defs.resolve_job_def("inventory_sync")
        result = job.execute_in_process(
            partition_key=request.partition_key,
            tags=request.tags,
            instance=self.instance,
        )
        assert result.success

    def settle(self, run_id: str) -> None:
        """Tick the reconciler until the run's message is acknowledged."""
        for _ in range(MAX_TICKS):
            self.tick("run_reconciler")
            record = self.platform.runs.get(run_id)
            assert record is not None
            if record.acknowledged_at is not None:
                return
        raise AssertionError(
            f"after {MAX_TICKS} ticks the message is not acknowledged"
        )

    def go(self) -> None:
        run_id = self.post()
        self.execute(self.take_in())
        self.settle(run_id)


@contextmanager
def prepared_journey() -> Iterator[Journey]:
    with (
        embedded_platform() as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        journey = Journey(platform, instance)
        journey.prepare()
        yield journey
