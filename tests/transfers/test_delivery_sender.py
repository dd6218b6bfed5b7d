"""Feeds that are delivered: when, what replaces what, what fails, and who is at it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay_dagster.aws.secrets import SecretValue
from relay_dagster.deliveries import requests
from relay_dagster.deliveries.model import PublicationMark
from relay_dagster.transfers.allowance import Pace
from relay_dagster.transfers.process import Transfers
from relay_dagster.transfers.room import TransferRoom
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LEASE
from support.config_documents import DELIVERY
from support.deliveries_world import (
    FEED,
    NOON,
    DeliveriesWorld,
    deliveries_world,
    files_at,
    send_all,
)
from support.sftp_servers import PASSWORD, SftpServer, sftp_server

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
OTHER = b"sku\nB-1\nB-2\n"


@pytest.fixture
def shop(served: Platform) -> Iterator[DeliveriesWorld]:
    with deliveries_world(served) as world:
        yield world


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    with sftp_server(tmp_path) as server:
        yield server


def publish_to(
    shop: DeliveriesWorld,
    server: SftpServer,
    feed: bytes = FEED,
    **options: Any,
) -> str:
    """Have feeds delivered to a server, publish one, and return its run's id."""
    shop.store(shop.entry(server, **options))
    return shop.publish(feed)


# --- what is sent, and when -----------------------------------------------------------------------


