"""An item of the next release in every table: all else goes on, and the item is named in the log.

For each kind of item one of tenant `acme` has a word that this release does not know; everything
runs, and tenant `other` comes to what it comes to without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from explorer.world import History, Receiver
from relay_core.domain.codes import RunStatus
from relay_core.domain.records import VendorResult
from relay_dagster.aws.dynamodb.api_key_store import (
    BrowserSession,
    SessionStore,
)
from relay_dagster.aws.dynamodb.deletion_store import DeletionStore
from relay_dagster.aws.dynamodb.pause_store import PauseStore
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.intake.tick import IntakeTick
from relay_dagster.intake.trigger_check import take_due
from relay_dagster.intake.uploads import UploadTick
from relay_dagster.maintenance.deletion import DeletionTick
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.duties import keep_house
from relay_dagster.runs.model import Trigger
from relay_dagster.runs.ports import AttemptState, utc_now
from relay_dagster.tenants.deletion import TenantState
from relay_dagster.transfers.puller import Puller
from relay_dagster.transfers.webhook_sender import Sender
from relay_dagster.triggers.pulls import asked
from relay_dagster.wiring import Platform
from support.api_world import ApiWorld
from support.builders import vendor_document
from support.fakes import (
    NOW,
    FakeClock,
    published_outcome,
    served_platform,
    timed,
)
from support.pulls_world import pull_all

SPOILED = "acme"
OTHER = "other"
RESULT = VendorResult("vendor_1", "found", NOW, 3, 3, 0, 3)
LISTS = (
    *("/v1/runs", "/v1/tenants", "/v1/audit", "/v1/admin/pause", "/v1/ready"),
    *(
        f"/v1/tenants/{{}}{path}"
        for path in ("", "/versions", "/status", "/publications")
    ),
    *(
        f"/v1/tenants/{{}}/{path}"
        for path in ("api-keys", "feed-links", "secrets", "webhooks")
    ),
    *("/v1/tenants/{}/feed", "/v1/runs?tenant_id={}", "/v1/audit?tenant_id={}"),
)


class Installation:
    """Two tenants with items of every kind, and all that ever looks at them, on one clock."""

    def __init__(
        self, platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
    ) -> None:
        database = replace(platform.database, clock=clock)
        self.platform = replace(
            timed(platform, clock),
            tenants=TenantStore(database),
            deletions=DeletionStore(database),
            pauses=PauseStore(database),
        )
        self.instance = instance
        self.clock = clock
        self.told: list[str] = []
        self.dagster = History(AttemptState)
        self.sender = Sender(
            self.platform,
            Receiver(self.told),
            clock=clock,
            rng=lambda: 0.5,
            monotonic=self.seconds,
        )
        self.puller = Puller(self.platform, clock=clock, wait_seconds=60)
        self.api = ApiWorld(self.platform)
        self.run_ids: dict[str, list[str]] = {}
        for tenant_id in (SPOILED, OTHER):
            self.furnish(tenant_id)

    def seconds(self) -> float:
        """Tell a time that moves on by a second whenever it is asked for."""
        self.clock.advance(seconds=1)
        return self.clock.now.timestamp()

    def ask(self, method: str, path: str, body: Any = None) -> None:
        answer = self.api.client.request(method, path, json=body)
        assert answer.is_success, answer.text

    def furnish(self, tenant_id: str) -> None:
        place = f"/v1/tenants/{tenant_id}"
        vendor = vendor_document(
            inbound={
                "type": "s3",
                "s3_prefix": f"tenants/{tenant_id}/inbound/vendor_1/",
            }
        )
        triggers = {
            "schedule": {"cron": "0 * * * *"},
            "on_upload": {"quiet_seconds": 0},
        }
        assert self.api.store_config(
            vendor, tenant_id=tenant_id, triggers=triggers
        ).is_success
        self.ask("POST", f"{place}/api-keys", {"name": "shop"})
        self.ask("POST", f"{place}/feed-links", {"name": "shop"})
        secret = {"value": "s", "host": "files.example.com"}
        self.ask("PUT", f"{place}/secrets/files", secret)
        hook = {
            "url": "https://shop.example.com/hooks",
            "events": ["run.succeeded"],
        }
        self.ask("POST", f"{place}/webhooks", hook)
        self.ask(
            "POST",
            f"{place}/uploads",
            {"vendor_id": "vendor_1", "file_name": "a.csv"},
        )
        self.sign_in(tenant_id, "0")
        # Its vendor has no pull any more: whoever looks at this one removes it.
        assert self.platform.pulls.change(
            tenant_id, "vendor_1", asked(self.clock())
        )
        first = str(self.order_run(tenant_id, "0").json()["run_id"])
        self.platform.runs.beat(first, 1)
        self.api.succeed(first, RESULT)
        leaver = f"{tenant_id}-leaver"
        self.platform.tenants.put(leaver, "{}")
        self.ask("DELETE", f"/v1/tenants/{leaver}?confirm={leaver}")
        waiting = str(self.order_run(tenant_id, "1").json()["run_id"])
        self.run_ids[tenant_id] = [first, waiting]

    def sign_in(self, tenant_id: str, name: str) -> None:
        now = self.clock()
        session = BrowserSession(
            digest=f"{tenant_id}-{name}",
            tenant_id=tenant_id,
            key_id="k",
            created_at=now,
            ends_at=now + timedelta(hours=8),
        )
        SessionStore(self.platform.database).add(session)

    def order_run(self, tenant_id: str, key: str) -> Any:
        order = {"tenant_id": tenant_id, "run_type": "inventory_sync"}
        return self.api.client.post(
            "/v1/runs", json=order, headers={"Idempotency-Key": key}
        )

    # --- what looks at items --------------------------------------------------------------------

    def live(self) -> None:
        """Let everything happen that happens within some hours."""
        upload = f"tenants/{OTHER}/inbound/vendor_1/feed.csv"
        self.platform.objects.put(upload, b"sku\n")
        for tenant_id in (SPOILED, OTHER):
            self.sign_in(tenant_id, "1")
        for _ in range(5):
            self.clock.advance(minutes=15)
            UploadTick(self.platform, self.clock).run(poll_seconds=0)
            take_due(self.platform, self.clock)
            pull_all(self.puller)
            intake = IntakeTick(
                self.platform, self.dagster, 9, clock=self.clock
            )
            for record in intake.run(poll_seconds=0):
                self.dagster.request(record)
            assert not intake.fault
            ReconcileTick(self.platform, self.dagster, clock=self.clock).run()
            self.execute()
            self.sender.run()
            DeletionTick(self.platform, self.dagster, clock=self.clock).run()
            text, _ = keep_house(
                self.platform, lambda: self.instance, None, clock=self.clock
            )
            assert "FAILED" not in text, text

    def execute(self) -> None:
        for execution in self.dagster.waiting():
            execution.state = "failed"
            is_spoiled = execution.tenant_id == SPOILED
            with suppress(*[ExternalServiceError] if is_spoiled else []):
                ledger = self.platform.ledger
                record = ledger.claim(
                    execution.run_id,
                    execution.attempt,
                    execution.dagster_run_id,
                )
                outcome = published_outcome(self.platform, record)
                ledger.succeed(
                    record.fence, replace(outcome, vendor_results=(RESULT,))
                )
                execution.state = "succeeded"

    def answers(self, tenant_id: str) -> dict[str, int]:
        """Ask for all there is of a tenant, and for its runs again; return the codes."""
        ask = self.api.client.request
        paths = [
            *LISTS,
            *(f"/v1/runs/{run_id}" for run_id in self.run_ids[tenant_id]),
        ]
        codes = {
            path: ask(
                "GET", path.format(tenant_id), follow_redirects=False
            ).status_code
            for path in paths
        }
        return codes | {
            key: self.order_run(tenant_id, key).status_code
            for key in ("0", "1")
        }

    # --- items ----------------------------------------------------------------------------------

    def keys_of(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield table and key of the tenant's items of a kind."""
        names = self.platform.settings
        for table in (names.runs_table, names.tenants_table, names.audit_table):
            for item in self.platform.clients.dynamodb.scan(TableName=table)[
                "Items"
            ]:
                key = str(item["pk"]["S"])
                text = json.dumps(item, default=sorted)
                owned = f'"{SPOILED}"' in text or SPOILED in key
                of_runs = any(
                    run_id in text for run_id in self.run_ids[SPOILED]
                )
                is_others = "-leaver" in key and kind != "DELETION"
                if (
                    key.partition("#")[0] == kind
                    and (owned or of_runs)
                    and not is_others
                ):
                    yield table, key
                if kind == "audit" and table == names.audit_table and owned:
                    yield table, key

    def spoil(self, kind: str, attributes: dict[str, Any]) -> set[str]:
        """Give the tenant's items of a kind attributes as another release would."""
        spoiled = set()
        for table, key in list(self.keys_of(kind)):
            place = {"TableName": table, "Key": {"pk": {"S": key}}}
            item = self.platform.clients.dynamodb.get_item(**place)["Item"]
            later = {**item, **attributes, "schema": {"N": "2"}}
            self.platform.clients.dynamodb.put_item(TableName=table, Item=later)
            spoiled.add(key)
        assert spoiled
        return spoiled


GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "runs, events, keys": {
        "RUN": {"trigger": {"S": "sftp"}},
        "RESULTS": {"vendor_results": {"S": "{"}},
        "EVENT": {"event": {"S": "run.dreamt"}},
        "KEY": {"scopes": {"L": [{"S": "dream"}]}},
        "SESSION": {"ends_at": {"S": "lately"}},
        "SECRET": {"updated_at": {"S": "lately"}},
        "audit": {"entry": {"S": json.dumps({"action": "dream"})}},
    },
    "locks, feeds, webhooks": {
        "LOCK": {"consecutive_failures": {"S": "many"}},
        "FEED": {"publications": {"S": "elsewhere"}},
        "WEBHOOKS": {"webhooks": {"S": "{"}},
        "LINK": {"kind": {"S": "dream"}},
    },
    "tenants, heartbeats": {
        "TENANT": {"version": {"S": "newest"}},
        "BEAT": {"beats": {"S": "many"}},
        "IDEMP": {"expires_at": {"S": "never"}},
        "DELETION": {"state": {"S": "PONDERED"}},
    },
    "triggers, configs, pauses": {
        "TRIGGER": {"wanted": {"S": "moon"}},
        "PULL": {"failures": {"S": "many"}},
        "PULLPLAN": {"due_at": {"S": "0"}},
        "CONFIG": {"stored_at": {"S": "lately"}},
        "PAUSE": {"paused_at": {"S": "lately"}},
    },
}
"""What the next release has stored, by kinds that are met side by side."""


