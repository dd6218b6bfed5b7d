"""Every procedure of docs/RUNBOOK.md, followed: its cause, its symptom, its fix, a run that works.

A drill's name is the heading or the code that the runbook has it under. Its docstring's first line
is what ``make runbook`` shows.
"""

from __future__ import annotations

import inspect
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from integration.fault_rules import Action
from integration.installation import MAX_MAP_BYTES, TIMEOUT_SECONDS
from integration.waiting import wait_for
from relay_dagster.runs.job_message import Job
from runbook.desk import GOOD_FEED, Desk
from support.builders import feed
from support.pulls_world import file, file_server
from support.sftp_servers import PASSWORD, sftp_server

ROOT = Path(__file__).resolve().parents[2]
GREAT_ROWS = [f"A-{number},5,10.00" for number in range(1, 21)]
GREAT_FEED = feed(*GREAT_ROWS)
FETCH_INPUTS = "FETCH_INPUTS"
NORMALIZE = "NORMALIZE"
MERGE_PRICE = "MERGE_PRICE"
Body = Callable[[Desk], None]


@dataclass(frozen=True, slots=True)
class Drill:
    """One procedure and the function that follows it."""

    name: str
    body: Body

    @property
    def claim(self) -> str:
        """What is shown of it."""
        text = inspect.getdoc(self.body) or ""
        return text.partition("\n\n")[0].replace("\n", " ")


_ALL: list[Drill] = []


def drill(name: str) -> Callable[[Body], Body]:
    """Enter a function into the list."""

    def enter(body: Body) -> Body:
        _ALL.append(Drill(name, body))
        return body

    return enter


def all_drills() -> list[Drill]:
    """Return every drill, in the order of the runbook."""
    return list(_ALL)


# --- the five most frequent failures --------------------------------------------------------------


@drill("missing_tenant_config")
def no_config(desk: Desk) -> None:
    """A tenant without a config; fixed by POST /v1/tenants."""
    run = desk.failed(
        "missing_tenant_config", FETCH_INPUTS, "missing tenant config"
    )
    assert desk.artifacts(run) == {
        "errors",
        "report",
        "report_data",
        "run_summary",
    }
    answer = desk.relay.http.post("/v1/tenants", json=desk.config())
    assert answer.status_code == 201, answer.text
    desk.upload()
    desk.succeeded()


@drill("missing_tenant_config")
def no_such_version(desk: Desk) -> None:
    """A job for a config version that is not stored; fixed by a run of the latest one."""
    desk.store()
    desk.upload()
    run_id = "7d9d1a5e-3c52-4c1c-9f44-6f0a2f3b9c01"
    desk.relay.send(Job(run_id, desk.tenant, None, 99))
    desk.relay.wait_final(run_id)
    run = desk.reported({"run_id": run_id})
    desk.is_failed(
        run, "missing_tenant_config", FETCH_INPUTS, "missing tenant config"
    )
    assert "99" in run["error_message"]
    assert desk.succeeded()["config_version"] == 1


@drill("REQUIRED_VENDOR_MISSING")
def no_upload(desk: Desk) -> None:
    """A required vendor has uploaded nothing; fixed by the upload under its very prefix."""
    desk.store()
    desk.upload("south")
    run = desk.failed(
        "REQUIRED_VENDOR_MISSING",
        FETCH_INPUTS,
        "required vendor inbound missing",
    )
    prefix = f"tenants/{desk.tenant}/inbound/north/"
    assert prefix in run["error_message"]
    manifest = desk.report(run, "input_manifest")["vendors"]
    assert (manifest["north"]["status"], manifest["south"]["status"]) == (
        "missing",
        "found",
    )
    assert manifest["north"]["expected_prefix"] == prefix
    vendors = desk.report(run, "config_snapshot")["tenant_config"]["vendors"]
    assert vendors[0]["inbound"]["s3_prefix"] == prefix
    desk.upload("north")
    desk.succeeded()


