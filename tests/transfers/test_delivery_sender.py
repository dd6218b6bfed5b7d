"""Feeds that are delivered: when, what replaces what, what fails, and who is at it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from relay_dagster.wiring import Platform
from support.deliveries_world import (
    FEED,
    NOON,
    DeliveriesWorld,
    deliveries_world,
    files_at,
)
from support.sftp_servers import SftpServer, sftp_server

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def shop(served: Platform) -> Iterator[DeliveriesWorld]:
    with deliveries_world(served) as world:
        yield world


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    with sftp_server(tmp_path) as server:
        yield server


# --- what is sent, and when -----------------------------------------------------------------------


def test_a_publication_is_sent_under_its_name(
    shop: DeliveriesWorld, server: SftpServer
) -> None:
    shop.store(shop.entry(server))
    run_id = shop.publish()
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
