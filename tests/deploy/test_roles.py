"""Each role against what its process does: all of it is allowed, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from fastapi.testclient import TestClient

from alarms import AlarmPlan, set_up_alarms
from relay_core.publish.keys import ArtifactKeys
from relay_dagster import tags
from relay_dagster.aws.chunk_reader import Written
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb.run_writes import feed_item
from relay_dagster.aws.metrics import WORKER_HEARTBEAT
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.execution.published_copies import feed_copy_key
from relay_dagster.feeds.pointer import FeedPointer, Publication
from relay_dagster.intake.tick import IntakeTick
from relay_dagster.intake.uploads import UploadTick
from relay_dagster.maintenance.deletion import DeletionTick
from relay_dagster.maintenance.expiry import KEPT_CONFIGS
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.build import build_defs
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import DagsterExecutions
from relay_dagster.orchestration.sensors import all_sensors
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import NewRun, RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.transfers.delivery_sender import DeliverySender
from relay_dagster.transfers.pull_planner import PullPlanner
from relay_dagster.transfers.puller import Puller
from relay_dagster.triggers import pulls as rules
from relay_dagster.triggers.pulled_files import NO_MARK, StagedFile
from relay_dagster.webhooks.model import EventType
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LEASE
from support.api_world import ApiWorld
from support.builders import (
    config_document,
    feed,
    tenant_config,
    vendor_document,
)
from support.deliveries_world import (
    FEED,
    DeliveriesWorld,
    files_at,
    send_all,
)
from support.deployment import container, of_type, properties
from support.explaining import run_in_memory
from support.fakes import FakeClock, embedded_platform
from support.page_visitor import HOME, signed_in
from support.permissions import Grant, Need, grants, recorded
from support.pulls_world import file, file_server, pull_all, pull_config
from support.sftp_servers import SftpServer, sftp_server
from support.webhooks_world import stored_webhook

TENANT = "acme"
LATER = timedelta(days=8)
PRODUCT = ("cloudwatch:", "dynamodb:", "s3:", "sqs:")


@dataclass(frozen=True, slots=True)
class Act:
    """What a process does, and the clients that it has beside the platform's."""

    do: Callable[[], None]
    clients: tuple[Clients, ...] = ()


def config_of(tenant: str) -> dict[str, Any]:
    inbound = {"type": "s3", "s3_prefix": f"tenants/{tenant}/inbound/"}
    return config_document(vendor_document(inbound=inbound), tenant_id=tenant)


def new_run(platform: Platform, tenant: str) -> str:
    platform.tenants.put(tenant, json.dumps(config_of(tenant)))
    run_id = str(uuid.uuid4())
    platform.ledger.reserve(NewRun(run_id=run_id, tenant_id=tenant))
    return run_id


def dispatched(platform: Platform, tenant: str) -> str:
    run_id = new_run(platform, tenant)
    platform.ledger.dispatch(run_id, 1, message_id="m", receipt_handle="h")
    return run_id


def close_and_restore(client: TestClient) -> None:
    """Have a tenant closed, look, and take it back."""
    path = "/v1/tenants/other"
    assert client.delete(path, params={"confirm": "other"}).status_code == 202
    assert client.get(f"{path}/deletion").status_code == 200
    assert client.post(f"{path}/restore").status_code == 200


def administer(client: TestClient) -> None:
    """Issue a tenant's key, use it and revoke it; pause, and go on."""
    keys = f"/v1/tenants/{TENANT}/api-keys"
    key = client.post(keys).json()
    assert client.get(keys).status_code == 200
    client.get(f"/v1/tenants/{TENANT}", headers={"X-API-Key": key["api_key"]})
    assert client.delete(f"{keys}/{key['key_id']}").status_code == 204
    for pause in (
        {"reason": "backlog"},
        {"reason": "backlog", "tenant_id": TENANT},
    ):
        assert client.post("/v1/admin/pause", json=pause).status_code == 200
        scope = {
            name: value for name, value in pause.items() if name != "reason"
        }
        assert (
            client.request("DELETE", "/v1/admin/pause", json=scope).status_code
            == 204
        )


