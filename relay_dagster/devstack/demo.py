"""``relay demo`` and ``relay dev``: the whole stack on embedded AWS, with the sample tenant.

The demo is a client like any other: it stores a config and posts a run over HTTP, and follows the
links of the answers. Only the uploads bypass the API, as a vendor's do; one of them starts a run.
"""

import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from rich.console import Console

from relay_core.config import load_config, parse_document
from relay_core.domain.codes import RunStatus
from relay_core.samples import sample_config_text, sample_feeds, sample_sku_maps
from relay_dagster.aws.provisioning.bootstrap import bootstrap
from relay_dagster.client.access import AUDIT
from relay_dagster.client.api_client import ApiClient, tenant_path
from relay_dagster.client.errors import ClientError
from relay_dagster.client.holds import show_hold
from relay_dagster.client.links import download_to
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import Screen
from relay_dagster.devstack.demo_output import (
    in_the_shop,
    left_running,
    option_effects,
    show_places,
    show_result,
    show_waits,
    suppliers_options,
    timed,
    title,
)
from relay_dagster.devstack.processes import (
    API,
    CODE,
    DAEMON,
    HOST,
    MOTO,
    WEBSERVER,
    Stack,
    StackError,
    foreign_free,
    run_memory_mb,
)
from relay_dagster.runs.model import Trigger
from relay_dagster.settings import ConcurrencySettings, Settings
from relay_dagster.wire.access import AuditList, NewFeedLink
from relay_dagster.wire.runs import PublicationList, Run, RunDetails
from relay_dagster.wiring import Platform, connect

TENANT = "acme_parts"
SUPPLIERS_TENANT = "tool_yard"
RUN_TIMEOUT_SECONDS = 180
POLL_SECONDS = 0.1


class DemoError(Exception):
    """The demo failed; the message names the step."""


@dataclass
class World:
    """A started stack, and the clients of it."""

    stack: Stack
    platform: Platform
    session: Session
    api_key: str


def run_demo(output_dir: Path, *, release: bool = False) -> int:
    """Run the sample tenant, then a feed that is held or released; return the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    title(console, "Relay Inventory: the sample tenant, end to end, on embedded AWS")
    with tempfile.TemporaryDirectory(prefix="relay-demo-") as home:
        try:
            with started_world(console, Stack(Path(home))) as world:
                run = post_and_follow(console, world)
                artifacts = _download(world, run.run_id, output_dir / run.run_id)
                show_result(world.session, run, artifacts)
                if (record := world.platform.runs.get(run.run_id)) is not None:
                    show_waits(console, record)
                suppliers_options(
                    console, option_effects(SUPPLIERS_TENANT, datetime.now(UTC))
                )
                _show_feed_link(console, world)
                _send_a_tenth(console, world, release=release)
                title(console, "Who did what: GET /v1/audit")
                audit = world.session.api.ask(AuditList, "GET", "/v1/audit").audit
                AUDIT.show(world.session.screen, reversed(audit))
        except KeyboardInterrupt:
            console.print("stopped; everything that was started is ended")
            return 130
        except (DemoError, StackError, ClientError, httpx.HTTPError) as error:
            console.print(f"[red]the demo failed:[/] {error}", style=None)
            return 1
        show_places(console, artifacts)
    return 0


def run_dev(*, api_port: int, ui_port: int) -> int:
    """Start the stack with the sample tenant and leave it running; return the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="relay-dev-") as home:
        try:
            stack = Stack(Path(home), ports={API: api_port, WEBSERVER: ui_port})
            with started_world(console, stack) as world:
                left_running(console, world.stack, world.api_key, TENANT)
                while not (dead := world.stack.dead()):
                    time.sleep(1)
                raise StackError(
                    f"{dead[0].name} ended by itself:\n{dead[0].last_words()}"
                )
        except KeyboardInterrupt:
            console.print("everything that was started is ended")
            return 0
        except (DemoError, StackError, ClientError, httpx.HTTPError) as error:
            console.print(f"[red]{error}[/]")
            return 1


