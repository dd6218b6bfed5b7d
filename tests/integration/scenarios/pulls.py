"""Pulls of vendors' files: processes that die in the middle, a store that is away at the end."""

from __future__ import annotations

import socket
import tempfile
import threading
from pathlib import Path

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
from support.sftp_servers import PASSWORD, SftpServer, sftp_server


@scenario("37", seconds=260)
def daemon_and_transfer_die_in_a_pull(relay: Installation) -> str:
    """Daemon and code server die in a pull, S3 is away at the end of the next: one whole upload."""
    tenant = relay.new_tenant("pulled")
    vendor, feed = next(iter(feeds().items()))
    pull_started = threading.Event()
    over = threading.Event()

    def half(connection: socket.socket, _: Received) -> None:
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-length: {len(feed)}\r\n\r\n".encode()
        )
        connection.sendall(head + feed[: len(feed) // 2])
        pull_started.set()
        over.wait(300)

    with file_server(half) as server:
        document = relay.config_of(tenant)
        document["vendors"][0]["inbound"]["pull"] = {"url": server.url()}
        answer = relay.http.put(f"/v1/tenants/{tenant}/config", json=document)
        assert answer.status_code == 200, answer.text
        assert pull_started.wait(90), "nothing was pulled within 90 s"
        relay.kill(DAEMON, CODE)
        over.set()
        server.answers["/feed.csv"] = file(feed)
        relay.start(CODE, DAEMON)
        _wait_for_the_death(relay, tenant)
        assert _pull_of(relay, tenant)["failures"] == 1
        away = relay.proxy.add(
            Action.FAIL, "s3", "CopyObject", containing=f"/tenants/{tenant}/"
        )
        path = f"/v1/tenants/{tenant}/vendors/{vendor}/pull"
        assert relay.http.post(path).status_code == 202
        away.wait_for_hits(1, 60)
        away.release()
        wait_for(
            "the file is pulled",
            lambda: _pull_of(relay, tenant)["last_success_at"],
            within=LEASE.total_seconds() + 60,
        )
        pull = _pull_of(relay, tenant)
    prefix = f"tenants/{tenant}/inbound/{vendor}/pulled/"
    (upload,) = relay.aws.objects.list_objects(prefix)
    assert relay.aws.objects.read(upload.key) == feed
    assert relay.aws.objects.list_objects(f"published/{tenant}/pulls/") == []
    assert (pull["failures"], pull["last_error"]) == (0, None)
    everything_settled(relay)
    return f"one upload, {upload.size:,} bytes, whole; nothing is left where files are staged"


def _wait_for_the_death(relay: Installation, tenant: str) -> None:
    """Wait until a death counts as a failure of the pull, which would wait for its next turn."""
    wait_for(
        "the death is counted",
        lambda: _pull_of(relay, tenant)["last_error"],
        within=LEASE.total_seconds() + 60,
    )


@scenario("39", seconds=200)
def daemon_dies_between_deltas_of_an_hour(relay: Installation) -> str:
    """Deltas of an hour wait, and the daemon dies amid them: each is pulled once, in order."""
    tenant = relay.new_tenant("deltas")
    vendor = next(iter(feeds()))
    header = b"sku,quantity_available,cost\n"
    count = 12
    with (
        tempfile.TemporaryDirectory() as folder,
        sftp_server(Path(folder)) as server,
    ):
        for number in range(count):
            body = header + f"D{number},{number},2.00\n".encode()
            # By name they come in the other order.
            name = f"delta-{count - number:02}.csv"
            server.put(name, body, 1_700_000_000 + 300 * number)
        server.put("full-1.csv", header + b"F,1,2.00\n", 1_699_999_000)
        _pull_series(relay, tenant, server)
        prefix = f"tenants/{tenant}/inbound/{vendor}/pulled/"
        objects = relay.aws.objects
        wait_for(
            "some are pulled",
            lambda: len(objects.list_objects(prefix)) > 3,
            within=90,
        )
        relay.kill(DAEMON, CODE)
        file_count = len(objects.list_objects(prefix))
        relay.start(CODE, DAEMON)
        _wait_for_the_death(relay, tenant)
        path = f"/v1/tenants/{tenant}/vendors/{vendor}/pull"
        assert relay.http.post(path).status_code == 202
        files = wait_for(
            "all are pulled",
            lambda: (
                uploads
                if len(uploads := objects.list_objects(prefix)) > count
                else None
            ),
            within=90,
        )
    in_order = sorted(files, key=lambda file: file.age_order)
    names = [file.key.rpartition("Z-")[2] for file in in_order]
    assert names == [
        "full-1.csv",
        *(f"delta-{count - number:02}.csv" for number in range(count)),
    ]
    assert objects.list_objects(f"published/{tenant}/pulls/") == []
    everything_settled(relay)
    return f"{file_count} of {count + 1} files before the death, all once and in order after it"


def _pull_series(relay: Installation, tenant: str, server: SftpServer) -> None:
    """Store a config whose first vendor's files are pulled from a server, and are deltas."""
    secret = {"value": PASSWORD, "host": f"127.0.0.1:{server.port}"}
    path = f"/v1/tenants/{tenant}/secrets/granite"
    assert relay.http.put(path, json=secret).is_success
    document = relay.config_of(tenant)
    vendor = document["vendors"][0]
    vendor["changes"] = {"full": "full-*.csv", "delta": "delta-*.csv"}
    vendor["duplicate_skus"] = "last"
    vendor["inbound"]["pull"] = {
        "url": server.url("/out/*.csv"),
        "secret": "granite",
        "host_key": server.host_line,
        "settle_seconds": 0,
    }
    answer = relay.http.put(f"/v1/tenants/{tenant}/config", json=document)
    assert answer.status_code == 200, answer.text


def _pull_of(relay: Installation, tenant: str) -> dict[str, object]:
    vendors = relay.http.get(f"/v1/tenants/{tenant}/status").json()["vendors"]
    (pull,) = (
        vendor["pull"] for vendor in vendors if vendor["pull"] is not None
    )
    return dict(pull)
