"""How soon a thousand vendors are pulled, what a large file costs, and what hostile servers can do.

`make bench-pulls`. Five scenes on embedded AWS, with the real puller, which ticks as its sensor
does. The first two have a supplier's server in a process of its own that answers after 0.2 s: a
thousand vendors of a hundred tenants, all due in the same minute; and one file of 500 MB. Shown
are the seconds until the last vendor was looked at, the longest tick, and the most memory that
the process had on top of what it has idle. The others have servers that do their worst, in a
process of their own: floods of bytes and small pieces, which may take memory and processor time;
garbage, which must be a failure of its own pull; and two tenants with 50 hosts each that drip,
beside which a third tenant waits. The times of that last scene are scaled. The exit status is 1
where a goal is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.api_bench import ApiStack
from benchmarks.goals import Goal
from relay_dagster.aws.clients import Timeouts
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.devstack.processes import HOST, MOTO
from relay_dagster.settings import Settings
from relay_dagster.transfers.allowance import Pace
from relay_dagster.transfers.pull_planner import PullPlanner
from relay_dagster.transfers.puller import WAIT_SECONDS, Puller
from relay_dagster.transfers.room import (
    LONGEST_WAIT_SECONDS,
    TRANSFER_SECONDS,
    TransferRoom,
)
from relay_dagster.wiring import Platform, connect

GOAL_SECONDS = 600.0
GOAL_TICK = 2.0
GOAL_MEMORY = 64.0
# Of all floods together. Each of them could go on for 15 minutes before.
GOAL_FLOOD_CPU = 90.0
GOAL_WAIT = 20 * 60.0
SCALE = 60.0
_DRIPPING_HOSTS = 50
_FLOODED_BYTES = 64 << 20
DELAY_SECONDS = 0.2
_VENDORS_OF_TENANT = 10
_MAX_SECONDS = 900.0
_MB = 1_000_000
_SERVER = """
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LINE, DELAY = b"sku-0001,5,10.00\\n" * 4096, float(sys.argv[1])

class Files(BaseHTTPRequestHandler):
    def do_GET(self):
        size = int(self.path.split("/")[1])
        time.sleep(DELAY)
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        while size > 0:
            self.wfile.write(LINE[:size])
            size -= len(LINE)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
print(server.server_port, flush=True)
server.serve_forever()
"""


def main() -> int:
    """Measure both scenes and print them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vendors", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=500)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with _stack() as platform, _supplier() as port, _hostile() as hostile:
        # First, while the process has held nothing else.
        memory, seconds = _pull_one(platform, port, options.megabytes)
        flood_memory, flood_cpu = _pull_floods(platform, hostile["floods"])
        unmapped = _pull_garbage(platform, hostile["garbage"])
        wait = _wait_beside_drips(platform, port, hostile["drip"]["port"])
        looked, longest = _pull_many(platform, port, options.vendors)
    reached = (
        Goal(
            f"{options.vendors:,} vendors looked at", GOAL_SECONDS, looked, "s"
        ),
        Goal("longest tick", GOAL_TICK, longest, "s"),
        Goal(f"memory for {options.megabytes} MB", GOAL_MEMORY, memory, "MiB"),
        Goal("memory beside floods (T1)", GOAL_MEMORY, flood_memory, "MiB"),
        Goal("CPU of all floods (T6)", GOAL_FLOOD_CPU, flood_cpu, "s"),
        Goal("garbage that is no failure (T7)", 0.0, unmapped, "pulls"),
        Goal("wait beside drips / 60 (T5)", GOAL_WAIT / SCALE, wait, "s"),
    )
    print(
        f"{options.megabytes} MB took {seconds:.1f} s\n\n{tables.goals(reached)}"
    )
    return int(not all(goal.met for goal in reached))


@contextlib.contextmanager
def _stack() -> Iterator[Platform]:
    with (
        tempfile.TemporaryDirectory(prefix="relay-bench-") as folder,
        ApiStack(Path(folder)) as stack,
    ):
        stack.start(MOTO)
        stack.bootstrap()
        # boto3 reads where AWS is by itself.
        os.environ.update(
            stack.process_environment(), RELAY_PULL_ALLOW_LOOPBACK="true"
        )
        # The emulator copies a large object more slowly than S3.
        yield connect(Settings.from_env(), Timeouts(read_seconds=300, tries=1))


