"""docs/CLI.md: every command in it is run, in its order, against the live API."""

import re
import shlex
from dataclasses import replace
from functools import reduce
from pathlib import Path

import dagster as dg
import pytest
import typer.main
from typer.core import TyperGroup

from relay_dagster import cli
from relay_dagster.command_tree import OLD_NAMES
from support.api_world import NOBODY_S_RUN
from support.builders import (
    RUN_ID,
    config_document,
    feed,
    tenant_config,
    vendor_document,
)
from support.client_world import ClientWorld
from support.config_documents import DELIVERY
from support.explaining import run_in_memory
from support.run_world import World
from support.webhooks_world import event, stored_webhook, tried
from write_commands import visible_commands, with_reference

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/CLI.md").read_text("utf-8")
COMMANDS = re.findall(r"^    relay (.+?)(?: +#.*)?$", GUIDE, flags=re.MULTILINE)
VENDORS = (vendor_document("granite_supply"), vendor_document("rheinteile"))
FEEDS = {"granite_supply": feed("A,1,x"), "rheinteile": feed("B,1,2.00")}


def prepared(world: ClientWorld, folder: Path) -> None:
    """Store a config of the guide's tenant twice, and put it into the guide's file."""
    vendors = [
        {
            **vendor,
            "inbound": {
                "type": "s3",
                "s3_prefix": f"tenants/acme_parts/{vendor['vendor_id']}/",
            },
        }
        for vendor in VENDORS
    ]
    vendors[0]["inbound"]["pull"] = {
        "url": "https://files.example.com/stock.csv"
    }
    document = config_document(
        *vendors,
        tenant_id="acme_parts",
        deliveries=[{**DELIVERY, "delivery_id": "bazaar"}],
    )
    for _ in range(2):
        world.api.client.put("/v1/tenants/acme_parts/config", json=document)
    (folder / "stock.csv").write_bytes(FEEDS["granite_supply"])
    (folder / "price_list.csv").write_bytes(feed("A,1,2.00"))
    (folder / "overrides.csv").write_text("sku,price\nACM-10007,99.90\n")
    # JSON is YAML.
    (folder / "acme_parts.yaml").write_text(str(document).replace("'", '"'))


def make_way(world: ClientWorld) -> None:
    """Cancel what is under way, so that the tenant takes a new run."""
    for run in world.api.client.get("/v1/runs?status=QUEUED").json()["runs"]:
        world.api.client.post(f"/v1/runs/{run['run_id']}/cancel")


def ended(world: ClientWorld, idempotency_key: str) -> str:
    """Return a run that has failed for its data."""
    headers = {"Idempotency-Key": idempotency_key}
    run_id = str(
        world.api.post_run(headers, tenant_id="acme_parts").json()["run_id"]
    )
    world.end(run_id, FEEDS, tenant_config(*VENDORS))
    return run_id


def held(world: ClientWorld) -> dict[str, str]:
    """Return what the guide calls a feed that is published, and one that is held back after it."""
    earlier = world.api.succeed(asked(world), marketplace=b"sku\nA-1\n")
    record = world.api.hold(asked(world))
    assert record.hold is not None
    feeds = {vendor["vendor_id"]: feed("ACM-10007,1,2") for vendor in VENDORS}
    run = run_in_memory(tenant_config(*VENDORS), feeds, keys=earlier.keys)
    for key, data in run.files.items():
        world.platform.objects.put(key, data)
    table = b"sku,price_computed\nACM-10007,2.00\nACM-10009,3.00\n"
    world.platform.objects.put(earlier.keys.quarantine, table)
    return {
        "accept RUN_ID": f"accept {earlier.run_id}",
        "explain RUN_ID": f"explain {earlier.run_id}",
        "release RUN_ID": f"release {record.run_id}",
        "SHA256": record.hold.sha256,
        "EARLIER_RUN_ID": earlier.run_id,
    }


def asked(world: ClientWorld) -> str:
    return str(world.api.post_run(tenant_id="acme_parts").json()["run_id"])