def be_told(client: TestClient) -> None:
    """Make a webhook, change it, try it out, look at its deliveries, and delete it."""
    order = {"url": "https://shop.example.com/hooks", "events": ["run.failed"]}
    place = f"/v1/tenants/{TENANT}/webhooks"
    created = client.post(place, json=order)
    webhook_path = f"{place}/{created.json()['webhook_id']}"
    answers = [
        created,
        client.get(place),
        client.get(webhook_path),
        client.patch(webhook_path, json={"description": "shop"}),
        client.post(f"{webhook_path}/secret:rotate"),
        client.post(f"{webhook_path}/test"),
        client.get(f"{webhook_path}/deliveries"),
        client.delete(webhook_path),
    ]
    assert [answer.status_code for answer in answers] == [
        201,
        200,
        200,
        200,
        200,
        202,
        200,
        204,
    ]


def decide(client: TestClient, held: RunRecord, earlier: str) -> None:
    """Release a feed that is held back, and publish an earlier one again."""
    assert held.hold is not None
    order = {
        "sha256": held.hold.sha256,
        "guards": ["skus_removed"],
        "reason": "a clearance",
    }
    assert (
        client.post(f"/v1/runs/{held.run_id}/release", json=order).status_code
        == 200
    )
    order = {"run_id": earlier, "reason": "the prices were right"}
    path = f"/v1/tenants/{TENANT}/feed/rollback"
    assert client.post(path, json=order).status_code == 200


PUBLIC = "https://relay.test"


def show_pages(world: ApiWorld, run_id: str) -> None:
    """Let a merchant sign in and look around, and a supplier come by a link."""
    visitor = signed_in(world)
    vendor = f"{HOME}/vendors/vendor_1"
    for path in (
        HOME,
        f"/app/runs/{run_id}",
        vendor,
        f"{vendor}/check",
        f"{HOME}/skus?sku=A-1",
    ):
        visitor.open(path)
    until = (utc_now() + timedelta(days=9)).isoformat()
    order = {"vendor_id": "vendor_1", "name": "Anna", "expires_at": until}
    links = f"/v1/tenants/{TENANT}/supplier-links"
    link = world.client.post(links, json=order).json()
    visitor.open(f"{link['url'].removeprefix(PUBLIC)}/check")
    assert world.client.get(links).status_code == 200
    assert world.client.delete(f"{links}/{link['link_id']}").status_code == 204
    assert visitor.fill(visitor.open(HOME), "/app/sign-out").status_code == 303


def be_the_api(platform: Platform, clock: FakeClock) -> Act:
    """Answer every kind of request."""
    world = ApiWorld(platform)
    world.store_config()
    run_id = world.post_run().json()["run_id"]
    keys = world.succeed(run_id).keys
    config = tenant_config(tenant_id=TENANT)
    run = run_in_memory(config, {"vendor_1": feed("A-1,5,10.00")}, keys=keys)
    for key, data in run.files.items():
        platform.objects.put(key, data)
    platform.objects.put(keys.quarantine, b"sku,price_computed\nA-1,5.00\n")
    held = world.hold_one()
    platform.objects.put(
        f"tenants/{TENANT}/inbound/feed.csv", feed("A-1,5,10.00")
    )

    def answer() -> None:
        client = world.client
        decide(client, held, run_id)
        world.store_config(default_currency="EUR")
        start_and_cancel(world)
        read_everything(client, run_id)
        check_and_upload(client)
        share_the_feed(world)
        keep_a_secret(client)
        override_and_accept(client, run_id)
        show_pages(world, run_id)
        administer(client)
        close_and_restore(client)
        be_told(client)

    return Act(answer, (world.app.state.parts.platform.clients,))


def start_and_cancel(world: ApiWorld) -> None:
    waiting = world.post_run({"Idempotency-Key": "k"}).json()["run_id"]
    world.post_run({"Idempotency-Key": "k"})
    world.post_run()
    assert world.client.post(f"/v1/runs/{waiting}/cancel").status_code == 202


