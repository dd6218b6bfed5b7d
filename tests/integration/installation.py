"""The whole product as processes of its own, on embedded AWS, with the fault proxy in between.

Times are short so that a scenario takes seconds: messages stay out of sight for 10 seconds (300 by
default), back-off starts at 1 second (10) and is at most 4 (300), a heartbeat comes every second
(5) and is stale after 10 (90), a run takes at most 60 (3600). SKU maps are small, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx

from integration import sample_tenant
from integration.dagster_view import DagsterView
from integration.fault_proxy import FaultProxy
from integration.fault_rules import Action, Rule
from integration.waiting import wait_for
from relay_dagster.aws.provisioning.bootstrap import bootstrap
from relay_dagster.devstack.processes import (
    API,
    CODE,
    DAEMON,
    MOTO,
    WEBSERVER,
    Stack,
    embedded_aws_environment,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import RunRecord
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform, connect
from support.fakes import peek_dead
from support.processes import children_of, is_warm_process

KEY = "key-of-the-scenarios"
MAX_ATTEMPTS = 3
VISIBILITY_SECONDS = 10
STALE_SECONDS = 10
TIMEOUT_SECONDS = 60
MAX_MAP_BYTES = 1_000_000
LOST_SECONDS = 30
CAPACITY = 2
INTAKE_LIMIT = 4
DAGSTER = (CODE, WEBSERVER, DAEMON)
RUN_SECONDS = 180
"""How long a run may take to end, on a machine that is busy with other stacks."""

SHORT_TIMES = {
    "API_KEYS": KEY,
    "CLOUDWATCH_METRICS_ENABLED": "true",
    "ENVIRONMENT": "chaos",
    "RELAY_DELETION_GRACE_HOURS": "0.005",
    "RELAY_HEARTBEAT_SECONDS": "1",
    "RELAY_HEARTBEAT_STALE_SECONDS": str(STALE_SECONDS),
    "RELAY_INTAKE_LIMIT": str(INTAKE_LIMIT),
    "RELAY_MAX_SKU_MAP_BYTES": str(MAX_MAP_BYTES),
    "RELAY_RUN_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    "RELAY_MESSAGE_LOST_SECONDS": str(LOST_SECONDS),
    # Receivers of webhooks are on this machine.
    "RELAY_WEBHOOK_ALLOW_LOOPBACK": "true",
    # So are suppliers.
    "RELAY_PULL_ALLOW_LOOPBACK": "true",
    "WORKER_BACKOFF_BASE_SECONDS": "1",
    "WORKER_BACKOFF_MAX_SECONDS": "4",
    "WORKER_MAX_CONCURRENCY": str(CAPACITY),
    "WORKER_POISON_MAX_RECEIVES": str(MAX_ATTEMPTS),
    "WORKER_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS),
    # Scenarios ask more often, and for more runs, than any tenant may.
    "RELAY_MAX_RUNS_PER_HOUR": "1000000",
    "RELAY_RATE_LIMIT_PER_MINUTE": "1000000",
}


class Installation:
    """Moto, proxy, code server, webserver, daemon and API, and what scenarios do to them.

    Args:
        home: an empty folder; logs are in ``logs`` under it.
        stack: the processes, where they are not those of one machine.
    """

    def __init__(self, home: Path, stack: Stack | None = None) -> None:
        self.stack = stack or Stack(home, environment=dict(SHORT_TIMES))
        self.proxy = FaultProxy(self.stack.url(MOTO), host=self.stack.host)
        self.stack.environment["AWS_ENDPOINT_URL"] = self.proxy.url
        self._cleanup = contextlib.ExitStack()
        self._tenants = 0
        self.seen: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            cleanup.enter_context(self.stack)
            self.stack.start(MOTO)
            cleanup.enter_context(self.proxy)
            os.environ.update(self.stack.environment)
            self._own_environment()
            self.stack.environment.update(bootstrap())
            os.environ.update(self.stack.environment)
            self._own_environment()
            self.aws: Platform = connect(Settings.from_env())
            # Those that make the instance's tables at once trip each other.
            self.stack.await_instance()
            self.dagster = DagsterView(
                str(self.stack.dagster_home), self.stack.url(WEBSERVER)
            )
            cleanup.callback(self.dagster.close)
            self.stack.start(CODE, WEBSERVER, DAEMON, API)
            self.http = httpx.Client(
                base_url=self.stack.url(API),
                headers={"X-API-Key": KEY},
                timeout=60,
            )
            cleanup.callback(self.http.close)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def _own_environment(self) -> None:
        # The scenarios' own calls go past the proxy: no fault is meant for them.
        os.environ.update(embedded_aws_environment(self.stack.url(MOTO)))

    # --- tenants and runs -----------------------------------------------------------------------

    def new_tenant(self, word: str = "tenant", **config: Any) -> str:
        """Store a tenant's config through the API, upload its feeds, and return its id."""
        self._tenants += 1
        tenant = f"{word}-{self._tenants:03d}"
        document = self.config_of(tenant, **config)
        answer = self.http.put(f"/v1/tenants/{tenant}/config", json=document)
        assert answer.status_code == 201, answer.text
        for vendor, feed in sample_tenant.feeds().items():
            self.upload(tenant, vendor, feed)
        return tenant

    def config_of(self, tenant: str, **config: Any) -> dict[str, Any]:
        """Return the config of a tenant of scenarios."""
        return sample_tenant.config_document(tenant, **config)

    def upload(
        self, tenant: str, vendor: str, feed: bytes, name: str = "feed.csv"
    ) -> None:
        """Put a file where a vendor uploads."""
        self.aws.objects.put(f"tenants/{tenant}/inbound/{vendor}/{name}", feed)

    def ask(self, tenant: str, **headers: str) -> httpx.Response:
        """Send ``POST /v1/runs``."""
        order = {"tenant_id": tenant, "run_type": "inventory_sync"}
        return self.http.post("/v1/runs", json=order, headers=headers)

    def post(self, tenant: str) -> str:
        """Ask for a run and return its run_id; it must be accepted."""
        answer = self.ask(tenant)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    def send(self, job: Job) -> str:
        """Put a job straight into the queue."""
        return self.aws.queue.send(job)

    def record(self, run_id: str) -> RunRecord:
        """Return a run's record, which must be there."""
        record = self.aws.runs.get(run_id)
        assert record is not None, f"run {run_id} has no record"
        return record

    def shown(self, run_id: str) -> dict[str, Any]:
        """Return what ``GET /v1/runs/{run_id}`` answers."""
        answer = self.http.get(f"/v1/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait_final(self, run_id: str, within: float = RUN_SECONDS) -> RunRecord:
        """Return the record once it is final."""
        return self._wait_for_record(
            run_id, "is final", lambda each: each.has_ended, within
        )

    def wait_running(
        self, run_id: str, attempt: int = 1, within: float = RUN_SECONDS
    ) -> RunRecord:
        """Return the record once a Dagster run has claimed the attempt."""
        return self._wait_for_record(
            run_id,
            f"executes attempt {attempt}",
            lambda each: each.is_claimed and each.attempt == attempt,
            within,
        )

    def csv(self, run_id: str) -> bytes:
        """Return the merged feed that a run has published."""
        record = self.record(run_id)
        return self.aws.objects.read(
            f"{run_id}/tenants/{record.tenant_id}/outputs/merged_inventory.csv"
        )

    def has_csv(self, run_id: str) -> bool:
        """Return whether a run has published a merged feed."""
        record = self.record(run_id)
        key = (
            f"{run_id}/tenants/{record.tenant_id}/outputs/merged_inventory.csv"
        )
        return self.aws.objects.exists(key)

    def _wait_for_record(
        self,
        run_id: str,
        claim: str,
        holds: Callable[[RunRecord], bool],
        within: float,
    ) -> RunRecord:
        last: RunRecord | None = None

        def look() -> RunRecord | None:
            nonlocal last
            last = self.aws.runs.get(run_id)
            return last if last is not None and holds(last) else None

        try:
            return wait_for(f"run {run_id} {claim}", look, within=within)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; {brief(last) if last else 'no record'}"
            ) from None

    # --- faults ---------------------------------------------------------------------------------

    def hold_work(self, tenant: str) -> Rule:
        """Hold a tenant's runs in the middle of their work, at the writing of normalized.csv.

        The run's client asks again after 20 s and gives up after four times: no longer than 80 s.
        """
        return self.proxy.add(
            Action.HOLD,
            "s3",
            "PutObject",
            containing=f"/tenants/{tenant}/normalized/",
        )

    def slow_work(self, tenant: str) -> Rule:
        """Make a tenant's runs last for minutes: each of their requests to S3 takes 15 s."""
        return self.proxy.add(
            Action.SLOW, "s3", containing=f"/tenants/{tenant}/"
        )

    def run_process(self, run_id: str) -> int:
        """Return the process that executes the run's latest attempt."""
        dagster_run_id = self.record(run_id).dagster_run_id
        assert dagster_run_id is not None, f"run {run_id} has no Dagster run"
        return wait_for(
            "the run has told its process",
            lambda: self.dagster.pid(dagster_run_id),
            within=20,
        )

    def signal_run(
        self, run_id: str, number: signal.Signals = signal.SIGKILL
    ) -> int:
        """Send a signal to the process that executes a run; return its pid."""
        pid = self.run_process(run_id)
        os.kill(pid, number)
        return pid

    def warm_process(self) -> int:
        """Return the process that the code server's runs are forked from."""
        server = self.stack.services[CODE].process
        assert server is not None
        pids = [*filter(is_warm_process, children_of(server.pid))]
        assert len(pids) == 1, pids
        return pids[0]

    def kill_alone(self, name: str) -> None:
        """SIGKILL one process, leaving its children, among them the runs, alive."""
        process = self.stack.services[name].process
        assert process is not None
        process.kill()
        process.wait()

    def kill(self, *names: str) -> None:
        """SIGKILL processes with all their children, as a host that dies does."""
        for name in names:
            self.stack.kill(name)

    def start(self, *names: str) -> None:
        """Start processes again."""
        self.stack.start(*names)

    # --- queues ---------------------------------------------------------------------------------

    def queue_counts(self, url: str) -> tuple[int, int]:
        """Return how many messages of a queue are visible and how many are in flight."""
        names = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
        )
        answer = self.aws.clients.sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=list(names)
        )
        visible, in_flight = (int(answer["Attributes"][name]) for name in names)
        return visible, in_flight

    def dead_letters(self) -> list[dict[str, Any]]:
        """Return body and attributes of every message in the DLQ, hiding none."""
        letters: dict[str, dict[str, Any]] = {}
        letter_count = sum(self.queue_counts(self.aws.queue.dlq_url))
        for _ in range(20):
            for message in peek_dead(self.aws.queue):
                letters[message.message_id] = {
                    "body": message.body,
                    **message.attributes,
                }
            if len(letters) >= letter_count:
                break
        return list(letters.values())

    def empty_dead_letters(self) -> None:
        """Take out what a scenario has brought into the DLQ and has looked at."""
        self.aws.clients.sqs.purge_queue(QueueUrl=self.aws.queue.dlq_url)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the product's log lines of one event, from all its processes."""
        return [
            event for event in self._log_lines() if event.get("event") == name
        ]

    def _log_lines(self) -> Iterator[dict[str, Any]]:
        for path in (
            *self.stack.logs.glob("*.log"),
            *self.stack.dagster_home.glob("**/*.err"),
        ):
            for line in path.read_text(errors="replace").splitlines():
                if line.startswith("{"):
                    with contextlib.suppress(json.JSONDecodeError):
                        yield json.loads(line)


def side_by_side(*jobs: Any) -> list[Any]:
    """Call functions at the same moment and return their results, in order."""
    results: list[Any] = [None] * len(jobs)
    barrier = threading.Barrier(len(jobs))

    def call(place: int, job: Any) -> None:
        barrier.wait()
        results[place] = job()

    threads = [
        threading.Thread(target=call, args=pair) for pair in enumerate(jobs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def brief(record: RunRecord) -> str:
    """Return what a message needs of a record."""
    error = (
        f", {record.error_code}: {record.error_message}"
        if record.error_code
        else ""
    )
    return (
        f"run {record.run_id} of {record.tenant_id} is {record.status}, {record.stage}, "
        f"attempt {record.attempt}{error}"
    )
