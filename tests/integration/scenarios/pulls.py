"""Pulls of vendors' files: processes that die in the middle, a store that is away at the end."""

from __future__ import annotations

import socket
import threading

from integration.fault_rules import Action
from integration.installation import Installation
from integration.sample_tenant import feeds
from integration.scenario import scenario
from integration.settled import everything_settled
from integration.waiting import wait_for
from relay_dagster.devstack.processes import CODE, DAEMON
from relay_dagster.work.item import LEASE
from support.pulls_world import file, file_server
from support.receivers import Received


@scenario("37", seconds=260)
def daemon_and_transfer_die_in_a_pull(relay: Installation) -> str:
    """Daemon and code server die in a pull, S3 is away at the end of the next: one whole upload."""
    tenant = relay.new_tenant("pulled")
    vendor, feed = next(iter(feeds().items()))
    begun, over = threading.Event(), threading.Event()

    def half(connection: socket.socket, _: Received) -> None:
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-length: {len(feed)}\r\n\r\n".encode()
        )
        connection.sendall(head + feed[: len(feed) // 2])
        begun.set()
        over.wait(300)

    with file_server(half) as server:
        document = relay.config_of(tenant)
        document["vendors"][0]["inbound"]["pull"] = {"url": server.url()}
        answer = relay.http.put(f"/v1/tenants/{tenant}/config", json=document)
        assert answer.status_code == 200, answer.text
        assert begun.wait(90), "nothing was pulled within 90 s"
        relay.kill(DAEMON, CODE)
        over.set()
        server.answers["/feed.csv"] = file(feed)
        relay.start(CODE, DAEMON)
        # The death counts as a failure of the pull, which would wait for its next turn.
        wait_for(
            "the death is counted",
            lambda: _pull_of(relay, tenant)["failures"] == 1,
            within=LEASE.total_seconds() + 60,
        )
        away = relay.proxy.add(
            Action.FAIL, "s3", "CopyObject", containing=f"/tenants/{tenant}/"
        )
        path = f"/v1/tenants/{tenant}/vendors/{vendor}/pull"
        assert relay.http.post(path).status_code == 202
        away.wait_for_hits(1, 60)
        away.release()
        standing = wait_for(
            "the file is pulled",
            lambda: (
                _pull_of(relay, tenant)
                if _pull_of(relay, tenant)["last_success_at"]
                else None
            ),
            within=LEASE.total_seconds() + 60,
        )
    prefix = f"tenants/{tenant}/inbound/{vendor}/pulled/"
    (upload,) = relay.aws.objects.list_objects(prefix)
    assert relay.aws.objects.read(upload.key) == feed
    assert relay.aws.objects.list_objects(f"published/{tenant}/pulls/") == []
    assert (standing["failures"], standing["last_error"]) == (0, None)
    everything_settled(relay)
    return f"one upload, {upload.size:,} bytes, whole; nothing is left where files are staged"


def _pull_of(relay: Installation, tenant: str) -> dict[str, object]:
    vendors = relay.http.get(f"/v1/tenants/{tenant}/status").json()["vendors"]
    (pull,) = (each["pull"] for each in vendors if each["pull"] is not None)
    return dict(pull)