@contextmanager
def started_world(console: Console, stack: Stack) -> Iterator[World]:
    """Start everything, with the sample tenant's config stored and its feeds uploaded."""
    with _ended_by_signals(stack):
        with timed(console, "moto server: S3, DynamoDB, SQS, all in memory"):
            stack.start(MOTO)
        with timed(
            console, "relay bootstrap: bucket, tables, queue with its redrive policy"
        ):
            api_key = secrets.token_urlsafe(24)
            # From here on this process speaks to the embedded AWS alone.
            for name in set(os.environ) - set(foreign_free(os.environ)):
                del os.environ[name]
            os.environ.update(stack.environment)
            stack.environment.update(bootstrap())
            runs = ConcurrencySettings.from_env().max_concurrency
            if "RELAY_MAX_RUN_MEMORY_MB" not in os.environ:
                stack.environment["RELAY_MAX_RUN_MEMORY_MB"] = str(run_memory_mb(runs))
            stack.environment["API_KEYS"] = f"demo:{api_key}"
            stack.environment["RELAY_PUBLIC_URL"] = stack.url(API)
            # `relay webhooks listen` receives webhooks on this machine.
            stack.environment["RELAY_WEBHOOK_ALLOW_LOOPBACK"] = "true"
            # The demo itself is the supplier whose file is pulled.
            stack.environment["RELAY_PULL_ALLOW_LOOPBACK"] = "true"
            os.environ.update(stack.environment)
        with timed(console, "API, Dagster's code server, webserver and daemon"):
            stack.start(API, CODE, WEBSERVER, DAEMON)
        with ApiClient(stack.url(API), api_key) as api:
            session = Session(api, Screen(console, console))
            world = World(stack, connect(Settings.from_env()), session, api_key)
            with timed(console, f"POST /v1/tenants: the config of {TENANT}"):
                _store_config(world)
            with timed(console, "uploads: a feed of each vendor, and a SKU map"):
                for key, size in upload_samples(world.platform).items():
                    console.print(f"           [dim]{key}, {size:,} bytes[/]")
            yield world


@contextmanager
def _ended_by_signals(stack: Stack) -> Iterator[None]:
    """End a stack with the block; SIGTERM and SIGHUP, too, end it as Ctrl-C does, and one of them.

    Any that follow would break off the end of the stack itself.
    """
    is_ending = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal is_ending
        if not is_ending:
            is_ending = True
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        is_ending = True
        stack.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _store_config(world: World, **changes: Any) -> None:
    document = {**written_config(), **changes}
    call = (
        ("PUT", tenant_path(TENANT, "config")) if changes else ("POST", "/v1/tenants")
    )
    world.session.api.send(*call, json=document)


def written_config() -> dict[str, Any]:
    """Return the sample's config without what is left out: an older API takes it, too."""
    return dict(parse_document(sample_config_text(TENANT), format="yaml"))


def upload_samples(platform: Platform) -> dict[str, int]:
    """Upload a feed of each vendor, and a SKU map; return their keys and sizes."""
    config = load_config(parse_document(sample_config_text(TENANT), format="yaml"))
    maps = sample_sku_maps(TENANT)
    sizes = {}
    for vendor_id, (name, data) in sample_feeds(TENANT).items():
        vendor = config.vendor(vendor_id)
        platform.objects.put(f"{vendor.inbound.s3_prefix}{name}", data)
        sizes[f"{vendor.inbound.s3_prefix}{name}"] = len(data)
        if vendor.sku_map is not None and vendor.sku_map.s3_key:
            platform.objects.put(vendor.sku_map.s3_key, maps[vendor_id][1])
            sizes[vendor.sku_map.s3_key] = len(maps[vendor_id][1])
    return sizes


