"""Runs on an ephemeral Dagster instance and embedded AWS, with the few acts that tests need."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg

from relay_dagster import tags
from relay_dagster.external_errors import ThrottledError
from relay_dagster.orchestration.build import build_defs
from relay_dagster.runs.model import NewRun, RunRecord
from relay_dagster.wiring import Platform
from support.builders import RUN_ID, config_document

TENANT = "acme"


class World:
    """A platform, an instance and the Definitions, with the few acts that tests need."""

    def __init__(
        self,
        platform: Platform,
        instance: dg.DagsterInstance,
        tenant_id: str = TENANT,
    ) -> None:
        self.platform = platform
        self.tenant_id = tenant_id
        self.connect: Callable[[], Platform] = lambda: platform
        self.instance = instance
        self.instance.add_dynamic_partitions("tenants", [tenant_id])

    def store_config(self, *vendors: Any, **changes: Any) -> None:
        document = config_document(*vendors, **changes)
        self.platform.tenants.put(self.tenant_id, json.dumps(document))

    def upload(
        self, vendor_id: str, data: bytes, name: str = "feed.csv"
    ) -> None:
        self.platform.objects.put(
            f"tenants/{self.tenant_id}/inbound/{vendor_id}/{name}", data
        )

    def request(self, run_id: str = RUN_ID, **changes: Any) -> None:
        self.platform.ledger.reserve(
            NewRun(run_id=run_id, tenant_id=self.tenant_id, **changes)
        )

    def dispatch(self, attempt: int = 1, run_id: str = RUN_ID) -> None:
        self.platform.ledger.dispatch(
            run_id, attempt, message_id="m", receipt_handle="h"
        )

    def execute(
        self,
        attempt: int | None = 1,
        *,
        run_id: str = RUN_ID,
        assets: list[str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        job = build_defs(connect_run=lambda: self.connect()).resolve_job_def(
            "inventory_sync"
        )
        run_tags = (
            {}
            if attempt is None
            else tags.run_tags(run_id, self.tenant_id, attempt=attempt)
        )
        return job.execute_in_process(
            partition_key=self.tenant_id,
            instance=self.instance,
            tags=run_tags,
            raise_on_error=False,
            asset_selection=None
            if assets is None
            else [dg.AssetKey(name) for name in assets],
        )

    def run(
        self, run_id: str = RUN_ID, **request: Any
    ) -> dg.ExecuteInProcessResult:
        """Request, dispatch and execute one run, as the queue would."""
        self.request(run_id, **request)
        self.dispatch(run_id=run_id)
        return self.execute(run_id=run_id)

    def record(self, run_id: str = RUN_ID) -> RunRecord:
        record = self.platform.runs.get(run_id)
        assert record is not None
        return record

    def artifact(self, name: str, run_id: str = RUN_ID) -> bytes:
        return self.platform.objects.read(
            self.platform.objects.artifacts(run_id, self.tenant_id)[name]
        )

    def report(self, name: str, run_id: str = RUN_ID) -> dict[str, Any]:
        return json.loads(self.artifact(name, run_id))

    def names(self, run_id: str = RUN_ID) -> set[str]:
        return set(self.platform.objects.artifacts(run_id, self.tenant_id))


class ThrottledOnce:
    """The bucket of a platform, whose listing is refused the first time."""

    def __init__(self, objects: Any) -> None:
        self._objects = objects
        self.refusals = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def latest_object(self, prefix: str) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise ThrottledError("s3.ListObjectsV2", "slow down")
        return self._objects.latest_object(prefix)


def with_objects(platform: Platform, objects: Any) -> Platform:
    return replace(platform, objects=objects)


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Return the description of the step failure, as the UI shows it."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


def column_of(table: Any, name: str) -> list[Any]:
    return [record.data[name] for record in table.records]