@pytest.mark.parametrize("group", GROUPS)
def test_an_item_of_the_next_release_of_each_kind_stops_nobody_else(
    group: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock((utc_now() + timedelta(hours=1)).replace(minute=5))
    with (
        served_platform(
            public_url="https://relay.example.com", deletion_grace_hours=0
        ) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        installation = Installation(platform, instance, clock)
        if "PAUSE" in GROUPS[group]:
            installation.platform.pauses.begin(SPOILED, "a reason")
        spoiled = [
            key
            for kind, attributes in GROUPS[group].items()
            for key in installation.spoil(kind, attributes)
        ]
        first = installation.answers(SPOILED)
        assert set(first.values()) <= {200, 201, 202, 302, 404, 503}, first
        installation.live()
        leaver = platform.deletions.get(f"{OTHER}-leaver")
        assert leaver is not None
        assert leaver.state is TenantState.DELETED
        assert platform.pulls.of_names(OTHER, ["vendor_1"]) == {}
        runs = platform.runs.list_runs(OTHER).items
        triggers = [Trigger.SCHEDULE, Trigger.UPLOAD, Trigger.API, Trigger.API]
        assert [run.trigger for run in runs] == triggers
        assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
        events = platform.webhooks.events_of(OTHER, limit=9).items
        assert [len(event.deliveries) for event in events] == [1] * 4
        codes = installation.answers(OTHER)
        assert {path: code for path, code in codes.items() if code >= 400} == {}
    named = {
        record.facts["key"]
        for record in caplog.records
        if record.message == "item_unreadable"
    }
    assert set(spoiled) - named == set()
