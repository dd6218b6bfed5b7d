"""A run in a process like that of Dagster's default launcher: ``python -m benchmarks.dagster_run``.

The parent (`DagsterRuns`) has embedded AWS, a tenant and its uploads, and dispatches a run for each
process. The process prints the seconds of the processor that it has taken when its first step
starts, and fails where the run does.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    import dagster as dg

    from relay_dagster.wiring import Platform

TENANT = "bench"
MODULE = "relay_dagster.definitions"
ATTRIBUTE = "defs"


@dataclass(frozen=True)
class DagsterRuns:
    """A tenant whose runs can be dispatched, one after the other."""

    platform: Platform
    instance: dg.DagsterInstance

    def dispatch(self) -> tuple[str, list[str]]:
        """Dispatch a run; return its id and the command that executes it."""
        from dagster._core.remote_origin import (
            InProcessCodeLocationOrigin,
            RemoteJobOrigin,
            RemoteRepositoryOrigin,
        )
        from dagster._core.types.loadable_target_origin import (
            LoadableTargetOrigin,
        )
        from dagster._grpc.types import ExecuteExternalJobArgs
        from dagster._serdes import serialize_value

        from relay_dagster import tags
        from relay_dagster.definitions import defs
        from relay_dagster.orchestration.jobs import INVENTORY_SYNC
        from relay_dagster.runs.model import NewRun

        run_id = str(uuid.uuid4())
        self.platform.ledger.reserve(
            NewRun(run_id=run_id, tenant_id=TENANT, config_version=1)
        )
        self.platform.ledger.dispatch(
            run_id, 1, message_id="m", receipt_handle="h"
        )
        named = {
            **tags.run_tags(run_id, TENANT, attempt=1),
            tags.PARTITION: TENANT,
        }
        run = self.instance.create_run_for_job(
            defs.resolve_job_def(INVENTORY_SYNC), tags=named
        )
        place = InProcessCodeLocationOrigin(
            LoadableTargetOrigin(module_name=MODULE, attribute=ATTRIBUTE)
        )
        origin = RemoteJobOrigin(
            RemoteRepositoryOrigin(place, "__repository__"), INVENTORY_SYNC
        )
        job_arguments = ExecuteExternalJobArgs(
            job_origin=origin,
            run_id=run.run_id,
            instance_ref=self.instance.get_ref(),
        )
        return run_id, [
            sys.executable,
            "-m",
            "benchmarks.dagster_run",
            serialize_value(job_arguments),
        ]

    def has_succeeded(self, run_id: str) -> bool:
        """Return whether a run has ended well."""
        record = self.platform.runs.get(run_id)
        return record is not None and record.status == "SUCCEEDED"


@contextmanager
def dagster_runs(folder: Path, home: Path) -> Iterator[DagsterRuns]:
    """Start embedded AWS and lend a tenant with the feeds and SKU maps of a folder."""
    import dagster as dg

    from relay_dagster.aws.provisioning.bootstrap import bootstrap
    from relay_dagster.devstack.processes import MOTO, Stack
    from relay_dagster.orchestration.jobs import TENANT_PARTITIONS
    from relay_dagster.settings import Settings
    from relay_dagster.wiring import connect

    with Stack(home) as stack, patch.dict(os.environ):
        stack.start(MOTO)
        stack.await_instance()
        os.environ.update(stack.environment)
        os.environ.update(bootstrap())
        platform = connect(Settings.from_env())
        document = json.loads((folder / "config.json").read_text("utf-8"))
        for vendor in document["vendors"]:
            name = vendor["vendor_id"]
            prefix = f"tenants/{TENANT}/inbound/{name}/"
            vendor["inbound"] = {"type": "s3", "s3_prefix": prefix}
            platform.objects.put(
                f"{prefix}feed.csv", (folder / f"{name}.csv").read_bytes()
            )
            if "sku_map" in vendor:
                key = f"tenants/{TENANT}/maps/{name}.csv"
                vendor["sku_map"] = {"type": "s3", "s3_key": key}
                platform.objects.put(
                    key, (folder / f"{name}.map.csv").read_bytes()
                )
        platform.tenants.put(TENANT, json.dumps(document))
        with dg.DagsterInstance.from_config(
            str(stack.dagster_home)
        ) as instance:
            instance.add_dynamic_partitions(TENANT_PARTITIONS, [TENANT])
            yield DagsterRuns(platform, instance)


def execute(asked: str) -> None:
    """Execute a dispatched run as the code server's child does."""
    from dagster._core.definitions.reconstruct import ReconstructableRepository
    from dagster._grpc.impl import _run_in_subprocess

    first_step: list[float] = []

    def note(event: Any) -> None:
        if not first_step and event.event_type_value == "STEP_START":
            first_step.append(time.process_time())

    code = ReconstructableRepository.for_module(
        MODULE, ATTRIBUTE, working_directory=None
    )
    job = code.get_reconstructable_job("inventory_sync")
    _run_in_subprocess(
        asked, job, multiprocessing.Event(), lambda _: None, note
    )
    print(json.dumps({"first_step_s": first_step[0]}))


if __name__ == "__main__":
    execute(sys.argv[1])
