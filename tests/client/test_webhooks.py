"""`relay webhooks`, from the command line to the API and back."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from relay_dagster.client.api_client import ApiClient
from relay_dagster.client.commands.webhooks import delivery_attempts
from relay_dagster.webhooks.changes import disabled, edited, failing
from relay_dagster.webhooks.model import SUBSCRIBABLE, DisabledReason
from support.api_world import TENANT
from support.client_world import ClientWorld
from support.fakes import NOW
from support.webhooks_world import event, tried

URL = "https://shop.example.com/hooks"


@pytest.fixture(autouse=True)
def config(world: ClientWorld) -> None:
    world.api.store_config()


def created(world: ClientWorld, *options: str) -> str:
    """Make a webhook and return its id."""
    result = world.relay(
        "webhooks", "create", TENANT, URL, "--event", "run.failed", *options
    )
    assert result.exit_code == 0, result.output
    (webhook_id,) = re.findall(
        r"^The secret of webhook (\w+) of acme is", result.stderr
    )
    return str(webhook_id)


def test_a_secret_is_printed_alone_and_the_id_beside_it(
    world: ClientWorld,
) -> None:
    events = ("--event", "run.failed", "--event", "feed.published")
    result = world.relay(
        "webhooks", "create", TENANT, URL, *events, "--description", "shop"
    )
    assert result.exit_code == 0, result.output
    (webhook,) = world.platform.webhooks.of_tenant(TENANT)
    assert result.stdout == f"{webhook.secret}\n"
    assert result.stderr == (
        f"The secret of webhook {webhook.webhook_id} of acme is shown only this once. Test the "
        f"webhook with: relay webhooks test acme {webhook.webhook_id}\n"
    )
    lines = world.relay("webhooks", "list", TENANT).stdout.splitlines()
    assert lines[0].split() == [
        "webhook_id",
        "state",
        "url",
        "events",
        "description",
    ]
    assert lines[1].split() == [
        webhook.webhook_id,
        "enabled",
        URL,
        "run.failed",
        "feed.published",
        "shop",
    ]


@pytest.mark.parametrize("act", ["create", "update"])
def test_help_names_every_event(world: ClientWorld, act: str) -> None:
    output = world.relay("webhooks", act, "--help").stdout
    assert [
        event_type for event_type in SUBSCRIBABLE if event_type not in output
    ] == []


def test_programs_get_the_answers_whole(world: ClientWorld) -> None:
    options = ("--event", "run.held", "--json")
    created_hook = json.loads(
        world.relay("webhooks", "create", TENANT, URL, *options).stdout
    )
    assert created_hook.pop("secret").startswith("whsec_")
    place = (TENANT, created_hook["webhook_id"])
    assert json.loads(
        world.relay("webhooks", "list", TENANT, "--json").stdout
    ) == [created_hook]
    assert (
        json.loads(world.relay("webhooks", "show", *place, "--json").stdout)
        == created_hook
    )
    rotated = json.loads(
        world.relay("webhooks", "rotate", *place, "--json").stdout
    )
    assert rotated.keys() == {"webhook_id", "secret", "previous_secret_until"}
    changed = world.relay("webhooks", "update", *place, "--disable", "--json")
    assert json.loads(changed.stdout) == {**created_hook, "enabled": False}
    assert (
        json.loads(
            world.relay("webhooks", "deliveries", *place, "--json").stdout
        )
        == []
    )


def test_only_what_is_named_is_changed(world: ClientWorld) -> None:
    webhook_id = created(world)
    (before,) = world.platform.webhooks.of_tenant(TENANT)
    options = ("--url", f"{URL}/new", "--event", "run.held", "--disable")
    result = world.relay("webhooks", "update", TENANT, webhook_id, *options)
    assert result.stdout.splitlines()[:4] == [
        f"webhook {webhook_id}",
        "  state: disabled",
        f"  URL: {URL}/new",
        "  events: run.held",
    ]
    assert (
        world.relay(
            "webhooks", "update", TENANT, webhook_id, "--enable"
        ).exit_code
        == 0
    )
    for text, description in (("shop", "shop"), ("", None)):
        world.relay(
            "webhooks", "update", TENANT, webhook_id, "--description", text
        )
        assert (
            world.platform.webhooks.of_tenant(TENANT)[0].description
            == description
        )
    (after,) = world.platform.webhooks.of_tenant(TENANT)
    assert after.enabled_at is not None
    changed = replace(before, url=f"{URL}/new", events=("run.held",))
    assert after == replace(changed, enabled_at=after.enabled_at)


def test_how_a_webhook_does_is_shown(world: ClientWorld) -> None:
    webhook_id = created(world, "--description", "shop")
    change = world.platform.webhooks.change
    change(TENANT, edited(TENANT, webhook_id, failing(NOW)))
    assert (
        "  enabled, failing  " in world.relay("webhooks", "list", TENANT).stdout
    )
    change(TENANT, edited(TENANT, webhook_id, disabled(DisabledReason.FAILING)))
    lines = world.relay(
        "webhooks", "show", TENANT, webhook_id
    ).stdout.splitlines()
    assert lines[1] == "  state: disabled (receiver_failing)"
    assert lines[4] == "  description: shop"
    assert re.fullmatch(r"  created: \S+ \S+Z by admin:admin-1", lines[5])
    assert lines[6] == "  failing since: 2026-03-01 12:00:00Z"


def test_a_rotated_secret_is_printed_alone(world: ClientWorld) -> None:
    webhook_id = created(world)
    result = world.relay("webhooks", "rotate", TENANT, webhook_id)
    (webhook,) = world.platform.webhooks.of_tenant(TENANT)
    assert result.stdout == f"{webhook.secret}\n"
    assert re.fullmatch(
        r"Until \S+ \S+Z, events are signed with the old secret, too\.\n",
        result.stderr,
    )


def test_a_test_prints_its_delivery_and_where_to_look(
    world: ClientWorld,
) -> None:
    webhook_id = created(world)
    result = world.relay("webhooks", "test", TENANT, webhook_id)
    (test_event,) = world.platform.webhooks.events_of(TENANT, limit=10).items
    assert result.stdout == f"{test_event.event_id}\n"
    assert f"relay webhooks deliveries acme {webhook_id}" in result.stderr


def test_each_try_is_a_line(world: ClientWorld) -> None:
    webhook_id = created(world)
    empty = world.relay("webhooks", "deliveries", TENANT, webhook_id)
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert (
        empty.stderr == "Nothing was sent to the webhook in the last 30 days.\n"
    )
    tried_event = replace(
        event(),
        deliveries={webhook_id: tried(webhook_id, None, 503, goes_on=True)},
    )
    world.platform.webhooks.add_event(tried_event)
    lines = world.relay(
        "webhooks", "deliveries", TENANT, webhook_id
    ).stdout.splitlines()
    assert lines[0].split() == [
        *(
            "at",
            "delivery_id",
            "event",
            "attempt",
            "response",
            "took",
            "next",
            "error",
        ),
    ]
    assert re.search(
        rf"{tried_event.event_id}  run.failed  2        503 .* 12:05:00Z  answered 503$",
        lines[1],
    )
    assert re.search(r"run.failed  1        -  .*  answered None$", lines[2])
    limited = world.relay(
        "webhooks", "deliveries", TENANT, webhook_id, "--limit", "1"
    )
    assert limited.stdout.splitlines() == lines[:2]


def test_a_list_of_tries_goes_on_over_pages(world: ClientWorld) -> None:
    webhook_id = created(world)
    for number in range(3):
        three = tried(webhook_id, 500, 500, 200)
        tried_event = replace(
            event(after=number), deliveries={webhook_id: three}
        )
        world.platform.webhooks.add_event(tried_event)
    with ApiClient(world.url, "admin-key", page_size=2) as client:
        assert (
            len(list(delivery_attempts(client, TENANT, webhook_id, 100))) == 9
        )
        assert len(list(delivery_attempts(client, TENANT, webhook_id, 4))) == 4


def test_a_deleted_webhook_is_gone(world: ClientWorld) -> None:
    webhook_id = created(world)
    result = world.relay("webhooks", "delete", TENANT, webhook_id)
    assert result.stdout == f"Webhook {webhook_id} of acme is deleted.\n"
    again = world.relay("webhooks", "delete", TENANT, webhook_id)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "WEBHOOK_NOT_FOUND" in again.stderr
    empty = world.relay("webhooks", "list", TENANT)
    assert (empty.stdout, empty.stderr) == ("", "The tenant has no webhooks.\n")


def test_what_the_api_refuses_is_told(world: ClientWorld) -> None:
    event_option = ("--event", "run.failed")
    result = world.relay(
        "webhooks", "create", TENANT, "http://10.0.0.1/", *event_option
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert "url: must begin with https://" in result.stderr
    result = world.relay(
        "webhooks", "create", TENANT, URL, "--event", "run.baked"
    )
    assert "events.0" in result.stderr
    assert world.relay("webhooks", "create", TENANT, URL).exit_code == 2
    assert world.relay("webhooks", "show", TENANT, "../x").exit_code == 2