def replayable(world: ClientWorld) -> dict[str, str]:
    """Return what the guide calls runs that Dagster has executed."""
    for vendor_id, data in FEEDS.items():
        world.platform.objects.put(
            f"tenants/acme_parts/{vendor_id}/feed.csv", data
        )
    with dg.DagsterInstance.ephemeral() as instance:
        runs = World(world.platform, instance, "acme_parts")
        for run_id in (RUN_ID, NOBODY_S_RUN):
            runs.run(run_id)
    commands = {
        f"{command} RUN_ID": f"{command} {RUN_ID}"
        for command in ("verify", "rehearse")
    }
    return {"OTHER_RUN_ID": NOBODY_S_RUN, **commands}


def receiver(world: ClientWorld) -> str:
    """Return what the guide calls a webhook; something was sent to it."""
    webhook = stored_webhook(world.platform, tenant_id="acme_parts")
    sent = {webhook.webhook_id: tried(webhook.webhook_id, 503, 200)}
    sent_event = replace(event(tenant_id="acme_parts"), deliveries=sent)
    world.platform.webhooks.add_event(sent_event)
    return webhook.webhook_id


def link(world: ClientWorld) -> str:
    """Return what the guide calls a link to the feed."""
    order = {"name": "Shop"}
    response = world.api.client.post(
        "/v1/tenants/acme_parts/feed-links", json=order
    )
    return str(response.json()["link_id"])


def test_the_guide_names_every_command_but_those_of_an_installation() -> None:
    root = typer.main.get_group(cli.app)
    commands = {
        path.removeprefix("relay ")
        for path, command in visible_commands("relay", root)
        if not isinstance(command, TyperGroup)
        and not path.startswith("relay server ")
    }
    named = {
        name
        for name in commands
        if any(f"{command} ".startswith(f"{name} ") for command in COMMANDS)
    }
    assert commands - named == set()
    assert len(commands) > 40


def test_every_command_of_the_guide_is_one_that_help_lists() -> None:
    root = typer.main.get_group(cli.app)
    listed = [path for path, _ in visible_commands("relay", root)]
    assert [
        command
        for command in COMMANDS
        if not any(
            f"relay {command} ".startswith(f"{path} ") for path in listed
        )
        or command.split()[0] in OLD_NAMES
    ] == []


def test_the_reference_is_that_of_the_commands() -> None:
    assert with_reference(GUIDE) == GUIDE, "`make commands` writes it again"


def test_every_command_of_the_guide_does_what_it_says(
    world: ClientWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepared(world, tmp_path)
    names = {**replayable(world), **held(world), "RUN_ID": ended(world, "done")}
    names["WEBHOOK_ID"] = receiver(world)
    names["LINK_ID"] = link(world)
    names["KEY_ID"] = world.api.client.post(
        "/v1/tenants/acme_parts/api-keys"
    ).json()["key_id"]
    outcomes = {}
    for command in (
        command
        for command in COMMANDS
        if not command.startswith("webhooks listen")
    ):
        make_way(world)
        arguments = shlex.split(
            reduce(
                lambda text, name: text.replace(*name), names.items(), command
            )
        )
        if command == "run acme_parts --watch":
            # A run that comes to its end by itself.
            arguments += [
                "--idempotency-key",
                "done",
            ]
        if "<" in arguments:
            arguments = arguments[: arguments.index("<")]
        if command == "runs cancel RUN_ID":
            arguments[2] = asked(world)
        result = world.relay(*arguments, stdin="Bearer 0f8f7d0e\n")
        # The live feed here is one that no engine has made.
        expected = (
            1 if "--watch" in command else 3 if "--newest" in command else 0
        )
        outcomes[command] = (
            result.exit_code,
            expected,
            result.stderr,
            bool(result.stdout),
        )
    assert {c: f for c, f in outcomes.items() if f[0] != f[1] or not f[3]} == {}
    assert (
        world.api.client.get("/v1/tenants/acme_parts").json()["config_version"]
        == 4
    )