def read_everything(client: TestClient, run_id: str) -> None:
    for path in (
        "/v1/ready",
        "/v1/audit",
        "/v1/runs",
        "/v1/tenants",
        "/v1/admin/pause",
        f"/v1/tenants/{TENANT}/publications",
        f"/v1/tenants/{TENANT}/feed-links",
        f"/v1/tenants/{TENANT}/secrets",
        f"/v1/tenants/{TENANT}/overrides",
        f"/v1/runs?tenant_id={TENANT}&status=SUCCEEDED",
        f"/v1/runs/{run_id}",
        f"/v1/runs/{run_id}/artifacts",
        f"/v1/runs/{run_id}/explain?sku=A-1",
        f"/v1/tenants/{TENANT}",
        f"/v1/tenants/{TENANT}?config_version=1",
        f"/v1/tenants/{TENANT}/status",
    ):
        assert client.get(path).status_code == 200, path
    feed_link = client.get(f"/v1/tenants/{TENANT}/feed", follow_redirects=False)
    assert feed_link.status_code == 302


def check_and_upload(client: TestClient) -> None:
    stored = client.post("/v1/tenants", json=config_of("other"))
    assert stored.status_code == 201
    checked = client.post(
        f"/v1/tenants/{TENANT}/config:check", json=config_of(TENANT)
    )
    assert [vendor["status"] for vendor in checked.json()["vendors"]] == [
        "read"
    ]
    order = {"vendor_id": "vendor_1", "file_name": "feed.csv"}
    upload = client.post(f"/v1/tenants/{TENANT}/uploads", json=order)
    assert upload.status_code == 201


def share_the_feed(world: ApiWorld) -> None:
    links = f"/v1/tenants/{TENANT}/feed-links"
    link = world.client.post(links, json={"name": "shop"}).json()
    anybody = world.with_key(None)
    fetched = anybody.get(link["url"].removeprefix(PUBLIC))
    assert fetched.status_code == 200
    world.client.delete(f"{links}/{link['link_id']}")


def keep_a_secret(client: TestClient) -> None:
    secret = f"/v1/tenants/{TENANT}/secrets/granite"
    order = {"value": "v", "host": "granite.example.com"}
    for _ in range(2):
        assert client.put(secret, json=order).status_code == 204
    assert client.delete(secret).status_code == 204


def override_and_accept(client: TestClient, run_id: str) -> None:
    for price in ("9.99", "8.99"):
        order = {"overrides": [{"sku": "A-1", "price": price}]}
        overrides = client.post(
            f"/v1/tenants/{TENANT}/overrides:put", json=order
        )
        assert overrides.status_code == 200
    everything = {"all": True, "reason": "seen"}
    accepted = client.post(f"/v1/runs/{run_id}/accept", json=everything)
    assert accepted.status_code == 200


class CancelsMeanwhile(ObjectStore):
    """A bucket that wishes a run to be cancelled while its feed is written."""

    def __init__(self, platform: Platform, run_id: str) -> None:
        super().__init__(platform.clients, platform.objects.bucket)
        self.cancel = lambda: platform.ledger.request_cancel(run_id)

    def put_stream(self, key: str, chunks: Any, **arguments: Any) -> Written:
        written = super().put_stream(key, chunks, **arguments)
        if "/normalized/" in key:
            self.cancel()
        return written


