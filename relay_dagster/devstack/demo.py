"""``relay server demo`` and ``dev``: the whole stack on embedded AWS, with the sample tenant.

The demo is a client like any other: it stores a config and posts a run over HTTP, and follows
the links of the responses. Only uploads bypass the API, as a vendor's do. One of them starts
a run.
"""

import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from relay_dagster.client.api_client import ApiClient, tenant_path
from relay_dagster.client.commands.access import AUDIT
from relay_dagster.client.errors import ClientError
from relay_dagster.client.hold_report import show_hold
from relay_dagster.client.links import download_to
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import Screen
from relay_dagster.devstack import demo_channels, processes
from relay_dagster.devstack import demo_output as output
from relay_dagster.devstack.machine import run_memory_mb
from relay_dagster.devstack.option_effects import option_effects
from relay_dagster.devstack.processes import Stack, StackError
from relay_dagster.devstack.sample_rows import sample_rows
from relay_dagster.devstack.sftp_server import SftpFolder, serving_folder
from relay_dagster.runs.model import Trigger
from relay_dagster.settings import ConcurrencySettings, Settings
from relay_dagster.tenants.scopes import Scope
from relay_dagster.wire.access import AuditList, NewFeedLink, NewTenantKey
from relay_dagster.wire.runs import PublicationList, Run, RunDetails
from relay_dagster.wiring import Platform, connect

TENANT = "acme_parts"
SUPPLIERS_TENANT = "tool_yard"
RUN_TIMEOUT_SECONDS = 180
POLL_SECONDS = 0.1


class DemoError(Exception):
    """The demo failed; the message names the step."""


_FAILURES = (
    DemoError,
    StackError,
    ClientError,
    httpx.HTTPError,
    demo_channels.NotDeliveredError,
)


@dataclass
class World:
    """A started stack, and its clients."""

    stack: Stack
    platform: Platform
    session: Session
    api_key: str
    # The sections of the config that the demo adds to the sample's
    settings: dict[str, Any] = field(default_factory=dict)


def run_demo(output_dir: Path, *, release: bool = False) -> int:
    """Run the sample tenant, then hold or release a bad feed; return the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    output.title(
        console,
        "Relay Inventory: the sample tenant, end to end, on embedded AWS",
    )
    with tempfile.TemporaryDirectory(prefix="relay-demo-") as home:
        shop_path = Path(home, "marketplace")
        shop_path.mkdir()
        try:
            with (
                serving_folder(shop_path) as folder,
                started_world(console, Stack(Path(home))) as world,
            ):
                artifacts = _demonstrate(
                    console,
                    world,
                    folder,
                    output_dir,
                    release=release,
                )
        except KeyboardInterrupt:
            console.print("stopped; everything that was started is ended")
            return 130
        except _FAILURES as error:
            console.print(f"[red]the demo failed:[/] {error}", style=None)
            return 1
        output.show_places(console, artifacts)
    return 0


def _demonstrate(
    console: Console,
    world: World,
    folder: SftpFolder,
    output_dir: Path,
    *,
    release: bool,
) -> dict[str, Path]:
    """Take the sample tenant through a day; return the paths of the first run's artifacts."""
    demo_channels.store_secret(world.session, TENANT, folder)
    world.settings = demo_channels.settings_for(folder)
    _store_config(world, **world.settings)
    output.title(console, "The merchant's page, until the demo ends")
    output.page(console, world.stack, _make_page_key(world))
    run = post_and_follow(console, world)
    artifacts = _download(world, run.run_id, output_dir / run.run_id)
    output.show_result(world.session, run, artifacts)
    record = world.platform.runs.get(run.run_id)
    if record is not None:
        output.show_waits(console, record)
        demo_channels.show_channels(console, artifacts, record)
    demo_channels.show_delivery(console, world.session, TENANT, folder)
    now = datetime.now(UTC)
    output.suppliers_options(console, option_effects(SUPPLIERS_TENANT, now))
    output.rows_of_files(console, sample_rows("hammer_house", now))
    _show_feed_link(console, world)
    _send_a_tenth(console, world, release=release)
    output.title(console, "Who did what: GET /v1/audit")
    audit = world.session.api.request(AuditList, "GET", "/v1/audit").audit
    AUDIT.show(world.session.screen, reversed(audit))
    return artifacts