@drill("STALE_FEED")
def old_upload(desk: Desk) -> None:
    """A required vendor's upload is too old; fixed by a new one."""
    config = desk.config()
    config["vendors"][0]["max_feed_age_hours"] = 1
    desk.store(config)
    desk.upload()
    run = desk.reported(desk.run_in(hours=2))
    desk.is_failed(
        run,
        "STALE_FEED",
        FETCH_INPUTS,
        "latest file of vendor 'north' is 2",
    )
    assert desk.report(run, "input_manifest")["vendors"]["north"][
        "last_modified"
    ]
    desk.upload("north")
    desk.succeeded()


@drill("DECODE_ERROR")
def other_encoding(desk: Desk) -> None:
    """A file in another encoding; parser.encoding fixes it, tried first with the local runner."""
    header = "sku,quantity_available,cost,title"
    data = feed(
        "A-1,5,10.00,größere Schraube", header=header, encoding="cp1252"
    )
    desk.store()
    desk.upload("north", data=data)
    desk.upload("south")
    run = desk.failed("DECODE_ERROR", NORMALIZE, "decode error")
    assert "north" in run["error_message"]
    assert "feed.csv" in run["error_message"]
    config = desk.config()
    assert local_run(config, data).endswith(
        f"DECODE_ERROR: {run['error_message']}"
    )
    config["vendors"][0]["parser"]["encoding"] = "cp1252"
    assert local_run(config, data) == ""
    desk.store(config)
    desk.succeeded()


@drill("DECODE_ERROR")
def malformed_csv(desk: Desk) -> None:
    """A quote that is never closed; fixed by a new upload."""
    desk.store()
    desk.upload(
        "north", data=b'sku,quantity_available,cost\nA-1,5,"10.00\nA-2,1,2.00\n'
    )
    desk.upload("south")
    run = desk.failed("DECODE_ERROR", NORMALIZE, "decode error")
    assert "line 2" in run["error_message"]
    desk.upload("north", name="feed-corrected.csv")
    desk.succeeded()


@drill("missing_required_columns")
def renamed_header(desk: Desk) -> None:
    """A vendor has renamed a header; fixed by parser.column_map."""
    config = desk.config()
    config["vendors"][0]["parser"]["column_map"] = {"cost": "Cost"}
    desk.store(config)
    desk.upload(
        "north",
        data=feed("A-1,5,10.00", header="sku,quantity_available,Net cost"),
    )
    desk.upload("south")
    run = desk.failed(
        "missing_required_columns", NORMALIZE, "missing required columns"
    )
    for word in ("north", "'Cost'", "'Net cost'"):
        assert word in run["error_message"], run["error_message"]
    config["vendors"][0]["parser"]["column_map"] = {"cost": "Net cost"}
    desk.store(config)
    desk.succeeded()


@drill("validation_errors")
def too_many_invalid_rows(desk: Desk) -> None:
    """One invalid row too many; fixed by higher thresholds."""
    desk.store()
    desk.upload("north", data=feed("A-1,5,10.00", "A-2,many,4.50"))
    desk.upload("south")
    run = desk.failed("validation_errors", MERGE_PRICE, "validation errors")
    (entry,) = desk.entries(run, "invalid_quantity")
    assert (entry["vendor_id"], entry["row_number"], entry["value"]) == (
        "north",
        3,
        "many",
    )
    assert b"north,3,invalid_quantity" in desk.artifact(run, "invalid_rows")
    desk.store(
        error_policy={"max_invalid_rows": 1, "max_invalid_row_pct": "0.5"}
    )
    run = desk.succeeded()
    assert desk.entries(run, "invalid_rows_within_threshold")


