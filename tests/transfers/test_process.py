"""The process of `relay server transfers`: what it takes over, what it holds, and how it ends."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from integration.waiting import wait_for
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.orchestration.build import build_defs
from relay_dagster.triggers.pulls import PullState
from relay_dagster.wiring import Platform
from support.hostile_servers import (
    BANNERS_AND_PACKETS,
    HTTP_FLOODS,
    SFTP_FLOODS,
)
from support.pulls_world import VENDOR, file, file_server, pull_config
from support.receivers import listening, waiting
from support.sftp_servers import PASSWORD, SftpServer, sftp_server
from support.transfers_process import (
    forget_peak,
    memory_mib,
    transfers_process,
)

MAX_FEED_BYTES = 64 << 20
GOAL_MIB = 64


def store(platform: Platform, tenant_id: str, pull: dict[str, Any]) -> None:
    document = pull_config(pull, tenant_id=tenant_id)
    platform.tenants.put(tenant_id, json.dumps(document))


def store_sftp(platform: Platform, tenant_id: str, server: SftpServer) -> None:
    secret = SecretValue(PASSWORD, f"127.0.0.1:{server.port}")
    platform.secrets.put(tenant_id, "granite", secret)
    pull = {
        "url": server.url(),
        "secret": "granite",
        "host_key": server.host_line,
        "settle_seconds": 0,
    }
    store(platform, tenant_id, pull)


def state(platform: Platform, tenant_id: str) -> PullState | None:
    return platform.pulls.of_names(tenant_id, [VENDOR]).get(VENDOR)


def has_pulled(platform: Platform, tenant_id: str) -> bool:
    pull = state(platform, tenant_id)
    return pull is not None and pull.last_success_at is not None


def has_failed(platform: Platform, tenant_id: str) -> bool:
    pull = state(platform, tenant_id)
    return pull is not None and pull.failures == 1


def test_the_process_pulls_in_place_of_the_code_server_and_gives_back_at_its_end(
    served: Platform, over: threading.Event
) -> None:
    apart = served.settings.model_copy(update={"transfers_apart": True})
    served = replace(served, settings=apart)
    with file_server(file()) as server, listening(waiting(over)) as silent:
        store(served, "apart", {"url": server.url()})
        sensor = build_defs(
            connect_tick=lambda: served, wait_seconds=0
        ).resolve_sensor_def("schedule_sensor")
        with dg.build_sensor_context() as context:
            skipped = sensor(context)
        assert isinstance(skipped, dg.SkipReason)
        assert skipped.skip_message == (
            "runs started: 0, pulls in hand: left to relay server transfers"
        )
        assert server.requests == []
        with transfers_process(served) as process:
            wait_for("a pull", lambda: has_pulled(served, "apart"), within=60)
            store(served, "held", {"url": f"http://127.0.0.1:{silent}/f"})
            queue = served.pulls.queue

            def is_held() -> bool:
                item = queue.get(f"PULL#held#{VENDOR}")
                return item is not None and item.lease is not None

            wait_for("a transfer", is_held, within=30)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        # A process that is stopped is no failure: the pull is due for the next one.
        item = queue.get(f"PULL#held#{VENDOR}")
        assert item is not None
        assert (item.lease, item.value.failures) == (None, 0)


def test_no_server_takes_more_memory_than_all_transfers_together_may(
    served: Platform, tmp_path: Path
) -> None:
    tenant_ids = []
    with ExitStack() as stack:
        calm = stack.enter_context(file_server(file(b"A1,5\n" * 3_000_000)))
        process = stack.enter_context(transfers_process(served))
        store(served, "calm", {"url": calm.url()})
        wait_for("a pull", lambda: has_pulled(served, "calm"), within=120)
        idle = memory_mib(process.pid, "VmRSS")
        forget_peak(process.pid)
        for number, flood in enumerate(HTTP_FLOODS.values()):
            tenant_ids.append(f"http-{number}")
            server = stack.enter_context(file_server(flood))
            store(served, tenant_ids[-1], {"url": server.url()})
        for number, behave in enumerate(BANNERS_AND_PACKETS.values()):
            tenant_ids.append(f"ssh-{number}")
            ssh_server = stack.enter_context(sftp_server(tmp_path))
            ssh_server.port = stack.enter_context(listening(behave))
            store_sftp(served, tenant_ids[-1], ssh_server)
        for number, flood_name in enumerate(
            ("a packet without an end", "data beyond the window")
        ):
            tenant_ids.append(f"sftp-{number}")
            ssh_server = stack.enter_context(
                sftp_server(tmp_path, garble=SFTP_FLOODS[flood_name])
            )
            store_sftp(served, tenant_ids[-1], ssh_server)
        for tenant_id in tenant_ids:
            wait_for(
                f"the failure of {tenant_id}",
                lambda tenant_id=tenant_id: has_failed(served, tenant_id),
                within=300,
            )
        peak = memory_mib(process.pid, "VmHWM")
    assert len(tenant_ids) > 8
    assert peak - idle <= GOAL_MIB