def be_a_run(platform: Platform, clock: FakeClock) -> Act:
    """Execute runs that fail, succeed, are started by hand, in part, and are cancelled."""
    runs = {
        tenant: dispatched(platform, tenant)
        for tenant in ("empty", "good", "cancelled")
    }
    for tenant in ("good", "cancelled"):
        platform.objects.put(
            f"tenants/{tenant}/inbound/feed.csv", feed("A-1,5,10.00")
        )
    platform.overrides.accept("good", {"A-1": Decimal("9.99")}, "run", "seen")

    def execute(
        tenant: str, *assets: str, run_id: str | None = None, at: Any = platform
    ) -> None:
        job = build_defs(connect_run=lambda: at).resolve_job_def(
            "inventory_sync"
        )
        run_tags = (
            {} if run_id is None else tags.run_tags(run_id, tenant, attempt=1)
        )
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("tenants", [tenant])
            job.execute_in_process(
                partition_key=tenant,
                instance=instance,
                tags=run_tags,
                raise_on_error=False,
                asset_selection=[dg.AssetKey(name) for name in assets] or None,
            )

    def run() -> None:
        execute("empty", run_id=runs["empty"])
        execute("good", run_id=runs["good"])
        execute("good")
        execute("good", "normalized_inventory", "merged_inventory")
        objects = CancelsMeanwhile(platform, runs["cancelled"])
        execute(
            "cancelled",
            run_id=runs["cancelled"],
            at=replace(platform, objects=objects),
        )

    return Act(run)


def close(platform: Platform, tenant: str) -> None:
    """Have a tenant deleted that has something of each kind."""
    for _ in range(2):
        run_id = new_run(platform, tenant)
        platform.ledger.messages.acknowledge(
            platform.ledger.cancel(run_id).run_id
        )
    bucket = platform.objects.bucket
    key = f"tenants/{tenant}/inbound/feed.csv"
    platform.objects.put(key, b"x")
    platform.clients.s3.create_multipart_upload(Bucket=bucket, Key=key)
    plan = AlarmPlan(
        environment=platform.settings.environment,
        namespace=platform.settings.metrics_namespace,
        queue_name="jobs",
        dlq_name="dead",
        tenants=(tenant,),
    )
    set_up_alarms(plan, platform.clients)
    platform.secrets.put(
        tenant, "granite", SecretValue("Bearer x", "granite.example.com")
    )
    platform.closing.ask(tenant)


def keep_what_is_pulled(platform: Platform, url: str) -> None:
    """Have a tenant whose vendor's file is pulled by a secret, and who has five of them."""
    pull = {"url": url, "secret": "granite"}
    platform.tenants.put(
        "theta", json.dumps(pull_config(pull, tenant_id="theta"))
    )
    host = url.split("/")[2]
    platform.secrets.put("theta", "granite", SecretValue("Bearer x", host))
    for number in range(5):
        key = f"tenants/theta/inbound/vendor_1/pulled/2025010{number}T000000Z-feed.csv"
        platform.objects.put(key, b"x")


def pull(platform: Platform) -> None:
    """Pull what is due, from this machine."""
    settings = platform.settings.model_copy(
        update={"pull_allow_loopback": True}
    )
    pull_all(Puller(replace(platform, settings=settings), wait_seconds=60))
    prefix = "tenants/theta/inbound/vendor_1/pulled/"
    keys = [item.key for item in platform.objects.list_objects(prefix)]
    assert len(keys) == 5
    assert keys[-1] > f"{prefix}2026"


def be_the_code_server(platform: Platform, clock: FakeClock) -> Act:
    """Make the ticks of all sensors, over queues that hold one message of each kind."""
    for _ in range(KEPT_CONFIGS + 1):
        platform.tenants.put(TENANT, json.dumps(config_of(TENANT)))
    triggers = {"on_upload": {"quiet_seconds": 0}}
    platform.tenants.put(
        "zeta", json.dumps({**config_of("zeta"), "triggers": triggers})
    )
    platform.objects.put("tenants/zeta/inbound/feed.csv", b"x")
    fill_the_queues(platform)
    # Its receiver may not be called, which is a failure to be noted.
    events = (EventType.RUN_CANCELLED,)
    stored_webhook(
        platform, tenant_id="epsilon", url="http://127.0.0.1:1/", events=events
    )
    platform.ledger.request_cancel(new_run(platform, "epsilon"))

    def tick() -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            executions = DagsterExecutions(instance)
            platform.metrics.count(WORKER_HEARTBEAT)
            IntakeTick(platform, executions, 10, clock=clock).run(
                poll_seconds=0
            )
            for _ in range(3):
                clock.advance(seconds=120)
                ReconcileTick(platform, executions, clock=clock).run()
            UploadTick(platform).run(poll_seconds=0)
            # The sensor itself would wait for events; deletions and transfers are
            # other processes'.
            changes = {
                "uploads_queue_url": None,
                "deletions_apart": True,
                "transfers_apart": True,
            }
            settings = platform.settings.model_copy(update=changes)
            for sensor in all_sensors(
                lambda: replace(platform, settings=settings), wait_seconds=0
            )[1:]:
                with dg.build_sensor_context(instance=instance) as context:
                    sensor(context)

    return Act(tick)