@drill("validation_errors")
def invalid_rows_corrected(desk: Desk) -> None:
    """The same, fixed by corrected data."""
    desk.store()
    desk.upload("north", data=feed("A-1,5,10.00", "A-2,many,4.50"))
    desk.upload("south")
    desk.failed("validation_errors", MERGE_PRICE, "validation errors")
    desk.upload("north", name="feed-corrected.csv")
    run = desk.succeeded()
    manifest = desk.report(run, "input_manifest")["vendors"]
    assert manifest["north"]["s3_key"].endswith("/feed-corrected.csv")


# --- the others -----------------------------------------------------------------------------------


@drill("no_rows_parsed")
def empty_file(desk: Desk) -> None:
    """A required vendor's file has only a header; fixed by a file with rows."""
    desk.store()
    desk.upload("north", data=b"sku,quantity_available,cost\n")
    desk.upload("south")
    run = desk.failed("no_rows_parsed", MERGE_PRICE, "no rows parsed")
    assert "north" in run["error_message"]
    desk.upload("north")
    desk.succeeded()


@drill("unsupported_schema_version")
def other_schema_version(desk: Desk) -> None:
    """A stored config of schema_version 2; fixed by one of schema_version 1."""
    desk.store_unchecked({**desk.config(), "schema_version": 2})
    desk.upload()
    run = desk.failed("unsupported_schema_version", FETCH_INPUTS)
    refused = desk.relay.http.put(
        f"/v1/tenants/{desk.tenant}/config",
        json={**desk.config(), "schema_version": 2},
    )
    assert refused.status_code == 422, refused.text
    assert "config_snapshot" in desk.artifacts(run)
    desk.store()
    desk.succeeded()


@drill("missing_sku_map")
def no_sku_map(desk: Desk) -> None:
    """A SKU map is configured and not there; fixed by its upload."""
    config = desk.config()
    key = f"tenants/{desk.tenant}/maps/north.csv"
    config["vendors"][0]["sku_map"] = {"type": "s3", "s3_key": key}
    desk.store(config)
    desk.upload()
    run = desk.failed("missing_sku_map", FETCH_INPUTS)
    assert key in run["error_message"]
    desk.relay.aws.objects.put(key, b"vendor_sku,sku\nN-1,A-1\n")
    desk.succeeded()


@drill("missing_catalog")
def no_catalog(desk: Desk) -> None:
    """A catalog is configured and has no file; fixed by its upload."""
    config = desk.config()
    prefix = f"tenants/{desk.tenant}/inbound/catalog/"
    config["catalog"] = {
        "inbound": {"type": "s3", "s3_prefix": prefix},
        "parser": {"format": "csv"},
    }
    desk.store(config)
    desk.upload()
    run = desk.failed("missing_catalog", FETCH_INPUTS)
    assert prefix in run["error_message"]
    desk.relay.aws.objects.put(f"{prefix}products.csv", b"sku\nA-1\n")
    desk.succeeded()


@drill("feed_too_large")
def large_map(desk: Desk) -> None:
    """A SKU map is larger than one may be; fixed by a smaller one."""
    config = desk.config()
    key = f"tenants/{desk.tenant}/maps/north.csv"
    config["vendors"][0]["sku_map"] = {"type": "s3", "s3_key": key}
    desk.store(config)
    desk.upload()
    desk.relay.aws.objects.put(
        key, b"vendor_sku,sku\n" + b"N-1,A-1\n" * MAX_MAP_BYTES
    )
    run = desk.failed(
        "feed_too_large", FETCH_INPUTS, f"the limit is {MAX_MAP_BYTES}."
    )
    assert "north" in run["error_message"]
    desk.relay.aws.objects.put(key, b"vendor_sku,sku\nN-1,A-1\n")
    desk.succeeded()


@drill("invalid_input")
def repeated_header(desk: Desk) -> None:
    """A header that is used occurs twice; fixed by a corrected file."""
    desk.store()
    desk.upload(
        "north",
        data=feed("A-1,5,6,10.00", header="sku,quantity_available,cost,cost"),
    )
    desk.upload("south")
    run = desk.failed("invalid_input", NORMALIZE)
    assert "north" in run["error_message"]
    desk.upload("north")
    desk.succeeded()