def test_a_publication_is_sent_under_its_name(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    run_id = publish_to(shop, server)
    state = shop.send()
    assert state.last_error is None
    assert files_at(server) == {"stock.csv": FEED}
    assert state.delivered is not None
    assert state.delivered.publication.run_id == run_id
    assert (state.delivered.what, state.delivered.rows) == ("feed", 1)
    assert state.last_delivered_at == NOON
    assert (state.pending, state.due_at, state.tried_seq) == (None, None, None)
    (event,) = shop.events()
    assert event.type == "feed.delivered"
    assert event.data == {
        "tenant_id": shop.tenant_id,
        "delivery_id": "bazaar",
        "channel_id": None,
        "run_id": run_id,
        "what": "feed",
        "rows": 1,
        "file_name": "stock.csv",
    }


def test_a_large_file_arrives_as_it_is(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    lines = b"".join(b"SKU-%07d,%d\n" % (n, n % 97) for n in range(200_000))
    publish_to(shop, server, b"sku,quantity\n" + lines)
    assert shop.send().last_error is None
    assert files_at(server) == {"stock.csv": b"sku,quantity\n" + lines}


def test_a_delivery_waits_for_the_next_publication(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    shop.publish()
    send_all(shop.sender)
    shop.store(shop.entry(server))
    send_all(shop.sender)
    assert files_at(server) == {}
    shop.publish(OTHER)
    shop.send()
    assert files_at(server) == {"stock.csv": OTHER}


def test_each_publication_replaces_the_file_and_one_is_sent_once(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    first = publish_to(shop, server)
    shop.send()
    shop.send(after=HOUR)
    assert len(server.logins) == 1
    shop.publish(OTHER)
    shop.send()
    assert files_at(server) == {"stock.csv": OTHER}
    shop.roll_back(first)
    state = shop.send()
    assert files_at(server) == {"stock.csv": FEED}
    assert state.delivered is not None
    assert state.delivered.publication.seq == 3
    assert len(server.logins) == 3


def test_the_live_feed_is_sent_on_request(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    entry = shop.entry(server)
    shop.store(entry)
    shop.publish()
    shop.send()
    (server.root / "in" / "stock.csv").unlink()
    feed = shop.platform.runs.feed(shop.tenant_id)
    config = shop.platform.tenants.latest(shop.tenant_id)
    assert feed is not None
    assert config is not None
    (delivery,) = shop.platform.tenants.parsed(config).deliveries
    publication = PublicationMark.of(feed.in_force)
    rule = requests.asked(delivery, publication, shop.clock())
    shop.platform.deliveries.change(shop.tenant_id, "bazaar", rule)
    state = shop.send()
    assert files_at(server) == {"stock.csv": FEED}
    assert (state.pending, state.due_at, state.asked_at) == (None, None, None)


@pytest.mark.parametrize("can_replace", [True, False])
def test_a_file_is_renamed_over_what_is_there(
    shop: DeliveriesWorld, server: SftpServer, can_replace: bool
) -> None:
    server.can_replace = can_replace
    shop.store(shop.entry(server))
    for feed in (FEED, OTHER):
        server.acts.clear()
        shop.publish(feed)
        assert shop.send().last_error is None
        assert files_at(server) == {"stock.csv": feed}
    # The first act removes what a process may have left beside the name.
    over = ["replace"] if can_replace else ["replace", *OVER]
    assert server.acts == ["remove", *over]


OVER = ("rename", "remove", "rename")


# --- what fails -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"secret": "other"}, "SECRET_NOT_FOUND: the tenant has no secret"),
        ({"url": "/no/"}, "the server does not have this folder"),
        ({"host_key": None}, "the server's host key does not match host_key"),
    ],
)
def test_what_the_server_or_the_entry_lacks_is_a_failure(
    shop: DeliveriesWorld,
    server: SftpServer,
    tmp_path: Path,
    changes: dict[str, Any],
    error: str,
) -> None:
    entry = shop.entry(server)
    if "url" in changes:
        changes = {"url": server.url(changes["url"])}
    if "host_key" in changes:
        with sftp_server(tmp_path) as other_server:
            changes = {"host_key": other_server.host_line}
    shop.store({**entry, **changes})
    shop.publish()
    state = shop.send()
    assert error in str(state.last_error)
    assert (state.failures, state.due_at) == (1, NOON + MINUTE)
    assert files_at(server) == {}
    assert shop.events() == []


def test_a_secret_for_another_host_is_not_sent(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    shop.store(shop.entry(server))
    secret = SecretValue(PASSWORD, "127.0.0.1:1")
    shop.platform.secrets.put(shop.tenant_id, "bazaar", secret)
    shop.publish()
    assert "SECRET_NOT_FOR_HOST" in str(shop.send().last_error)
    assert server.connections == []


def test_this_machine_gets_nothing_unless_an_operator_allows_it(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    publish_to(shop, server)
    settings = shop.platform.settings.model_copy(
        update={"pull_allow_loopback": False}
    )
    strict = replace(shop.platform, settings=settings)
    send_all(shop.another(platform=strict))
    error = str(shop.state().last_error)
    assert error == "the URL must have port 22 or 2222"
    assert server.connections == []


def test_a_server_that_takes_too_little_fails_its_own_delivery(
    shop: DeliveriesWorld, server: SftpServer, over: threading.Event
) -> None:
    server.on_write = lambda path, offset: over.wait(20)  # type: ignore[method-assign,assignment,func-returns-value]
    publish_to(shop, server, FEED * 2_000_000)
    room = TransferRoom(pace=Pace(first_seconds=1.0, window_seconds=1.0))
    send_all(shop.another(room=room))
    over.set()
    error = str(shop.state().last_error)
    assert error == "the server takes less than 64 KiB/s"


def test_a_server_is_down_for_a_day_while_two_feeds_are_published(
    shop: DeliveriesWorld, tmp_path: Path
) -> None:
    with sftp_server(tmp_path) as server:
        port = server.port
        shop.store(shop.entry(server))
        shop.publish()
        shop.send()
    shop.publish(b"sku\nA-2\n")
    for minutes in (0, 1, 5, 15, 60, 60):
        state = shop.send(after=minutes * MINUTE)
    assert state.last_error == "the server cannot be reached"
    assert state.failures == 6
    assert state.due_at == shop.clock() + HOUR
    last_run_id = shop.publish(OTHER)
    state = shop.send()
    assert (state.failures, state.due_at) == (7, shop.clock() + MINUTE)
    events = [event.type for event in shop.events()]
    assert events == ["feed.delivered", "feed.delivery_failed"]
    with sftp_server(tmp_path) as server:
        entry = shop.entry(server)
        assert server.port != port
        shop.store(entry)
        shop.publish(OTHER)
        state = shop.send(after=24 * HOUR)
    assert files_at(server) == {"stock.csv": OTHER}
    assert state.delivered is not None
    assert state.delivered.publication.run_id != last_run_id
    assert (state.failures, state.last_error) == (0, None)


def test_a_file_that_is_gone_is_no_file_to_try_again(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    run_id = publish_to(shop, server)
    shop.platform.objects.delete(f"published/{shop.tenant_id}/{run_id}.csv")
    state = shop.send()
    assert (state.pending, state.due_at, state.failures) == (None, None, 1)
    assert state.last_error == "the file of the live feed is gone"


# --- processes that die, and leases that run out --------------------------------------------------


def test_a_process_that_dies_before_the_rename_is_a_failure_and_then_sent(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    publish_to(shop, server)
    shop.sender.plan()
    shop.take()
    (server.root / "in" / "stock.csv.part").write_bytes(b"half of")
    state = shop.send(after=LEASE)
    assert "the process that sent the file ended" in str(state.last_error)
    assert (state.failures, state.due_at) == (1, shop.clock() + MINUTE)
    assert state.doubtful_seqs == (1,)
    state = shop.send(after=MINUTE)
    assert files_at(server) == {"stock.csv": FEED}
    assert (state.failures, state.doubtful_seqs) == (0, ())


def test_a_connection_that_ends_in_the_rename_leaves_doubt(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    server.on_replaced = server.drop  # type: ignore[method-assign]
    publish_to(shop, server)
    state = shop.send()
    assert files_at(server) == {"stock.csv": FEED}
    assert (state.failures, state.doubtful_seqs) == (1, (1,))
    assert state.delivered is None
    server.on_replaced = lambda: None  # type: ignore[method-assign]
    state = shop.send(after=MINUTE)
    assert (state.failures, state.doubtful_seqs) == (0, ())
    assert files_at(server) == {"stock.csv": FEED}


def test_a_process_whose_lease_ran_out_renames_nothing(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    publish_to(shop, server)

    def sleep(path: str, offset: int) -> None:
        shop.clock.advance(seconds=2 * LEASE.total_seconds())

    server.on_write = sleep  # type: ignore[method-assign]
    shop.send()
    assert files_at(server) == {"stock.csv.part": FEED}
    assert "replace" not in server.acts


def test_a_feed_that_is_rolled_back_meanwhile_follows(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    first = publish_to(shop, server)
    shop.send()
    shop.publish(OTHER)
    server.on_write = lambda path, offset: shop.roll_back(first)  # type: ignore[method-assign]
    state = shop.send()
    assert files_at(server) == {"stock.csv": OTHER}
    assert state.due_at is None
    server.on_write = lambda path, offset: None  # type: ignore[method-assign]
    state = shop.send()
    assert files_at(server) == {"stock.csv": FEED}
    assert state.delivered is not None
    assert state.delivered.publication.seq == 3


def test_a_feed_that_comes_in_a_try_that_fails_is_sent_at_once(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    """Its lease is renewed meanwhile, so the process knows of the newer feed."""
    publish_to(shop, server)

    def publish_and_drop(path: str, offset: int) -> None:
        server.on_write = lambda path, offset: None  # type: ignore[method-assign]
        shop.publish(OTHER)
        shop.clock.advance(seconds=0.6 * LEASE.total_seconds())
        shop.sender.run()
        server.drop()

    server.on_write = publish_and_drop  # type: ignore[method-assign]
    state = shop.send()
    assert (state.failures, state.tries) == (1, 0)
    assert state.due_at == shop.clock()
    shop.send()
    assert files_at(server)["stock.csv"] == OTHER


# --- whose are sent -------------------------------------------------------------------------------


def test_a_paused_tenants_go_on(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    publish_to(shop, server)
    shop.platform.pauses.begin(shop.tenant_id, "moving")
    shop.send()
    assert files_at(server) == {"stock.csv": FEED}


def test_nothing_is_sent_of_a_tenant_that_is_being_deleted(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    publish_to(shop, server)
    shop.platform.closing.ask(shop.tenant_id)
    send_all(shop.sender)
    assert server.connections == []
    shop.platform.deletions.restore(shop.tenant_id)
    shop.send(after=5 * MINUTE)
    assert files_at(server) == {"stock.csv": FEED}


def test_an_entry_that_was_changed_or_taken_out_is_not_sent(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    shop.store(
        shop.entry(
            server,
            host_key=DELIVERY["host_key"],
        )
    )
    shop.publish()
    assert shop.send().failures == 1
    shop.store(shop.entry(server))
    state = shop.send(after=MINUTE)
    assert (state.pending, state.due_at) == (None, None)
    assert files_at(server) == {}
    shop.store()
    shop.publish(OTHER)
    send_all(shop.sender)
    assert shop.platform.deliveries.of_tenant(shop.tenant_id) == {}


def test_pulls_and_deliveries_of_a_process_share_one_room(
    shop: DeliveriesWorld,
) -> None:
    transfers = Transfers(shop.platform)
    assert transfers.puller.room is transfers.sender.room
    assert transfers.run() == (0, 0)


# --- changes, and channels ------------------------------------------------------------------------

HEADER = b"sku,vendor_id,quantity_available,price\n"


def feed_of(*rows: bytes) -> bytes:
    return HEADER + b"".join(row + b"\n" for row in rows)


ONE = feed_of(b"A-1,v,5,1.00", b"B-1,v,4,2.00", b"C-1,v,3,3.00")
TWO = feed_of(b"A-1,v,5,1.00", b"B-1,v,0,2.00")
THREE = feed_of(b"A-1,v,5,1.00", b"B-1,v,4,2.00", b"D-1,v,1,4.00")
CHANGES = {"what": "changes", "file_name": "{what}-{seq}.csv"}


def test_changes_follow_the_whole_file(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    shop.store(shop.entry(server, **CHANGES))
    for feed in (ONE, TWO, THREE):
        shop.publish(feed)
        state = shop.send()
        assert state.last_error is None
    assert files_at(server) == {
        "feed-1.csv": ONE,
        "changes-2.csv": feed_of(b"B-1,v,0,2.00", b"C-1,v,0,3.00"),
        "changes-3.csv": feed_of(b"B-1,v,4,2.00", b"D-1,v,1,4.00"),
    }
    assert state.delivered is not None
    assert (state.delivered.what, state.delivered.rows) == ("changes", 2)
    assert state.last_whole_at == NOON


def test_changes_are_since_the_publication_that_was_delivered(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    publish_to(shop, server, ONE, **CHANGES)
    shop.send()
    shop.publish(TWO)
    shop.publish(THREE)
    shop.send()
    assert files_at(server) == {
        "feed-1.csv": ONE,
        "changes-3.csv": feed_of(b"D-1,v,1,4.00", b"C-1,v,0,3.00"),
    }


def test_the_whole_stands_in_where_the_last_delivery_is_doubtful(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    publish_to(shop, server, ONE, **CHANGES)
    shop.send()
    shop.publish(TWO)
    server.on_replaced = server.drop  # type: ignore[method-assign]
    assert shop.send().failures == 1
    server.on_replaced = lambda: None  # type: ignore[method-assign]
    shop.publish(THREE)
    shop.send()
    assert files_at(server)["feed-3.csv"] == THREE
    assert "changes-3.csv" not in files_at(server)


def test_the_whole_stands_in_where_the_columns_differ_or_the_older_is_gone(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    entry = shop.entry(server, **CHANGES)
    shop.store(entry)
    first = shop.publish(ONE)
    shop.send()
    shop.platform.objects.delete(f"published/{shop.tenant_id}/{first}.csv")
    shop.publish(TWO)
    shop.send()
    assert files_at(server)["feed-2.csv"] == TWO
    shop.store(entry, output={"columns": ["sku", "price"]})
    shop.publish(b"sku,price\nA-1,1.00\n")
    shop.send()
    assert "feed-3.csv" in files_at(server)


def test_the_whole_is_sent_again_after_its_hours(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    publish_to(shop, server, ONE, **CHANGES, whole_every_hours=2)
    shop.send()
    for feed in (TWO, THREE):
        shop.publish(feed)
        shop.send(after=HOUR)
    assert [*files_at(server)] == ["changes-2.csv", "feed-1.csv", "feed-3.csv"]


def test_a_channel_is_delivered_by_itself(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    channels = [{"channel_id": "shop", "output": {"columns": ["sku", "price"]}}]
    entry = shop.entry(server, channel_id="shop", file_name=None)
    shop.store(entry, channels=channels)
    data = b"sku,price\nA-1,1.00\n"
    run_id = shop.publish(ONE, {"shop": data})
    state = shop.send()
    assert files_at(server) == {f"{run_id}.shop.csv": data}
    assert state.delivered is not None
    assert state.delivered.rows == 1
    shop.publish(TWO)
    state = shop.send()
    assert state.last_error == (
        "the live feed was published without channel shop"
    )
    assert (state.pending, state.due_at, state.failures) == (None, None, 1)