def fill_the_queues(platform: Platform) -> None:
    """Put a message of each kind into the queues, and end a run as poison."""
    before = platform.submission.submit("zeta")
    platform.ledger.dispatch(
        before.run_id, 1, message_id="m", receipt_handle="h"
    )
    platform.ledger.cancel(before.run_id)

    def put(url: str, body: str) -> None:
        platform.clients.sqs.send_message(QueueUrl=url, MessageBody=body)

    put(platform.settings.queue_url, "no job")
    put(str(platform.settings.uploads_queue_url), "no event")
    for _ in ("runs", "waits"):
        put(platform.settings.queue_url, Job(str(uuid.uuid4()), TENANT).body())
    put(platform.settings.dlq_url, Job(str(uuid.uuid4()), "beta").body())
    put(
        platform.settings.dlq_url,
        Job(new_run(platform, "gamma"), "gamma").body(),
    )
    delta = dispatched(platform, "delta")
    platform.ledger.pin(platform.ledger.claim(delta, 1, "dagster-1").fence, 1)
    platform.ledger.poison(delta, "attempts used up")
    publish_for_the_doctor(platform, delta)


def publish_for_the_doctor(platform: Platform, run_id: str) -> None:
    """Give a run a live feed: the doctor asks for its head, and for the run's files."""
    keys = ArtifactKeys(run_id, "delta")
    platform.objects.put(key := feed_copy_key(keys, "csv"), b"sku\n")
    publication = Publication(
        run_id,
        key,
        hashlib.sha256(b"sku\n").hexdigest(),
        utc_now(),
        utc_now(),
        1,
    )
    pointer = FeedPointer("delta", (publication,), revision=1)
    platform.database.runs.write_all(
        [{"PutRequest": {"Item": feed_item(pointer)}}]
    )


def have_a_feed_to_deliver(
    platform: Platform, server: SftpServer
) -> DeliveriesWorld:
    """Have a tenant whose feed was delivered once, and is to be delivered again."""
    settings = platform.settings.model_copy(
        update={"pull_allow_loopback": True}
    )
    platform = replace(platform, settings=settings)
    sender = DeliverySender(platform, wait_seconds=60)
    shop = DeliveriesWorld(platform, FakeClock(), "rho", sender)
    shop.store(shop.entry(server))
    shop.publish()
    return shop


def take_over(platform: Platform, staged: str) -> None:
    """Have a file taken over that a dead process had staged."""
    platform.objects.put(staged, b"whole")
    stage = rules.staged(
        StagedFile(
            key=staged,
            source="",
            target="tenants/sigma/inbound/vendor_1/pulled/2026-feed.csv",
            sha256="",
            mark=NO_MARK,
        )
    )
    ask = rules.asked(utc_now())
    platform.pulls.change("sigma", "vendor_1", lambda state: ask(stage(state)))
    pull_all(Puller(platform, wait_seconds=60))
    state = platform.pulls.of_names("sigma", ["vendor_1"])["vendor_1"]
    assert (state.staged, state.failures) == (None, 0)