@drill("empty_output")
def nothing_priced(desk: Desk) -> None:
    """No row has a cost or a price; fixed by files that have."""
    desk.store()
    desk.upload(data=feed("A-1,5,", "A-2,1,"))
    run = desk.failed("empty_output", MERGE_PRICE)
    assert desk.entries(run, "UNPRICED_SKU")
    desk.upload()
    desk.succeeded()


@drill("OPTIONAL_VENDOR_MISSING")
def optional_vendor(desk: Desk) -> None:
    """An optional vendor has uploaded nothing: a warning, and the run succeeds."""
    config = desk.config()
    config["vendors"][1]["required"] = False
    desk.store(config)
    desk.upload("north")
    run = desk.succeeded()
    (entry,) = desk.entries(run, "OPTIONAL_VENDOR_MISSING")
    assert entry["vendor_id"] == "south"


@drill("RUN_TIMEOUT")
def run_takes_too_long(desk: Desk) -> None:
    """S3 does not answer for longer than a run may take: ended for good; then one that works."""
    desk.store()
    desk.upload()
    copies = f"/tenants/{desk.tenant}/inbound/"
    hanging = desk.relay.proxy.add(
        Action.HANG, "s3", "GetObject", containing=copies
    )
    run = desk.failed("RUN_TIMEOUT", NORMALIZE, "run timeout")
    assert run["attempt"] == 1
    assert f"stopped after {TIMEOUT_SECONDS} seconds" in run["error_message"]
    hanging.release()
    desk.succeeded()


@drill("POISON_JOB")
def poison(desk: Desk) -> None:
    """A stored config that does not validate uses all attempts up; found in the DLQ, then fixed."""
    broken = {**desk.config(), "timezone": "Nowhere"}
    desk.store_unchecked(broken)
    desk.upload()
    run = desk.failed("POISON_JOB", FETCH_INPUTS)
    assert run["attempt"] == 3
    assert "timezone" in run["error_message"]
    wait_for(
        "its message is in the DLQ",
        lambda: (run["run_id"], desk.tenant) in dead_jobs(desk),
        within=60,
    )
    desk.store()
    desk.succeeded()


def dead_jobs(desk: Desk) -> set[tuple[str | None, str | None]]:
    """Return run_id and tenant_id of each body in the dead-letter queue."""
    letters = (
        json.loads(letter["body"]) for letter in desk.relay.dead_letters()
    )
    return {
        (letter.get("run_id"), letter.get("tenant_id")) for letter in letters
    }


# --- what is held back ----------------------------------------------------------------------------


@drill("A run on hold")
def half_a_feed_is_right(desk: Desk) -> None:
    """A vendor sends less than half its feed: held, looked at, found right, and released."""
    whole_then_half(desk)
    run = desk.held("skus_removed", "vendor_rows")
    result = client_command(desk, "runs", "show", run["run_id"])
    assert "vendor_rows of north: 12 of 20, 0.6000; limit 0.50" in result.stdout
    (command,) = [
        line
        for line in result.stdout.splitlines()
        if "relay feed release" in line
    ]
    released = client_command(desk, *shlex.split(command)[1:])
    assert released.returncode == 0, released.stderr
    assert desk.published_run_id() == run["run_id"]


@drill("A run on hold")
def half_a_feed_is_wrong(desk: Desk) -> None:
    """The same, found wrong: the whole feed comes, its run publishes, and the hold is void."""
    whole_then_half(desk)
    run = desk.held("skus_removed", "vendor_rows")
    desk.upload("north", data=GREAT_FEED, name="whole.csv")
    later = desk.succeeded()
    assert desk.published_run_id() == later["run_id"]
    void = desk.relay.shown(run["run_id"])
    assert (void["status"], void["error_code"]) == (
        "CANCELLED",
        "HOLD_SUPERSEDED",
    )
    released = client_command(
        desk, "feed", "release", run["run_id"], "--reason", "too late"
    )
    assert released.returncode == 1
    assert "It has no feed on hold." in released.stderr


