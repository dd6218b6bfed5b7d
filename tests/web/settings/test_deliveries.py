"""The page of published files and deliveries: their first rows, their state, a send by hand."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from relay_dagster.deliveries import sending
from relay_dagster.feeds.pointer import PublishedFile
from relay_dagster.runs.ports import utc_now
from relay_dagster.web.first_rows import FirstRows, first_rows
from support.api_world import ApiWorld
from support.config_documents import DELIVERY
from support.deliveries_world import take_delivery
from support.fakes import embedded_platform
from support.page_visitor import SITE, Visitor, signed_in
from support.settings_forms import SETTINGS, form_of

PAGE = f"{SETTINGS}/deliveries"
SEND = f"{PAGE}/marketplace/send"


@pytest.fixture
def world() -> Iterator[ApiWorld]:
    with embedded_platform(public_url=SITE) as platform:
        world = ApiWorld(platform)
        world.store_config(deliveries=[DELIVERY])
        yield world


def owner_of(world: ApiWorld) -> Visitor:
    return signed_in(world, "read", "config", "release")


def text_of(visitor: Visitor) -> str:
    return " ".join(visitor.open(PAGE).text.split())


def test_before_the_first_feed_nothing_can_be_sent(world: ApiWorld) -> None:
    text = text_of(owner_of(world))
    assert "marketplace" in text
    assert "There is no feed yet." in text
    assert "Send now" not in text


def test_the_feed_is_shown_and_sent_by_hand(world: ApiWorld) -> None:
    world.succeed(world.post_run().json()["run_id"])
    owner = owner_of(world)
    text = text_of(owner)
    assert "The feed" in text
    assert "A-1" in text
    answer = owner.client.post(SEND, data=form_of(owner.open(PAGE), SEND))
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    (item,) = world.platform.deliveries.queue.due(utc_now(), 10)
    assert item.value.asked_at is not None
    leased = take_delivery(
        world.platform.deliveries, "acme", utc_now(), "marketplace"
    )
    assert "Running" in text_of(owner)
    error = "the server cannot be reached"
    leased.finish(
        sending.failed(leased.value, error, utc_now(), is_doubtful=False)
    )
    assert "The server cannot be reached" in text_of(owner)
    assert "1 failure in a row" in text_of(owner)


def test_a_reader_sees_the_state_and_sends_nothing(world: ApiWorld) -> None:
    world.succeed(world.post_run().json()["run_id"])
    reader = signed_in(world, "read")
    assert "marketplace" in text_of(reader)
    assert "Send now" not in text_of(reader)
    owner = owner_of(world)
    fields = form_of(owner.open(PAGE), SEND)
    assert reader.client.post(SEND, data=fields).status_code == 403


def test_a_tenant_without_deliveries_is_led_to_its_channels(
    world: ApiWorld,
) -> None:
    world.store_config()
    assert "There are no deliveries yet. Add a delivery" in text_of(
        owner_of(world)
    )


@pytest.mark.parametrize(
    ("suffix", "data", "rows"),
    [
        ("csv", b'sku,t\nA,"x, y"\nB,z\n', [["A", "x, y"], ["B", "z"]]),
        ("tsv", b"sku\tt\nA\tx\n", [["A", "x"]]),
        ("csv.gz", gzip.compress(b"sku,t\nA,x\n", mtime=0), [["A", "x"]]),
        ("jsonl", b'{"sku": "A", "t": null}\n', [["A", ""]]),
        # A line separator of Unicode does not end a row.
        ("csv", "sku,t\nA,x\u2028y\n".encode(), [["A", "x\u2028y"]]),
        ("csv", b"sku,t\n", []),
        ("csv", b"sku,t\n" + b"A,x\n" * 100_000, [["A", "x"]] * 5),
    ],
)
def test_the_first_rows_of_a_file_are_read(
    world: ApiWorld, suffix: str, data: bytes, rows: list[list[str]]
) -> None:
    key = f"published/acme/r.shop.{suffix}"
    world.platform.objects.put(key, data)
    file = PublishedFile("shop", key, "", None)
    rows_read = first_rows(world.platform.objects, file.key, file.suffix)
    assert rows_read == FirstRows(["sku", "t"], rows)


def test_a_file_without_text_or_that_is_gone_shows_none(
    world: ApiWorld,
) -> None:
    for suffix in ("parquet", "csv"):
        key = f"published/acme/gone.shop.{suffix}"
        file = PublishedFile("shop", key, "", None)
        head = first_rows(world.platform.objects, file.key, file.suffix)
        assert head is None