def be_the_transfers(platform: Platform, clock: FakeClock) -> Act:
    """Pull a file, one of several parts that breaks off, and one whose process died.

    Deliver a feed.
    """
    serving = ExitStack()
    broken = file(bytes(9 << 20), headers={"content-length": "99999999"})
    answers = {"/feed.csv": file(), "/broken.csv": broken}
    server = serving.enter_context(file_server(answers))
    keep_what_is_pulled(platform, server.url())
    for tenant, target in (("kappa", "/broken.csv"), ("sigma", "/feed.csv")):
        pulls = pull_config({"url": server.url(target)}, tenant_id=tenant)
        platform.tenants.put(tenant, json.dumps(pulls))
    PullPlanner(platform).run()
    staged = "published/sigma/pulls/vendor_1/dead"
    abandon_a_pull(platform, staged)
    folder = serving.enter_context(tempfile.TemporaryDirectory())
    sftp = serving.enter_context(sftp_server(Path(folder)))
    shop = have_a_feed_to_deliver(platform, sftp)
    # Its pulls are to be planned.
    new_pull = pull_config({"url": server.url()}, tenant_id="lambda")
    platform.tenants.put("lambda", json.dumps(new_pull))

    def transfer() -> None:
        with serving:
            pull(platform)
            send_all(shop.sender)
            assert files_at(sftp) == {"stock.csv": FEED}
        states = [
            platform.pulls.of_names(tenant, ["vendor_1"])["vendor_1"]
            for tenant in ("kappa", "sigma")
        ]
        assert [state.failures for state in states] == [3, 1]
        assert not platform.objects.exists(staged)
        take_over(platform, staged)

    return Act(transfer)


def abandon_a_pull(platform: Platform, staged: str) -> None:
    """Leave a pull of `sigma` to a dead process, with a file half staged; fail `kappa`'s."""
    queue = platform.pulls.queue
    (abandoned,) = (
        item
        for item in queue.due(utc_now(), 9)
        if item.value.tenant_id == "sigma"
    )
    assert queue.take(abandoned, utc_now() - 2 * LEASE) is not None
    failed_twice = rules.failed("busy", utc_now())
    for _ in range(2):
        platform.pulls.change("kappa", "vendor_1", failed_twice)
    platform.pulls.change("kappa", "vendor_1", rules.asked(utc_now()))
    platform.objects.put(staged, b"half")
    platform.clients.s3.create_multipart_upload(
        Bucket=platform.objects.bucket, Key=staged
    )


def be_the_deletion(platform: Platform, clock: FakeClock) -> Act:
    """Cancel what a tenant that is deleted has under way, and go on with another to its end."""
    close(platform, "omega")
    for tenant in ("omega", "beta"):
        platform.clients.sqs.send_message(
            QueueUrl=platform.settings.dlq_url,
            MessageBody=Job(str(uuid.uuid4()), tenant).body(),
        )
    new_run(platform, "psi")
    platform.deletions.ask("psi", timedelta(hours=1))

    def delete() -> None:
        platform.metrics.worker_error("tenant_not_deleted")
        with dg.DagsterInstance.ephemeral() as instance:
            for clock_now in (utc_now, lambda: utc_now() + LATER):
                DeletionTick(
                    platform, DagsterHistory(instance), clock_now
                ).run()
        assert platform.tenants.latest_version("omega") is None

    return Act(delete)


ROLES: dict[str, Callable[[Platform, FakeClock], Act]] = {
    "ApiRole": be_the_api,
    "CodeRole": be_the_code_server,
    "DeletionRole": be_the_deletion,
    "RunRole": be_a_run,
    "TransfersRole": be_the_transfers,
}


@dataclass(frozen=True, slots=True)
class Practice:
    """A role, and the permissions that its process took."""

    role: str
    needs: frozenset[Need]


@pytest.fixture(scope="module", params=ROLES)
def practice(request: pytest.FixtureRequest) -> Practice:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        clock = FakeClock()
        with embedded_platform(
            clock, metrics_enabled=True, public_url=PUBLIC
        ) as platform:
            act = ROLES[request.param](platform, clock)
            with recorded(platform, *act.clients) as calls:
                act.do()
    return Practice(request.param, frozenset(calls.needs))