@contextlib.contextmanager
def _supplier() -> Iterator[int]:
    command = [sys.executable, "-c", _SERVER, str(DELAY_SECONDS)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is piped
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextlib.contextmanager
def _hostile() -> Iterator[dict[str, Any]]:
    """Run the hostile servers; yield their pulls."""
    command = [sys.executable, "-m", "benchmarks.hostile_suppliers"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is piped
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def _pull_one(
    platform: Platform, port: int, megabytes: int
) -> tuple[float, float]:
    """Return the memory that a file takes in MiB, and the seconds of its transfer."""
    _store(platform, "warm", [f"http://{HOST}:{port}/100/feed.csv"])
    puller = Puller(platform)
    _pull_all(platform, puller)
    _store(
        platform, "large", [f"http://{HOST}:{port}/{megabytes * _MB}/feed.csv"]
    )
    PullPlanner(platform).run()
    began = time.monotonic()
    memory = _pull_watched(platform, puller)
    _expect_pulled(platform, "large", 1)
    seconds = time.monotonic() - began
    # The emulator reads all that it has for some of its answers.
    for item in platform.objects.list_objects("tenants/large/"):
        platform.objects.delete(item.key)
    return memory, seconds


def _pull_watched(platform: Platform, puller: Puller) -> float:
    """Pull what is due; return the memory in MiB that it took over an idle process."""
    idle = _resident()
    peaks = [idle]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peaks[0] = max(peaks[0], _resident())

    watching = threading.Thread(target=watch)
    watching.start()
    _pull_all(platform, puller)
    over.set()
    watching.join()
    return (peaks[0] - idle) / (1 << 20)


def _pull_floods(
    platform: Platform, pulls: Mapping[str, Mapping[str, str]]
) -> tuple[float, float]:
    """Return the memory in MiB and the processor time in seconds of servers that flood.

    Each is a tenant's, so eight of them are pulled at once.
    """
    settings = platform.settings.model_copy(
        update={"max_feed_bytes": _FLOODED_BYTES}
    )
    platform = replace(platform, settings=settings)
    tenant_ids = _store_hostile(platform, "flood", pulls)
    PullPlanner(platform).run()
    began = time.process_time()
    memory = _pull_watched(platform, Puller(platform))
    seconds = time.process_time() - began
    for name, tenant_id in tenant_ids.items():
        if not _has_failed(platform, tenant_id):
            raise SystemExit(f"not a failure of its pull: {name}")
    return memory, seconds


def _pull_garbage(
    platform: Platform, pulls: Mapping[str, Mapping[str, str]]
) -> int:
    """Return the number of servers of garbage that were no failure of their pull."""
    tenant_ids = _store_hostile(platform, "garbage", pulls)
    PullPlanner(platform).run()
    _pull_all(platform, Puller(platform))
    failed = [
        tenant_id
        for tenant_id in tenant_ids.values()
        if _has_failed(platform, tenant_id)
    ]
    return len(tenant_ids) - len(failed)


def _wait_beside_drips(platform: Platform, port: int, drip_port: str) -> float:
    """Return the seconds that a tenant waits beside two with 50 dripping hosts each."""
    room = TransferRoom(
        seconds=TRANSFER_SECONDS / SCALE,
        pace=Pace(first_seconds=60 / SCALE, window_seconds=30 / SCALE),
        longest_wait=LONGEST_WAIT_SECONDS / SCALE,
    )
    for number in range(2):
        first_host = 2 + number * _DRIPPING_HOSTS
        hosts = range(first_host, first_host + _DRIPPING_HOSTS)
        urls = [f"http://127.0.0.{host}:{drip_port}/feed.csv" for host in hosts]
        _store(platform, f"drip-{number}", urls)
    PullPlanner(platform).run()
    puller = Puller(platform, room=room)
    puller.run()
    _store(platform, "third", [f"http://{HOST}:{port}/100/feed.csv"])
    began = time.monotonic()
    while not _has_pulled(platform, "third"):
        if time.monotonic() > began + _MAX_SECONDS:
            raise SystemExit("a tenant waits for others' hosts without an end")
        puller.run()
        time.sleep(0.1)
    seconds = time.monotonic() - began
    room.stop(GOAL_TICK)
    # What is left is nobody's: the tenants have no pulls any more.
    for number in range(2):
        _store(platform, f"drip-{number}", [])
    _pull_all(platform, Puller(platform))
    return seconds


def _store_hostile(
    platform: Platform, kind: str, pulls: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Store a tenant for each hostile server; return the tenants by what the server does."""
    tenant_ids = {}
    for number, (name, options) in enumerate(pulls.items()):
        tenant_id = f"{kind}-{number}"
        tenant_ids[name] = tenant_id
        pull: dict[str, Any] = {"url": options["url"]}
        if "host_key" in options:
            host = options["url"].partition("@")[2].partition("/")[0]
            secret = SecretValue(options["password"], host)
            platform.secrets.put(tenant_id, "granite", secret)
            pull["secret"] = "granite"  # noqa: S105 - its name
            pull["host_key"] = options["host_key"]
            pull["settle_seconds"] = 0
        _store_pulls(platform, tenant_id, [pull])
    return tenant_ids


def _has_failed(platform: Platform, tenant_id: str) -> bool:
    states = platform.pulls.of_vendors(tenant_id, ["vendor_0"])
    return [state.failures for state in states.values()] == [1]


def _has_pulled(platform: Platform, tenant_id: str) -> bool:
    states = platform.pulls.of_vendors(tenant_id, ["vendor_0"])
    return any(state.last_success_at for state in states.values())


def _pull_many(
    platform: Platform, port: int, vendors: int
) -> tuple[float, float]:
    """Return the seconds until all vendors were looked at, and those of the longest tick."""
    tenants = max(1, vendors // _VENDORS_OF_TENANT)
    urls = [
        f"http://{HOST}:{port}/{1000 + n}/feed.csv"
        for n in range(vendors // tenants)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: _store(platform, f"tenant-{n:04}", urls),
                range(tenants),
            )
        )
    # It takes no more than some seconds until all are noted.
    began = time.monotonic()
    PullPlanner(platform).run()
    noted = time.monotonic() - began
    began = time.monotonic()
    longest = _pull_all(platform, Puller(platform))
    seconds = time.monotonic() - began
    _expect_pulled(platform, f"tenant-{tenants - 1:04}", len(urls))
    print(f"{tenants} tenants' pulls noted in {noted:.1f} s")
    return seconds, longest


def _pull_all(platform: Platform, puller: Puller) -> float:
    """Tick until nothing is due or in hand; return the seconds of the longest tick."""
    longest = 0.0
    until = time.monotonic() + _MAX_SECONDS
    while time.monotonic() < until:
        began = time.monotonic()
        in_hand = puller.run()
        took = time.monotonic() - began
        longest = max(longest, took)
        if not in_hand and took < WAIT_SECONDS:
            break
        time.sleep(0.1)
    return longest


def _expect_pulled(platform: Platform, tenant_id: str, count: int) -> None:
    names = [f"vendor_{number}" for number in range(count)]
    states = platform.pulls.of_vendors(tenant_id, names)
    missing = [
        state for state in states.values() if state.last_success_at is None
    ]
    if missing or len(states) != count:
        raise SystemExit(
            f"{tenant_id}: not pulled: {missing[:3] or count - len(states)}"
        )


def _store(platform: Platform, tenant_id: str, urls: list[str]) -> None:
    _store_pulls(platform, tenant_id, [{"url": url} for url in urls])


def _store_pulls(
    platform: Platform, tenant_id: str, pulls: list[dict[str, Any]]
) -> None:
    document: dict[str, Any] = {
        "tenant_id": tenant_id,
        "timezone": "UTC",
        "default_currency": "USD",
        "vendors": [
            {
                "vendor_id": f"vendor_{number}",
                "inbound": {
                    "type": "s3",
                    "s3_prefix": f"tenants/{tenant_id}/vendor_{number}/",
                    "pull": pull,
                },
                "parser": {"format": "csv"},
            }
            for number, pull in enumerate(pulls or [None])
        ],
        "pricing": {
            "base_margin_pct": "0",
            "min_price": "0",
            "shipping_handling_flat": "0",
        },
        "merge": {"strategy": "best_offer"},
        "output": {"columns": ["sku", "price"]},
    }
    platform.tenants.put(tenant_id, json.dumps(document))


def _resident() -> int:
    """Return how many bytes of memory the process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    raise SystemExit(main())