def run_dev(*, api_port: int, ui_port: int) -> int:
    """Start the stack with the sample tenant and leave it running; return the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    ports = {processes.API: api_port, processes.WEBSERVER: ui_port}
    with tempfile.TemporaryDirectory(prefix="relay-dev-") as home:
        try:
            with started_world(
                console,
                Stack(Path(home), ports=ports),
            ) as world:
                page_key = _make_page_key(world)
                output.left_running(
                    console,
                    world.stack,
                    world.api_key,
                    page_key,
                    TENANT,
                )
                _watch(world.stack)
        except KeyboardInterrupt:
            console.print("everything that was started is ended")
            return 0
        except _FAILURES as error:
            console.print(f"[red]{error}[/]")
            return 1
    return 0


def _watch(stack: Stack) -> None:
    """Wait until a process of the stack ends by itself, and raise `StackError`."""
    while True:
        ended = stack.ended_services()
        if ended:
            service = ended[0]
            log = service.end_of_log()
            raise StackError(f"{service.name} ended by itself:\n{log}")
        time.sleep(1)


@contextmanager
def started_world(console: Console, stack: Stack) -> Iterator[World]:
    """Start everything, with the sample tenant's config stored and its feeds uploaded."""
    with _ended_by_signals(stack):
        with output.timed(
            console,
            "moto server: S3, DynamoDB, SQS, all in memory",
        ):
            stack.start(processes.MOTO)
        step = "relay server bootstrap: bucket, tables, queue with its redrive policy"
        with output.timed(console, step):
            api_key = _provision(stack)
        with output.timed(
            console,
            "API, Dagster's code server, webserver and daemon",
        ):
            stack.start(
                processes.API,
                processes.CODE,
                processes.WEBSERVER,
                processes.DAEMON,
            )
        with ApiClient(stack.url(processes.API), api_key) as api:
            session = Session(api, Screen(console, console))
            platform = connect(Settings.from_env())
            world = World(stack, platform, session, api_key)
            with output.timed(
                console,
                f"POST /v1/tenants: the config of {TENANT}",
            ):
                _store_config(world)
            with output.timed(
                console,
                "uploads: a feed of each vendor, and a SKU map",
            ):
                for key, size in upload_samples(world.platform).items():
                    console.print(f"           [dim]{key}, {size:,} bytes[/]")
            yield world


def _provision(stack: Stack) -> str:
    """Make the resources on the embedded AWS, and the stack's variables; return an API key."""
    api_key = secrets.token_urlsafe(24)
    # From here on, this process uses only the embedded AWS.
    for name in set(os.environ) - set(processes.foreign_free(os.environ)):
        del os.environ[name]
    os.environ.update(stack.environment)
    stack.environment.update(bootstrap())
    runs = ConcurrencySettings.from_env().max_concurrency
    if "RELAY_MAX_RUN_MEMORY_MB" not in os.environ:
        stack.environment["RELAY_MAX_RUN_MEMORY_MB"] = str(run_memory_mb(runs))
    stack.environment["API_KEYS"] = f"demo:{api_key}"
    stack.environment["RELAY_PUBLIC_URL"] = stack.url(processes.API)
    # `relay webhooks listen` receives webhooks on this machine.
    stack.environment["RELAY_WEBHOOK_ALLOW_LOOPBACK"] = "true"
    # The demo itself is the supplier whose file is pulled.
    stack.environment["RELAY_PULL_ALLOW_LOOPBACK"] = "true"
    os.environ.update(stack.environment)
    return api_key


