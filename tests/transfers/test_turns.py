"""Turns at the room for transfers: no tenant waits for the servers of others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from relay_dagster.aws.dynamodb.transfer_store import PULLS
from relay_dagster.transfers.allowance import Pace
from relay_dagster.transfers.puller import Puller
from relay_dagster.transfers.room import (
    LONGEST_WAIT_SECONDS,
    TRANSFER_SECONDS,
    TransferRoom,
)
from support.hostile_servers import dripping_file
from support.pulls_world import CSV, PullsWorld, file, file_server
from support.receivers import Received

HOSTS = 20
# So much faster than in life goes the time of the first test.
SCALE = 60
LONGEST_WAIT = 20 * 60 / SCALE


def test_a_tenant_waits_for_no_more_than_a_share_of_two_others_with_slow_hosts(
    world: PullsWorld, over: threading.Event
) -> None:
    begun_at: list[float] = []

    def note(connection: socket.socket, request: Received) -> None:
        begun_at.append(time.monotonic())
        file()(connection, request)

    drip = dripping_file(0.1, over)
    room = TransferRoom(
        seconds=TRANSFER_SECONDS / SCALE,
        pace=Pace(first_seconds=60 / SCALE, window_seconds=30 / SCALE),
        longest_wait=LONGEST_WAIT_SECONDS / SCALE,
    )
    with file_server(drip, host="0.0.0.0") as slow, file_server(note) as quick:
        for number in range(2):
            first_host = 2 + number * HOSTS
            hosts = range(first_host, first_host + HOSTS)
            urls = [f"http://127.0.0.{n}:{slow.port}/feed.csv" for n in hosts]
            tenant_id = f"{world.tenant_id}-slow-{number}"
            world.store(*({"url": url} for url in urls), tenant_id=tenant_id)
        puller = world.another(room=room)
        assert puller.run() == 2 * HOSTS
        world.store({"url": quick.url()})
        due_at = time.monotonic()
        tick_until(puller, lambda: bool(begun_at), LONGEST_WAIT)
        assert begun_at[0] - due_at < LONGEST_WAIT
        room.stop(10)
    assert TRANSFER_SECONDS == LONGEST_WAIT_SECONDS == 15 * 60


def tick_until(
    puller: Puller, is_done: Callable[[], bool], seconds: float
) -> None:
    """Tick until something is done, at most for some seconds."""
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline
        puller.run()
        time.sleep(0.05)


def test_due_pulls_of_one_tenant_do_not_hide_those_of_others(
    world: PullsWorld, over: threading.Event
) -> None:
    drip = dripping_file(0.1, over)
    with file_server(drip) as slow, file_server() as quick:
        flood = [{"url": slow.url()}] * (PULLS.max_of_tenant + 20)
        world.store(*flood, tenant_id=f"{world.tenant_id}-flood")
        world.clock.advance(seconds=timedelta(minutes=1).total_seconds())
        world.store({"url": quick.url()})
        puller = world.another()
        assert puller.run() == PULLS.max_of_tenant + 1
        tick_until(puller, lambda: world.uploads() == [CSV], 30)
        puller.room.stop(10)