@drill("Roll back a feed")
def roll_back(desk: Desk) -> None:
    """A feed that is published and wrong gives way to the one before, until the next run."""
    desk.store()
    desk.upload()
    first = desk.succeeded()
    desk.upload("north", data=feed("A-1,5,99.00"), name="wrong.csv")
    second = desk.succeeded()
    back = client_command(
        desk,
        "feed",
        "rollback",
        desk.tenant,
        first["run_id"],
        "--reason",
        "wrong",
    )
    assert back.returncode == 0, back.stderr
    assert desk.published_run_id() == first["run_id"] != second["run_id"]
    third = desk.succeeded()
    assert third["baseline_run_id"] == first["run_id"]
    assert desk.published_run_id() == third["run_id"]


@drill("Prove a published feed")
def prove_a_feed(desk: Desk) -> None:
    """The feed that the shop reads is made again on this machine: the same bytes."""
    desk.store()
    desk.upload()
    run = desk.succeeded()
    proved = client_command(desk, "runs", "verify", desk.published_run_id())
    assert proved.returncode == 0, proved.stdout + proved.stderr
    assert proved.stdout.endswith(
        f"Run {run['run_id']} is verified: 3 files, the same bytes.\n"
    )


@drill("Rehearse a config change")
def rehearse_a_config(desk: Desk) -> None:
    """A floor is tried on the last run before it is stored; the next run changes as it said."""
    desk.store()
    desk.upload()
    run = desk.succeeded()
    pricing = {
        "base_margin_pct": "0",
        "min_price": "11.50",
        "shipping_handling_flat": "0",
    }
    floor = desk.config(pricing=pricing)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tried.json"
        file.write_text(json.dumps(floor))
        words = ("rehearse", run["run_id"], "--config", str(file), "--json")
        rehearsed = client_command(desk, *words)
    assert rehearsed.returncode == 3, rehearsed.stdout + rehearsed.stderr
    (rehearsal,) = json.loads(rehearsed.stdout)
    desk.store(floor)
    assert desk.succeeded()["changes"] == rehearsal["changes"]


def whole_then_half(desk: Desk) -> None:
    """Let the tenant publish a feed; then one vendor sends 8 of its 20 rows."""
    desk.store()
    desk.upload("north", data=GREAT_FEED)
    desk.upload("south", data=feed("B-1,5,10.00"))
    desk.succeeded()
    desk.upload("north", data=feed(*GREAT_ROWS[:8]), name="half.csv")


# --- procedures -----------------------------------------------------------------------------------


@drill("Pause run creation")
def pause(desk: Desk) -> None:
    """Run creation stops for a tenant, and goes on."""
    desk.store()
    desk.upload()
    http = desk.relay.http
    paused = {"tenant_id": desk.tenant, "reason": "backlog"}
    answer = http.post("/v1/admin/pause", json=paused)
    assert answer.status_code < 300, answer.text
    refused = desk.relay.ask(desk.tenant)
    assert (refused.status_code, refused.json()["error_code"]) == (
        503,
        "RUN_CREATION_PAUSED",
    )
    assert int(refused.headers["Retry-After"]) > 0
    answer = http.request(
        "DELETE", "/v1/admin/pause", json={"tenant_id": desk.tenant}
    )
    assert answer.status_code < 300, answer.text
    desk.succeeded()


