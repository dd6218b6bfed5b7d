"""What ``make bench-runs`` times: our runs over HTTP, and empty jobs over their own queues."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import dagster as dg
import httpx

from benchmarks.empty_job import DISPATCHED_TAG, MESSAGE_TAG
from benchmarks.feeds import Shape, config_document, write_feeds
from benchmarks.run_timing import Instants, dagster_instants
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform

POLL_SECONDS = 0.05
"""Looks cost the machine something, too, and ours go through the API."""
RUN_TIMEOUT_SECONDS = 120
_ORDER = {"run_type": "inventory_sync"}


class Subject(Protocol):
    """Something that can be asked for and that ends."""

    name: str

    def time_one(self, number: int) -> Instants:
        """Ask for one, wait until it has ended and say when what happened."""

    def ask(self, number: int) -> None:
        """Ask for one, and do not wait."""

    def count_ended(self) -> int:
        """Return how many have ended well since ``ask`` was first called."""


class ProductRuns:
    """Runs of our own: tenants of one vendor with a feed of 100 rows, or of ``rows``.

    Args:
        http: the API.
        platform: for the records and the uploads.
        instance: Dagster's.
        folder: for the feed that all tenants have.
    """

    name = "our run"

    def __init__(
        self,
        http: httpx.Client,
        platform: Platform,
        instance: dg.DagsterInstance,
        folder: Path,
        rows: int = 100,
    ) -> None:
        self._http = http
        self._platform = platform
        self._instance = instance
        self._shape = Shape(rows=rows, vendors=1, mapped=0)
        write_feeds(self._shape, folder)
        self._feed = (folder / "vendor_1.csv").read_bytes()
        self._unfinished: set[str] = set()
        self._ended = 0

    def tenant(self, number: int) -> str:
        """Return a tenant's ID."""
        return f"bench-{number:03d}"

    def store_tenants(self, numbers: range) -> None:
        """Store the configs of some tenants and upload their feeds."""
        for number in numbers:
            tenant = self.tenant(number)
            document, prefix = stored_tenant(self._shape, tenant)
            self._http.put(
                f"/v1/tenants/{tenant}/config", json=document
            ).raise_for_status()
            self._platform.objects.put(f"{prefix}feed.csv", self._feed)

    def time_one(self, number: int) -> Instants:
        """Post a run, follow it over HTTP until it is final, and wait for its acknowledgement."""
        asked_at = time.time()
        run_id = self._post(number)
        accepted = time.time()
        shown_at = _wait(lambda: self._has_succeeded(run_id))
        _wait(lambda: self._record(run_id).acknowledged_at)
        record = self._record(run_id)
        instants = dagster_instants(self._instance, str(record.dagster_run_id))
        if record.dispatched_at is None or record.finished_at is None:
            raise RuntimeError(
                f"run {run_id} has ended without having been dispatched"
            )
        return Instants(
            asked=asked_at,
            accepted=accepted,
            dispatched=record.dispatched_at.timestamp(),
            launched=instants.launched,
            process_up=instants.process_up,
            begun=instants.begun,
            ended=record.finished_at.timestamp(),
            shown=shown_at,
        )

    def ask(self, number: int) -> None:
        """Post a run."""
        self._unfinished.add(self._post(number))

    def count_ended(self) -> int:
        """Return how many of the runs asked for have succeeded."""
        # Few calls: whoever counts takes part of what is counted.
        records = self._platform.runs.get_many(self._unfinished)
        ended_ids = {
            run_id for run_id, record in records.items() if _succeeded(record)
        }
        self._unfinished -= ended_ids
        self._ended += len(ended_ids)
        return self._ended

    def _post(self, number: int) -> str:
        answer = self._http.post(
            "/v1/runs", json={**_ORDER, "tenant_id": self.tenant(number)}
        )
        answer.raise_for_status()
        return str(answer.json()["run_id"])

    def _has_succeeded(self, run_id: str) -> bool:
        run = self._http.get(f"/v1/runs/{run_id}").raise_for_status().json()
        if run["status"] in ("FAILED", "CANCELLED"):
            raise RuntimeError(
                f"run {run_id}: {run['error_code']}: {run['error_message']}"
            )
        return bool(run["status"] == "SUCCEEDED")

    def _record(self, run_id: str) -> RunRecord:
        record = self._platform.runs.get(run_id)
        if record is None:
            raise RuntimeError(f"run {run_id} has no record")
        return record


class EmptyJobs:
    """Three empty assets, started by a message and a sensor.

    Args:
        name: as tables show it.
        location: the code location.
        queue_url: the queue that its sensor reads.
        sqs: a boto3 client.
        instance: Dagster's.
    """

    def __init__(
        self,
        name: str,
        location: str,
        queue_url: str,
        sqs: Any,
        instance: dg.DagsterInstance,
    ) -> None:
        self.name = name
        self._location = location
        self._queue_url = queue_url
        self._sqs = sqs
        self._instance = instance
        self._asked: set[str] = set()

    def time_one(self, number: int) -> Instants:
        """Send a message and wait for the run that it starts."""
        message = f"{self._location}-{number}"
        asked_at = time.time()
        self._send(message)
        accepted = time.time()
        shown_at = _wait(lambda: self._has_succeeded(message))
        (run,) = self._instance.get_runs(
            dg.RunsFilter(tags={MESSAGE_TAG: message})
        )
        instants = dagster_instants(self._instance, run.run_id)
        return Instants(
            asked=asked_at,
            accepted=accepted,
            dispatched=float(run.tags[DISPATCHED_TAG]),
            launched=instants.launched,
            process_up=instants.process_up,
            begun=instants.begun,
            ended=instants.ended,
            shown=shown_at,
        )

    def ask(self, number: int) -> None:
        """Send a message."""
        message = f"{self._location}-burst-{number}"
        self._asked.add(message)
        self._send(message)

    def count_ended(self) -> int:
        """Return how many of the runs asked for have succeeded."""
        run_filter = dg.RunsFilter(
            job_name=f"{self._location}_job",
            statuses=[dg.DagsterRunStatus.SUCCESS],
        )
        runs = self._instance.get_runs(run_filter)
        return sum(1 for run in runs if run.tags[MESSAGE_TAG] in self._asked)

    def _send(self, message: str) -> None:
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=message)

    def _has_succeeded(self, message: str) -> bool:
        runs = self._instance.get_runs(
            dg.RunsFilter(tags={MESSAGE_TAG: message})
        )
        if any(run.status == dg.DagsterRunStatus.FAILURE for run in runs):
            raise RuntimeError(f"the empty run of {message} failed")
        return any(run.status == dg.DagsterRunStatus.SUCCESS for run in runs)


def stored_tenant(shape: Shape, tenant: str) -> tuple[dict[str, Any], str]:
    """Return the config of a tenant of one vendor that uploads to S3, and where to."""
    prefix = f"tenants/{tenant}/inbound/vendor_1/"
    document = config_document(shape) | {"tenant_id": tenant}
    document["vendors"][0]["inbound"] = {"type": "s3", "s3_prefix": prefix}
    return document, prefix


def _succeeded(record: RunRecord) -> bool:
    if record.has_ended and record.status != "SUCCEEDED":
        raise RuntimeError(
            f"run {record.run_id}: {record.error_code}: {record.error_message}"
        )
    return record.has_ended


def _wait(look: Callable[[], object]) -> float:
    """Look until there is something; return when it was first seen."""
    deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"nothing came of it in {RUN_TIMEOUT_SECONDS} seconds"
            )
        time.sleep(POLL_SECONDS)
    return time.time()
