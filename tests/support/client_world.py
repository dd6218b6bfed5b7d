"""The API behind a real port, for clients; and runs that end as their feeds make them end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import uvicorn
from typer.testing import CliRunner

from relay_core.config import TenantConfig
from relay_core.domain.codes import CATALOG, RunStatus, VendorStatus
from relay_core.domain.records import RunContext
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.run_stages import RunStages
from relay_core.validation.vendor_failures import InputVerdict, VendorState
from relay_dagster import cli
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform
from support.api_world import ADMIN, ApiWorld
from support.builders import tenant_config


@dataclass(frozen=True)
class Told:
    """What a command wrote and how it ended; the server's log is not its own."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """All that people see."""
        return self.stdout + self.stderr


@dataclass
class ClientWorld:
    """A served API, the platform behind it, and the command line in front of it."""

    api: ApiWorld
    url: str
    aws_url: str

    @property
    def platform(self) -> Platform:
        return self.api.platform

    def relay(
        self, *arguments: str, stdin: str | None = None, **environment: str
    ) -> Told:
        """Run a command with an admin's key."""
        variables = {
            "RELAY_API_URL": self.url,
            "RELAY_API_KEY": ADMIN,
            **environment,
        }
        result = CliRunner(env=variables).invoke(
            cli.app, arguments, input=stdin
        )
        logged = '{"'
        message_lines = [
            x
            for x in result.stderr.splitlines(keepends=True)
            if not x.startswith(logged)
        ]
        return Told(result.exit_code, result.stdout, "".join(message_lines))

    def start(self) -> str:
        """Ask for a run of the tenant, which has a config; return its run_id."""
        return str(self.api.post_run().json()["run_id"])

    def record(self, run_id: str) -> RunRecord:
        """Return a run's record."""
        record = self.platform.runs.get(run_id)
        assert record is not None
        return record

    def end(
        self,
        run_id: str,
        feeds: Mapping[str, bytes],
        config: TenantConfig | None = None,
    ) -> RunRecord:
        """Take a run through the engine with these feeds, and end it with its reports.

        The catalog, if there is one, is the first of the feeds.
        """
        record = self.record(run_id)
        if not record.is_claimed:
            record = self.api.claim(run_id)
        config = config or tenant_config()
        inputs = [
            VendorFeed.of_one(
                config.vendor(vendor_id), feeds[vendor_id], "feed.csv"
            )
            for vendor_id in feeds
        ]
        vendor_ids = [name for name in feeds if name != CATALOG]
        verdict = InputVerdict()
        if CATALOG in feeds:
            verdict = InputVerdict(catalog=VendorState(VendorStatus.FOUND))
        with closing(ConcurrentIO(threads=2)) as io:
            sink = BucketSink(self.platform.objects, _context(record), io)
            stages = RunStages(
                config,
                config.vendors,
                record.requested_at,
                sink.keys,
                sink,
            )
            normalized = stages.normalize(verdict, inputs)
            compared = stages.compare(stages.merge(normalized), normalized)
            failure = compared.merged.failure
            if failure is None:
                stages.write_feed(compared)
            sink.wait()
            status = RunStatus.FAILED if failure else RunStatus.SUCCEEDED
            scope = RunScope.of(config, config.selecting(vendor_ids))
            findings = RunFindings.of(scope, None, normalized, compared)
            end = record.requested_at + timedelta(seconds=61.75)
            outcome = sink.write_last(findings, _timed(record), status, end)
        if findings.failure is None:
            return self.platform.ledger.succeed(record.fence, outcome)
        return self.platform.ledger.fail(
            record.fence, findings.failure, outcome
        )


def _context(record: RunRecord) -> RunContext:
    return RunContext(
        record.run_id,
        record.tenant_id,
        record.requested_at,
        record.config_version,
        record.attempt,
    )


@contextmanager
def served(api: ApiWorld, port: int = 0) -> Iterator[str]:
    """Serve an app from a thread, by default on any free port; yield its address."""
    config = uvicorn.Config(
        api.app, port=port, log_config=None, access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.002)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def _timed(record: RunRecord) -> RunRecord:
    """Return the record of a run that takes a quarter of a second to find its inputs."""
    at = record.requested_at
    entered = {
        "FETCH_INPUTS": at,
        "NORMALIZE": at + timedelta(seconds=0.25),
    }
    return replace(record, started_at=at, stage_entered_at=entered)