@drill("Rerun safely")
def run_again(desk: Desk) -> None:
    """A new run has a new run_id, reads the latest upload, and leaves the old run's files alone."""
    desk.store()
    desk.upload()
    first = desk.succeeded()
    before = desk.artifact(first, "merged_inventory")
    desk.upload("north", data=feed("A-1,5,99.00"), name="later.csv")
    desk.upload("south", data=feed("A-1,0,99.00"), name="later.csv")
    second = desk.succeeded()
    assert second["run_id"] != first["run_id"]
    assert desk.artifact(first, "merged_inventory") == before
    assert desk.artifact(second, "merged_inventory") != before
    north = desk.report(second, "input_manifest")["vendors"]["north"]
    assert north["s3_key"].endswith("/later.csv")
    assert desk.report(second, "config_snapshot")["config_version"] == 1


@drill("queue_misconfigured")
def queue_differs(desk: Desk) -> None:
    """The queue's attributes are not the variables'; told by ready and --check, then repaired."""
    relay = desk.relay
    sqs = relay.aws.clients.sqs
    url = relay.aws.queue.url
    assert relay.http.get("/v1/ready").status_code == 200
    sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"VisibilityTimeout": "11"}
    )
    # What the API has seen stands for two seconds.
    wait_for(
        "the queue is told as misconfigured",
        lambda: _ready_states(desk, 503).get("queue") == "queue_misconfigured",
        within=10,
    )
    result = relay_command(desk, "server", "bootstrap", "--check")
    assert result.returncode == 1
    assert (
        "queue_misconfigured: VisibilityTimeout is 11, not 10"
        in result.stdout + result.stderr
    )
    assert (
        relay_command(desk, "server", "bootstrap", "--repair").returncode == 0
    )
    assert relay_command(desk, "server", "bootstrap", "--check").returncode == 0
    wait_for("the API is ready", lambda: _ready_states(desk, 200), within=10)


@drill("Consecutive failures")
def alarm(desk: Desk) -> None:
    """The tenant's alarm has its name, and sees its failed runs; a run that works ends them."""
    desk.store()
    desk.upload("north")
    result = script(desk, "setup_cloudwatch_alarms.py", "--tenant", desk.tenant)
    assert result.returncode == 0, result.stderr
    for _ in range(2):
        desk.failed("REQUIRED_VENDOR_MISSING", FETCH_INPUTS)
    assert highest(desk, f"consecutive-failures-{desk.tenant}") == (1, 1)
    beats, threshold = highest(desk, "worker-heartbeat")
    assert beats >= threshold
    desk.upload("south")
    desk.succeeded()


@drill("A file is not pulled")
def supplier_fails(desk: Desk) -> None:
    """A secret that is missing, then for another host, then a log-in page; mended, it is pulled."""
    desk.store()
    desk.upload()
    before = desk.succeeded()
    page = b"<!DOCTYPE html><html><head><title>Log in</title></head></html>"
    target = "/feed.csv?token=s3cr3t"
    with file_server({target: file(page)}) as server:
        document = desk.config()
        pull: dict[str, Any] = {
            "url": server.url(target),
            "secret": "north-login",
        }
        document["vendors"][0]["inbound"]["pull"] = pull
        desk.store(document)
        pull_failed(desk, "SECRET_NOT_FOUND")
        for minutes, host, words in (
            (61, "files.example.com", "SECRET_NOT_FOR_HOST"),
            (62, f"127.0.0.1:{server.port}", "an HTML page"),
        ):
            put_login(desk, "north-login", host, "Basic x")
            # A changed pull is due at once, and a requested one only every 5 minutes.
            pull["every_minutes"] = minutes
            desk.store(document)
            pull_failed(desk, words)
        assert [
            request.headers["authorization"] for request in server.requests
        ] == ["Basic x"]
        output = client_command(desk, "tenants", "status", desk.tenant).stdout
        assert "HTML page" in " ".join(output.split()), output
        assert "s3cr3t" not in output
        assert desk.published_run_id() == before["run_id"]
        result = script(desk, "setup_cloudwatch_alarms.py")
        assert result.returncode == 0, result.stderr
        failures, _ = highest(desk, "pulls-failed")
        assert failures >= 3
        server.answers[target] = file(feed("A-1,7,10.00"))
        result = client_command(desk, "vendors", "pull", desk.tenant, "north")
        assert result.returncode == 0, result.stderr
        wait_for(
            "the file is pulled",
            lambda: pull_of(desk)["last_success_at"],
            within=60,
        )
    run = desk.succeeded()
    manifest = desk.report(run, "input_manifest")["vendors"]
    assert "/inbound/north/pulled/" in manifest["north"]["s3_key"]