def test_a_role_allows_all_that_its_process_does(practice: Practice) -> None:
    allowed = grants(practice.role)
    assert len(practice.needs) > 5
    refused = [
        need
        for need in practice.needs
        if not any(grant.allows(need) for grant in allowed)
    ]
    assert refused == []


def test_a_role_allows_nothing_that_its_process_does_not_do(
    practice: Practice,
) -> None:
    unused = [
        (action, grant.resources)
        for grant in grants(practice.role)
        for action in grant.actions
        if action.startswith(PRODUCT)
        and not used(action, grant, practice.needs)
    ]
    assert unused == []


def used(action: str, grant: Grant, needs: Collection[Need]) -> bool:
    return any(need.action == action and grant.allows(need) for need in needs)


def actions(role: str) -> set[str]:
    return {action for grant in grants(role) for action in grant.actions}


def test_the_webserver_ends_runs_and_reaches_the_reports_alone() -> None:
    assert actions("WebserverRole") == {
        "ecs:DescribeTaskDefinition",
        "ecs:DescribeTasks",
        "ecs:StopTask",
        "s3:GetObject",
    }
    (report_grant,) = (
        grant
        for grant in grants("WebserverRole")
        if "s3:GetObject" in grant.actions
    )
    keys = ArtifactKeys(str(uuid.uuid4()), TENANT)
    for key, is_shown in (
        (keys.report, True),
        (keys.run_summary, False),
        (keys.outputs, False),
    ):
        assert (
            report_grant.allows(Need("s3:GetObject", f"ArtifactBucket/{key}"))
            is is_shown
        )


def test_what_verifies_feeds_asks_the_api_alone() -> None:
    assert actions("VerifyRole") == set()
    definition = container("VerifyTask")
    assert definition["Command"] == ["relay", "verify", "--newest"]
    assert [variable["Name"] for variable in definition["Environment"]] == [
        "RELAY_API_URL"
    ]
    assert [secret["Name"] for secret in definition["Secrets"]] == [
        "RELAY_API_KEY"
    ]
    in_api = {
        variable["Name"]: variable["Value"]
        for variable in container("ApiTask")["Environment"]
    }
    assert in_api["RELAY_READ_ONLY_ADMINS"] == "verify"


def test_the_daemon_starts_and_ends_runs_and_reaches_nothing_of_the_product() -> (
    None
):
    assert not [
        action for action in actions("DaemonRole") if action.startswith(PRODUCT)
    ]
    assert {"ecs:RunTask", "iam:PassRole"} <= actions("DaemonRole")


def test_nobody_but_the_daemon_starts_tasks_or_gives_roles_away() -> None:
    other_roles = [role for role in roles() if role != "DaemonRole"]
    assert not [
        role
        for role in other_roles
        if actions(role) & {"ecs:RunTask", "iam:PassRole"}
    ]


def roles() -> list[str]:
    return [*of_type("AWS::IAM::Role")]


def test_the_api_s_keys_and_the_database_s_password_are_given_to_different_tasks() -> (
    None
):
    readable = {
        role: grant.resources
        for role in roles()
        for grant in grants(role)
        if "secretsmanager:GetSecretValue" in grant.actions
    }
    assert readable == {
        "ApiExecutionRole": ("ApiKeysSecretArn",),
        "ExecutionRole": ("DatabaseSecret",),
        "VerifyExecutionRole": ("VerifyKeySecretArn",),
        "TransfersRole": (
            "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:"
            "relay/${EnvironmentName}/${NamePrefix}/*",
        ),
    }
    tasks = of_type("AWS::ECS::TaskDefinition")
    execution_roles = {
        name: task["ExecutionRoleArn"]["Fn::GetAtt"][0]
        for name, task in tasks.items()
    }
    assert execution_roles.pop("ApiTask") == "ApiExecutionRole"
    assert execution_roles.pop("VerifyTask") == "VerifyExecutionRole"
    assert {*execution_roles.values()} == {"ExecutionRole"}


def test_the_daemon_gives_runs_no_role_that_reads_the_api_s_keys() -> None:
    (passed,) = (
        grant
        for grant in grants("DaemonRole")
        if "iam:PassRole" in grant.actions
    )
    assert set(passed.resources) == {"RunRole", "ExecutionRole"}


