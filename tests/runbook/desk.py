"""What an engineer on call does, and nothing else: calls, links, uploads, a look into the DLQ."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from integration import sample_tenant
from integration.installation import Installation
from integration.waiting import wait_for
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.runs.model import NewRun
from relay_dagster.runs.ports import utc_now
from support.builders import feed

GOOD_FEED = feed("A-1,5,10.00", "A-2,0,4.50")


class Desk:
    """One tenant of a running installation, as seen by the engineer on call.

    Args:
        relay: the installation.
        tenant: a tenant's id that nobody else uses.
    """

    def __init__(self, relay: Installation, tenant: str) -> None:
        self.relay = relay
        self.tenant = tenant

    # --- causes and fixes -----------------------------------------------------------------------

    def config(self, **changes: Any) -> dict[str, Any]:
        """Return the tenant's config document: two required vendors, no invalid row allowed."""
        defaults = {"error_policy": {"max_invalid_rows": 0}}
        document = sample_tenant.config_document(
            self.tenant, **{**defaults, **changes}
        )
        return {
            **document,
            "output": {"columns": ["sku", "vendor_id", "price"]},
        }

    def store(
        self, document: Mapping[str, Any] | None = None, **changes: Any
    ) -> None:
        """PUT a config, by default the good one."""
        config_document = document or self.config(**changes)
        answer = self.relay.http.put(
            f"/v1/tenants/{self.tenant}/config", json=config_document
        )
        assert answer.status_code in (200, 201), answer.text

    def store_unchecked(self, document: Mapping[str, Any]) -> None:
        """Store a config past the API, which would refuse it."""
        self.relay.aws.tenants.put(self.tenant, json.dumps(document))

    def upload(
        self, *vendors: str, data: bytes = GOOD_FEED, name: str = "feed.csv"
    ) -> None:
        """Put a file where each of these vendors uploads."""
        for vendor in vendors or sample_tenant.VENDORS:
            self.relay.upload(self.tenant, vendor, data, name)

    # --- runs -----------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """POST a run, and return it when it has ended."""
        run_id = self.relay.post(self.tenant)
        self.relay.wait_final(run_id, within=180)
        return self.relay.shown(run_id)

    def run_in(self, hours: int) -> dict[str, Any]:
        """Return an ended run that is asked for so many hours from now, when uploads are older."""
        ahead = RunLedger(
            self.relay.aws.runs,
            clock=lambda: utc_now() + timedelta(hours=hours),
        )
        new_run = NewRun(run_id=str(uuid.uuid4()), tenant_id=self.tenant)
        record = ahead.reserve(new_run).record
        self.relay.send(record.job)
        self.relay.wait_final(record.run_id, within=180)
        return self.relay.shown(record.run_id)

    def reported(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """Return a run once its reports are there; those of a dead one come some seconds later."""
        return wait_for(
            f"run {run['run_id']} has its reports",
            lambda: (
                (run_now := self.relay.shown(run["run_id"]))[
                    "errors_artifact_key"
                ]
                and run_now
            ),
            within=60,
        )

    def failed(self, code: str, stage: str, words: str = "") -> dict[str, Any]:
        """Return a new run, which must have failed like that."""
        run = self.reported(self.run())
        self.is_failed(run, code, stage, words)
        return run

    def is_failed(
        self, run: Mapping[str, Any], code: str, stage: str, words: str = ""
    ) -> None:
        """Hold a run, its errors.json and its summary against a failure."""
        facts = (
            run["status"],
            run["error_code"],
            run["stage"],
            run["failed_stage"],
        )
        assert facts == ("FAILED", code, stage, stage), run
        assert words in run["error_message"].lower(), run["error_message"]
        report = self.report(run, "errors")
        assert report["error_code"] == code, report
        assert self.report(run, "run_summary")["status"] == "FAILED"
        assert run["errors_artifact_key"].endswith("/reports/errors.json")

    def succeeded(self) -> dict[str, Any]:
        """Return a new run, which must have published a feed."""
        run = self.run()
        assert run["status"] == "SUCCEEDED", (
            run["error_code"],
            run["error_message"],
        )
        assert b"A-1" in self.artifact(run, "merged_inventory")
        return run

    def held(self, *guards: str) -> dict[str, Any]:
        """Return a new run, which must be held back by these guards; the shop has what it had."""
        before = self.published_run_id()
        run = self.run()
        assert (run["status"], run["stage"]) == ("HELD", "WRITE_OUTPUTS"), run
        assert [guard["guard"] for guard in run["hold"]["guards"]] == list(
            guards
        )
        assert self.published_run_id() == before
        return run

    # --- where to look --------------------------------------------------------------------------

    def published_run_id(self) -> str:
        """Return the run whose feed the shop is given."""
        answer = self.relay.http.get(
            f"/v1/tenants/{self.tenant}/feed", follow_redirects=False
        )
        assert answer.status_code == 302, answer.text
        return answer.headers["X-Run-Id"]

    def artifact(self, run: Mapping[str, Any], name: str) -> bytes:
        """Follow the link of an artifact."""
        links = self.relay.http.get(
            f"/v1/runs/{run['run_id']}/artifacts"
        ).json()
        assert name in links, f"{name} is not among {sorted(links)}"
        answer = httpx.get(links[name], trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.content

    def artifacts(self, run: Mapping[str, Any]) -> set[str]:
        """Return the names of a run's artifacts."""
        return set(
            self.relay.http.get(f"/v1/runs/{run['run_id']}/artifacts").json()
        )

    def report(self, run: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Read a report of a run."""
        return dict(json.loads(self.artifact(run, name)))

    def entries(
        self, run: Mapping[str, Any], code: str
    ) -> list[dict[str, Any]]:
        """Return the entries of errors.json that have this code."""
        report_entries = self.report(run, "errors")["entries"]
        return [
            entry for entry in report_entries if entry["error_code"] == code
        ]