def pull_failed(desk: Desk, words: str) -> None:
    """Wait until the last pull has failed with these words."""
    wait_for(
        f"a pull fails with {words}",
        lambda: words in (pull_of(desk)["last_error"] or ""),
        within=60,
    )


def pull_of(desk: Desk) -> dict[str, Any]:
    """Return how the first vendor's pulls stand."""
    status = desk.relay.http.get(f"/v1/tenants/{desk.tenant}/status").json()
    return dict(status["vendors"][0]["pull"])


@drill("A feed is not delivered")
def server_refuses(desk: Desk) -> None:
    """A secret for another host, then a folder that is missing; mended, the feed is sent."""
    desk.store()
    desk.upload()
    with (
        tempfile.TemporaryDirectory() as folder,
        sftp_server(Path(folder)) as server,
    ):
        document = desk.config()
        document["deliveries"] = [
            {
                "delivery_id": "bazaar",
                "url": server.url("/in/"),
                "secret": "bazaar-login",
                "host_key": server.host_line,
                "file_name": "stock.csv",
            }
        ]
        desk.store(document)
        desk.succeeded()
        for host, words in (
            ("files.example.com", "SECRET_NOT_FOR_HOST"),
            (f"127.0.0.1:{server.port}", "does not have this folder"),
        ):
            put_login(desk, "bazaar-login", host, PASSWORD)
            send_delivery(desk)
            delivery_failed(desk, words)
        output = client_command(
            desk, "feed", "deliveries", "list", desk.tenant
        ).stdout
        assert "does not have this folder" in " ".join(output.split()), output
        result = script(desk, "setup_cloudwatch_alarms.py")
        assert result.returncode == 0, result.stderr
        failures, _ = highest(desk, "deliveries-failed")
        assert failures >= 2
        target = Path(folder) / "in"
        target.mkdir()
        send_delivery(desk)
        wait_for(
            "the feed is delivered",
            lambda: delivery_of(desk)["last_delivered_at"],
            within=60,
        )
        assert (target / "stock.csv").read_bytes().startswith(b"sku,")
    assert delivery_of(desk)["failures"] == 0


def send_delivery(desk: Desk) -> None:
    result = client_command(
        desk, "feed", "deliveries", "send", desk.tenant, "bazaar"
    )
    assert result.returncode == 0, result.stderr


def delivery_failed(desk: Desk, words: str) -> None:
    """Wait until the last delivery has failed with these words."""
    wait_for(
        f"a delivery fails with {words}",
        lambda: words in (delivery_of(desk)["last_error"] or ""),
        within=60,
    )


def delivery_of(desk: Desk) -> dict[str, Any]:
    """Return the status of the first delivery."""
    path = f"/v1/tenants/{desk.tenant}/deliveries"
    return dict(desk.relay.http.get(path).json()["deliveries"][0])