@contextmanager
def _ended_by_signals(stack: Stack) -> Iterator[None]:
    """End a stack with the block, which SIGTERM and SIGHUP interrupt as Ctrl-C does.

    Only the first signal counts: others would interrupt the end of the stack itself.
    """
    is_ending = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal is_ending
        if not is_ending:
            is_ending = True
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    earlier_handlers = {
        number: signal.signal(number, interrupt) for number in numbers
    }
    try:
        yield
    finally:
        is_ending = True
        stack.close()
        for number, handler in earlier_handlers.items():
            signal.signal(number, handler)


def _make_page_key(world: World) -> str:
    """Create a key of the sample tenant with all scopes, to sign in to its page."""
    request = {"name": "page", "scopes": list(Scope)}
    path = tenant_path(TENANT, "api-keys")
    created = world.session.api.request(
        NewTenantKey,
        "POST",
        path,
        json=request,
    )
    return created.api_key


# --- the sample tenant -----------------------------------------------------------------


def _store_config(world: World, **changes: Any) -> None:
    document = {**written_config(), **changes}
    if changes:
        path = tenant_path(TENANT, "config")
        world.session.api.send("PUT", path, json=document)
    else:
        world.session.api.send("POST", "/v1/tenants", json=document)


def written_config() -> dict[str, Any]:
    """Return the sample's config without defaults, so that an older API accepts it too."""
    return dict(parse_document(sample_config_text(TENANT), format="yaml"))


def upload_samples(platform: Platform) -> dict[str, int]:
    """Upload the vendors' feeds and SKU maps; return the size of each in bytes, by key."""
    config = load_config(
        parse_document(sample_config_text(TENANT), format="yaml"),
    )
    sku_maps = sample_sku_maps(TENANT)
    uploads = {}
    for vendor_id, (name, data) in sample_feeds(TENANT).items():
        vendor = config.vendor(vendor_id)
        uploads[f"{vendor.inbound.s3_prefix}{name}"] = data
        if vendor.sku_map is not None and vendor.sku_map.s3_key:
            uploads[vendor.sku_map.s3_key] = sku_maps[vendor_id][1]
    for key, data in uploads.items():
        platform.objects.put(key, data)
    return {key: len(data) for key, data in uploads.items()}


# --- runs ------------------------------------------------------------------------------


def post_and_follow(
    console: Console,
    world: World,
    expected_status: RunStatus = RunStatus.SUCCEEDED,
) -> RunDetails:
    """Post a run, show its stages, and return it once it has ended.

    Raises:
        DemoError: The run ended with another status than the expected one, or not in time.
    """
    started_at = time.monotonic()
    run = world.session.api.start_run(TENANT, [], None).run
    output.title(console, f"POST /v1/runs: 202, run {run.run_id}")
    return _follow(console, world, run, started_at, expected_status)


def _follow(
    console: Console,
    world: World,
    run: Run,
    started_at: float,
    expected_status: RunStatus,
) -> RunDetails:
    """Show a run's stages as they pass; return the run once it has ended."""
    stage = ""
    while True:
        details = world.session.api.run(run.run_id).run
        seconds = time.monotonic() - started_at
        if details.stage != stage:
            stage = details.stage
            console.print(
                f"  {seconds:5.1f} s  {stage:<14} [dim]{details.status}[/]",
            )
        if details.has_ended:
            break
        if seconds > RUN_TIMEOUT_SECONDS:
            logs = _logs(world.stack)
            raise DemoError(f"the run is still {details.status}\n{logs}")
        time.sleep(POLL_SECONDS)
    if details.status != expected_status:
        cause = f"{details.error_code}: {details.error_message}"
        outcome = f"the run is {details.status}, not {expected_status}: {cause}"
        raise DemoError(f"{outcome}\n{_logs(world.stack)}")
    return details


def _started_by_upload(world: World) -> Run:
    """Return the tenant's run that an upload started, as soon as there is one."""
    asked_since = time.monotonic()
    while time.monotonic() - asked_since < RUN_TIMEOUT_SECONDS:
        (run,) = world.session.api.runs(TENANT, None, 1)
        if run.trigger == Trigger.UPLOAD:
            return run
        time.sleep(POLL_SECONDS)  # nothing announces a run that nobody posted
    raise DemoError(f"no run was started by the upload\n{_logs(world.stack)}")


