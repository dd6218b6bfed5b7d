"""Deliveries of feeds: processes that die while a file is sent, and feeds that come meanwhile."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

from integration.installation import Installation
from integration.scenario import scenario
from integration.settled import everything_settled
from integration.waiting import wait_for
from relay_dagster.devstack.processes import CODE, DAEMON
from relay_dagster.work.item import LEASE
from support.deliveries_world import files_at
from support.sftp_servers import PASSWORD, SftpServer, sftp_server


@scenario("40", seconds=320)
def daemon_dies_in_a_delivery(relay: Installation) -> str:
    """Daemon and code server die while a feed is sent, and another follows: the newest arrives."""
    tenant = relay.new_tenant("delivered")
    has_begun = threading.Event()
    is_over = threading.Event()

    def hang(path: str, offset: int) -> None:
        has_begun.set()
        is_over.wait(300)

    with (
        tempfile.TemporaryDirectory() as folder,
        sftp_server(Path(folder)) as server,
    ):
        _deliver_to(relay, tenant, server)
        server.on_write = hang  # type: ignore[method-assign]
        first = relay.post(tenant)
        relay.wait_final(first, within=180)
        assert has_begun.wait(90), "nothing was sent within 90 s"
        relay.kill(DAEMON, CODE)
        server.on_write = lambda path, offset: None  # type: ignore[method-assign]
        is_over.set()
        relay.start(CODE, DAEMON)
        second = relay.post(tenant)
        relay.wait_final(second, within=180)
        standing = wait_for(
            "the newest feed is delivered",
            lambda: (
                _delivery_of(relay, tenant)
                if _delivery_of(relay, tenant)["last_run_id"] == second
                else None
            ),
            within=2 * LEASE.total_seconds() + 120,
        )
        feed = relay.aws.runs.feed(tenant)
        assert feed is not None
        expected = relay.aws.objects.read(feed.in_force.key)
        assert files_at(server) == {"stock.csv": expected}
    assert (standing["failures"], standing["pending_run_id"]) == (0, None)
    everything_settled(relay)
    return f"the feed of the newest run, {len(expected):,} bytes, under its name alone"


def _deliver_to(relay: Installation, tenant: str, server: SftpServer) -> None:
    """Store a config whose feed is delivered to a server."""
    (server.root / "in").mkdir()
    secret = {"value": PASSWORD, "host": f"127.0.0.1:{server.port}"}
    path = f"/v1/tenants/{tenant}/secrets/bazaar"
    assert relay.http.put(path, json=secret).is_success
    document = relay.config_of(tenant)
    document["deliveries"] = [
        {
            "delivery_id": "bazaar",
            "url": server.url("/in/"),
            "secret": "bazaar",
            "host_key": server.host_line,
            "file_name": "stock.csv",
        }
    ]
    answer = relay.http.put(f"/v1/tenants/{tenant}/config", json=document)
    assert answer.status_code == 200, answer.text


def _delivery_of(relay: Installation, tenant: str) -> dict[str, Any]:
    path = f"/v1/tenants/{tenant}/deliveries"
    (delivery,) = relay.http.get(path).json()["deliveries"]
    return dict(delivery)