@drill("Delete a tenant")
def a_tenant_goes(desk: Desk) -> None:
    """Deleted, it is closed at once; restored, it runs; deleted again, it goes and comes anew."""
    desk.store()
    desk.upload()
    desk.succeeded()
    tenant = desk.tenant
    closed = client_command(
        desk, "tenants", "delete", tenant, "--confirm", tenant
    )
    assert f"Tenant {tenant} is CLOSING." in closed.stdout, closed.stderr
    refused = desk.relay.ask(tenant)
    assert (refused.status_code, refused.json()["error_code"]) == (
        409,
        "TENANT_CLOSING",
    )
    restored = client_command(desk, "tenants", "restore", tenant)
    assert restored.stdout == f"Tenant {tenant} is ACTIVE.\n", restored.stderr
    desk.succeeded()
    client_command(desk, "tenants", "delete", tenant, "--confirm", tenant)
    wait_for(
        f"tenant {tenant} is gone",
        lambda: (
            "is DELETED"
            in client_command(desk, "tenants", "status", tenant).stdout
        ),
        within=120,
        every=2,
    )
    output = client_command(desk, "tenants", "audit", tenant).stdout
    assert "tenant.deleted" in output, output
    assert desk.relay.http.get(f"/v1/tenants/{tenant}/feed").status_code == 404
    desk.store()
    desk.upload()
    desk.succeeded()


def put_login(desk: Desk, name: str, host: str, value: str) -> None:
    """Store a secret for a host, as the runbook says."""
    words = ("config", "secrets", "put", desk.tenant, name, "--host", host)
    put = client_command(desk, *words, stdin=value)
    assert put.returncode == 0, put.stderr


def highest(desk: Desk, name: str) -> tuple[float, float]:
    """Return the greatest value of what an alarm watches, in its own words, and its threshold."""
    cloudwatch = boto3.client(
        "cloudwatch",
        endpoint_url=desk.relay.stack.url("moto"),
        region_name="us-east-1",
    )
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[f"relay-chaos-{name}"])[
        "MetricAlarms"
    ]
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_statistics(
        Namespace=alarm["Namespace"],
        MetricName=alarm["MetricName"],
        Dimensions=alarm["Dimensions"],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=alarm["Period"],
        Statistics=[alarm["Statistic"]],
    )
    points = answer["Datapoints"]
    return max(float(point[alarm["Statistic"]]) for point in points), float(
        alarm["Threshold"]
    )


def local_run(config: dict[str, Any], data: bytes) -> str:
    """Run north's file through the local runner; return its last line, empty for a success."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "config.json").write_text(json.dumps(config))
        (home / "feed.csv").write_bytes(data)
        (home / "other.csv").write_bytes(GOOD_FEED)
        process = subprocess.run(
            [
                *(sys.executable, str(ROOT / "scripts/local_run.py")),
                *(
                    "--config",
                    str(home / "config.json"),
                    "--output-dir",
                    str(home / "out"),
                ),
                *("--vendor-file", f"north={home / 'feed.csv'}"),
                *("--vendor-file", f"south={home / 'other.csv'}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    return process.stderr.strip().splitlines()[-1] if process.returncode else ""


def _ready_states(desk: Desk, status_code: int) -> dict[str, str]:
    """Return how each dependency stands; empty where the API answers with another status."""
    answer = desk.relay.http.get("/v1/ready")
    if answer.status_code != status_code:
        return {}
    return {
        name: dependency["state"]
        for name, dependency in answer.json()["dependencies"].items()
    }


def relay_command(
    desk: Desk, *words: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the ``relay`` command with the installation's variables."""
    return _run(
        desk, sys.executable, "-m", "relay_dagster.cli", *words, stdin=stdin
    )


def client_command(
    desk: Desk, *words: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that is a client of the API."""
    http = desk.relay.http
    connection = (
        "--api-url",
        str(http.base_url),
        "--api-key",
        http.headers["X-API-Key"],
    )
    return relay_command(desk, *words, *connection, stdin=stdin)


def script(
    desk: Desk, name: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a script with the installation's variables."""
    return _run(desk, sys.executable, str(ROOT / "scripts" / name), *words)


def _run(
    desk: Desk, *argv: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = desk.relay.stack.process_environment()
    return subprocess.run(
        argv,
        env=environment,
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