def _download(world: World, run_id: str, folder: Path) -> dict[str, Path]:
    """Download a run's artifacts by their presigned links, which need no key."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, link in world.session.api.artifacts(run_id).items():
        suffix = "".join(Path(httpx.URL(link).path).suffixes)
        files[name] = folder / f"{name}{suffix}"
        download_to(files[name], name, link)
    return files


def _logs(stack: Stack) -> str:
    logs = [
        f"--- {service.name}\n{service.end_of_log()}"
        for service in stack.services.values()
    ]
    return "\n".join(logs)


# --- a feed that is held, and a link to the live one -----------------------------------


def _send_a_tenth(console: Console, world: World, *, release: bool) -> None:
    """Have a tenth of a vendor's feed pulled from its server: it starts a run, which is held."""
    vendor_id, (name, data) = next(iter(sample_feeds(TENANT).items()))
    lines = data.splitlines(keepends=True)
    tenth = lines[: len(lines) // 10]
    started_at = time.monotonic()
    with serving(name, b"".join(tenth)) as url:
        _pull_from(world, vendor_id, url)
        output.title(
            console,
            "Pull a file from a vendor's server: only a tenth of the usual rows",
        )
        console.print(
            f"  {url}: {len(tenth):,} lines instead of {len(lines):,}",
        )
        run = _started_by_upload(world)
    output.title(
        console,
        f"The file started run {run.run_id} by itself (trigger {run.trigger})",
    )
    run = _follow(console, world, run, started_at, RunStatus.HELD)
    if run.hold is None:
        raise DemoError(f"run {run.run_id} does not say what holds it")
    show_hold(world.session.screen, run, run.hold)
    output.in_the_shop(console, _shop_run_id(world), run)
    if release:
        request = {
            "sha256": run.hold.sha256,
            "guards": run.hold.guard_names,
            "reason": "the demo ran with --release",
        }
        path = f"/v1/runs/{run.run_id}/release"
        released = world.session.api.request(Run, "POST", path, json=request)
        output.in_the_shop(console, _shop_run_id(world), released)


def _pull_from(world: World, vendor_id: str, url: str) -> None:
    """Store a config by which a vendor's file is pulled, and uploads start runs at once."""
    vendors = written_config()["vendors"]
    for vendor in vendors:
        if vendor["vendor_id"] == vendor_id:
            vendor["inbound"]["pull"] = {"url": url}
    triggers = {"on_upload": {"quiet_seconds": 0}}
    _store_config(world, **world.settings, vendors=vendors, triggers=triggers)


@contextmanager
def serving(name: str, body: bytes) -> Iterator[str]:
    """Serve one file on this machine, as a supplier's server does, and yield its URL."""

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Write no log: the demo's output is for people."""

    with ThreadingHTTPServer((processes.HOST, 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{processes.HOST}:{server.server_port}/{name}"
        finally:
            server.shutdown()


def _show_feed_link(console: Console, world: World) -> None:
    """Make a link to the feed, and fetch it without a key, as anybody with the link can."""
    path = tenant_path(TENANT, "feed-links")
    request = {"name": "the demo's shop"}
    url = world.session.api.request(NewFeedLink, "POST", path, json=request).url
    with httpx.Client(trust_env=False, timeout=30) as shop:
        response = shop.get(url)
    response.raise_for_status()
    size = len(response.content)
    tag = response.headers["ETag"]
    output.title(
        console,
        "A feed link for a shop: a plain URL without a key or a redirect",
    )
    console.print(f"  curl -fsS {url}", markup=False)
    console.print(
        f"  returns the live feed: {size:,} bytes, ETag {tag}",
        markup=False,
    )


def _shop_run_id(world: World) -> str:
    """Return the run whose feed the shop gets, which is the first of the publications."""
    path = tenant_path(TENANT, "publications")
    return (
        world.session.api.request(PublicationList, "GET", path)
        .publications[0]
        .run_id
    )