def _send_a_tenth(console: Console, world: World, *, release: bool) -> None:
    """Have a tenth of a vendor's feed pulled from his server: it starts a run, which is held."""
    vendor_id, (name, data) = next(iter(sample_feeds(TENANT).items()))
    lines = data.splitlines(keepends=True)
    begun, tenth = time.monotonic(), lines[: len(lines) // 10]
    with serving(name, b"".join(tenth)) as url:
        vendors = written_config()["vendors"]
        (pulled,) = (each for each in vendors if each["vendor_id"] == vendor_id)
        pulled["inbound"]["pull"] = {"url": url}
        _store_config(
            world, vendors=vendors, triggers={"on_upload": {"quiet_seconds": 0}}
        )
        title(
            console,
            "Then a vendor's file is pulled from his server, and is a tenth of his feed",
        )
        console.print(f"  {url}: {len(tenth):,} lines in place of {len(lines):,}")
        run = _started_by_upload(world)
    title(console, f"Nobody has posted it: run {run.run_id}, trigger {run.trigger}")
    run = _follow(console, world, run, begun, RunStatus.HELD)
    if run.hold is None:
        raise DemoError(f"run {run.run_id} does not say what holds it")
    show_hold(world.session.screen, run, run.hold)
    in_the_shop(console, _shop_run_id(world), run)
    if release:
        reviewed = {"sha256": run.hold.sha256, "guards": run.hold.guard_names}
        order = {**reviewed, "reason": "the demo was told to"}
        path = f"/v1/runs/{run.run_id}/release"
        released = world.session.api.ask(Run, "POST", path, json=order)
        in_the_shop(console, _shop_run_id(world), released)


@contextmanager
def serving(name: str, body: bytes) -> Iterator[str]:
    """Serve one file on this machine, as a supplier's server does; yield its URL."""

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the demo shows what matters."""

    with ThreadingHTTPServer((HOST, 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{HOST}:{server.server_port}/{name}"
        finally:
            server.shutdown()


def _show_feed_link(console: Console, world: World) -> None:
    """Make a link to the feed, and fetch it as anybody does who has it: without a key."""
    path, order = tenant_path(TENANT, "feed-links"), {"name": "the demo's shop"}
    url = world.session.api.ask(NewFeedLink, "POST", path, json=order).url
    with httpx.Client(trust_env=False, timeout=30) as anybody:
        fetched = anybody.get(url)
    fetched.raise_for_status()
    tag, size = fetched.headers["ETag"], len(fetched.content)
    title(console, "A link for a shop that takes a plain URL: no key, no redirect")
    console.print(f"  curl -fsS {url}", markup=False)
    console.print(
        f"  gives the feed in force: {size:,} bytes, ETag {tag}", markup=False
    )


def _shop_run_id(world: World) -> str:
    """Return the run whose feed the shop gets: the first of the publications is in force."""
    path = tenant_path(TENANT, "publications")
    return world.session.api.ask(PublicationList, "GET", path).publications[0].run_id


def _started_by_upload(world: World) -> Run:
    """Return the tenant's run that an upload has started, as soon as there is one."""
    begun = time.monotonic()
    while time.monotonic() - begun < RUN_TIMEOUT_SECONDS:
        (run,) = world.session.api.runs(TENANT, None, 1)
        if run.trigger == Trigger.UPLOAD:
            return run
        time.sleep(POLL_SECONDS)  # no answer announces a run that was not posted
    raise DemoError(f"no run was started by the upload\n{_logs(world.stack)}")


def post_and_follow(
    console: Console, world: World, wanted: RunStatus = RunStatus.SUCCEEDED
) -> RunDetails:
    """Post a run and show its stages as they pass; return it when it has ended as is wanted."""
    begun = time.monotonic()
    run = world.session.api.start_run(TENANT, [], None).run
    title(console, f"POST /v1/runs: 202, run {run.run_id}")
    return _follow(console, world, run, begun, wanted)


def _follow(
    console: Console, world: World, run: Run, begun: float, wanted: RunStatus
) -> RunDetails:
    """Show a run's stages as they pass; return it when it has ended with the wanted status."""
    shown = ""
    while True:
        found = world.session.api.run(run.run_id).run
        if found.stage != shown:
            shown, seconds = found.stage, time.monotonic() - begun
            console.print(f"  {seconds:5.1f} s  {shown:<14} [dim]{found.status}[/]")
        if found.has_ended:
            break
        if time.monotonic() - begun > RUN_TIMEOUT_SECONDS:
            raise DemoError(f"the run is still {found.status}\n{_logs(world.stack)}")
        time.sleep(POLL_SECONDS)
    if found.status != wanted:
        why = f"{found.error_code}: {found.error_message}"
        raise DemoError(
            f"the run is {found.status}, not {wanted}: {why}\n{_logs(world.stack)}"
        )
    return found


def _download(world: World, run_id: str, folder: Path) -> dict[str, Path]:
    """Download a run's artifacts by their presigned links, which need no key."""
    links = world.session.api.artifacts(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        name: folder / f"{name}{Path(httpx.URL(link).path).suffix}"
        for name, link in links.items()
    }
    for name, path in files.items():
        download_to(path, name, links[name])
    return files


def _logs(stack: Stack) -> str:
    return "\n".join(
        f"--- {service.name}\n{service.last_words()}"
        for service in stack.services.values()
    )