def test_each_task_has_a_role_of_its_own() -> None:
    tasks = of_type("AWS::ECS::TaskDefinition").values()
    task_roles = [task["TaskRoleArn"]["Fn::GetAtt"][0] for task in tasks]
    assert len(task_roles) == len({*task_roles}) == 8


@pytest.mark.parametrize("role", roles())
def test_no_role_has_a_wildcard_action_or_more_resources_than_it_must(
    role: str,
) -> None:
    unrestricted = {
        "cloudwatch:DescribeAlarmsForMetric",
        "cloudwatch:PutMetricData",
        "ecs:DescribeTaskDefinition",
    }
    for grant in grants(role):
        assert not [action for action in grant.actions if "*" in action]
        if "*" in grant.resources:
            assert set(grant.actions) <= {
                *unrestricted,
                "ec2:DescribeNetworkInterfaces",
            }


@pytest.mark.parametrize("role", roles())
def test_only_ecs_tasks_of_the_account_take_a_role(role: str) -> None:
    (statement,) = properties(role)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }


@pytest.mark.parametrize("role", roles())
def test_nobody_changes_or_deletes_what_the_audit_says(role: str) -> None:
    entry = "AuditTable"
    actions = [
        action
        for grant in grants(role)
        if entry in grant.resources
        for action in grant.actions
    ]
    reading = {
        f"dynamodb:{name}" for name in ("GetItem", "BatchGetItem", "Query")
    }
    assert set(actions) <= {*reading, "dynamodb:PutItem"}


@pytest.mark.parametrize(
    ("role", "keys"),
    [("CodeRole", ["WEBHOOKS#*"]), ("DeletionRole", ["DELETION#*"])],
)
def test_of_tenants_items_one_changes_webhooks_and_the_other_deletions(
    role: str, keys: list[str]
) -> None:
    policies = properties(role)["Policies"]
    statements = [
        statement
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    of_tenants = [
        statement
        for statement in statements
        if "TenantsTable" in json.dumps(statement["Resource"])
    ]
    writing = [
        statement
        for statement in of_tenants
        if "dynamodb:UpdateItem" in statement["Action"]
    ]
    assert [statement["Condition"] for statement in writing] == [
        {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}}
    ]


def test_a_run_reads_no_keys_and_no_secrets_of_webhooks() -> None:
    for action in ("dynamodb:GetItem", "dynamodb:ConditionCheckItem"):
        assert not [
            key
            for key in ("KEY#", "KEYS#", "WEBHOOKS#", "PAUSE#")
            if any(
                grant.allows(Need(action, "TenantsTable", key))
                for grant in grants("RunRole")
            )
        ]


def conditions_of(action: str) -> list[Any]:
    """Return on which conditions the API may do something to an upload."""
    upload = Need(
        action, "ArtifactBucket/tenants/acme/inbound/vendor_1/feed.csv"
    )
    (policy,) = properties("ApiRole")["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    return [
        statement.get("Condition")
        for statement, grant in zip(statements, grants("ApiRole"), strict=True)
        if grant.allows(upload)
    ]


def test_a_presigned_link_cannot_reach_an_upload() -> None:
    assert conditions_of("s3:GetObject") == [
        {"StringEquals": {"s3:authType": "REST-HEADER"}}
    ]


def test_an_upload_is_written_by_a_form_alone_and_nothing_else_is() -> None:
    assert conditions_of("s3:PutObject") == [
        {"StringEquals": {"s3:authType": "POST"}}
    ]
    run = Need(
        "s3:PutObject",
        "ArtifactBucket/1-2-3-4-5/tenants/acme/reports/errors.json",
    )
    feed = Need("s3:PutObject", "ArtifactBucket/published/acme/1-2-3-4-5.csv")
    assert not [
        grant
        for grant in grants("ApiRole")
        if grant.allows(run) or grant.allows(feed)
    ]
