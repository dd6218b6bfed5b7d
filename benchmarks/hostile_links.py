"""What hostile links, cookies and forms cost others: a part of `make bench-hostile-requests`.

One tenant has links to its feed and to its suppliers' pages, whose holder means harm.
Another tenant has a link, a key and a supplier of its own. Each figure has the contract's limit.
"""

from __future__ import annotations

import hashlib
import html
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx

from benchmarks.goals import Goal
from relay_dagster.aws.dynamodb.link_store import LinkKind
from relay_dagster.execution.published_copies import feed_copy_key
from relay_dagster.intake.uploads import UploadTick
from relay_dagster.runs.model import Outcome
from relay_dagster.wiring import Platform

LINKED = "linked"
CALM = "calm"
"""The tenant whose links are misused, and the one that must not notice."""
BUSY = ("busy_1", "busy_2")
"""The tenants that check their configs without a pause."""
FEED_LINKS = 8
SUPPLIER_LINKS = 20
SLOW_READERS = 32
REQUESTS = 200
READS = 30
SENT_AGAIN = 30
"""Requests over one tenant's links, reads by another's, and sendings of one form."""
FORMS = 30
FORMS_AT_ONCE = 10
WRONG = 300
MAX_WRONG = 30
MAX_UPLOADS = 20
MAX_HEALTH_SECONDS = 0.3
MAX_SECONDS = 1.0
MAX_CHECK_SECONDS = 60.0
_SLOW_BYTES = 10_000
_SLOW_PAUSE = 0.1
_FEED_BYTES = 40 << 20
_UPLOAD = b"sku,quantity_available,cost\n" + b"A-1,5,4.20\n" * 5000
_FIELD = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')
_ACTION = re.compile(r'<form[^>]* action="(https?:[^"]*)"')
_TOO_MANY = httpx.codes.TOO_MANY_REQUESTS


class Tenants:
    """The tenants with their clients, over one API.

    Args:
        url: the API's address.
        admin_key: a key of an admin.
        platform: what the API works with.
    """

    def __init__(self, url: str, admin_key: str, platform: Platform) -> None:
        self.url = url
        self.platform = platform
        self.anybody = _client(url)
        self._admin = _client(url, admin_key)
        self._keys = {
            tenant_id: self._furnished(tenant_id)
            for tenant_id in (LINKED, CALM, *BUSY)
        }

    def by_key(self, tenant_id: str) -> httpx.Client:
        """Return the client that has a tenant's key."""
        return self._keys[tenant_id]

    def config_of(self, tenant_id: str) -> dict[str, object]:
        """Return a tenant's config."""
        prefix = f"tenants/{tenant_id}/inbound/vendor/"
        return {
            "tenant_id": tenant_id,
            "timezone": "UTC",
            "default_currency": "USD",
            "vendors": [
                {
                    "vendor_id": "vendor",
                    "inbound": {"type": "s3", "s3_prefix": prefix},
                    "parser": {"format": "csv"},
                }
            ],
            "pricing": {
                "base_margin_pct": "0.20",
                "min_price": "1.00",
                "shipping_handling_flat": "4.95",
            },
            "merge": {"strategy": "best_offer"},
            "output": {"columns": ["sku", "quantity_available", "price"]},
        }

    def link(self, tenant_id: str, kind: str) -> str:
        """Create a link to a tenant's feed or to a supplier's page; return its path."""
        until = datetime.now(UTC) + timedelta(days=9)
        order = {"name": "a link", "expires_at": until.isoformat()}
        if kind == "supplier":
            order["vendor_id"] = "vendor"
        response = self.by_key(tenant_id).post(
            f"/v1/tenants/{tenant_id}/{kind}-links", json=order
        )
        return urlsplit(response.raise_for_status().json()["url"]).path

    def revoked_link(self) -> str:
        """Return the path of a link that was good a moment ago."""
        path = self.link(LINKED, "feed")
        self.anybody.head(path).raise_for_status()
        place = f"/v1/tenants/{LINKED}/feed-links"
        links = self.by_key(LINKED).get(place).json()["feed_links"]
        newest_id = links[-1]["link_id"]
        self.by_key(LINKED).delete(f"{place}/{newest_id}").raise_for_status()
        return path

    def close(self) -> None:
        """Close the connections."""
        for client in (self.anybody, self._admin, *self._keys.values()):
            client.close()

    def _furnished(self, tenant_id: str) -> httpx.Client:
        """Give a tenant a config, an upload, a feed and a key; return a client with the key."""
        place = f"/v1/tenants/{tenant_id}"
        config = self.config_of(tenant_id)
        self._admin.put(f"{place}/config", json=config).raise_for_status()
        self.platform.objects.put(
            f"tenants/{tenant_id}/inbound/vendor/feed.csv", _UPLOAD
        )
        self._publish(tenant_id)
        key = self._admin.post(f"{place}/api-keys").raise_for_status()
        return _client(self.url, key.json()["api_key"])

    def _publish(self, tenant_id: str) -> None:
        run = self._admin.post("/v1/runs", json={"tenant_id": tenant_id})
        run_id = run.raise_for_status().json()["run_id"]
        ledger = self.platform.ledger
        ledger.dispatch(run_id, 1, message_id="m", receipt_handle="h")
        record = ledger.claim(run_id, 1, "dagster-run")
        feed = b"A-1,10.00\n" * (_FEED_BYTES // 10)
        key = feed_copy_key(record, "csv")
        self.platform.objects.put(key, feed)
        sha256 = hashlib.sha256(feed).hexdigest()
        outcome = Outcome(artifacts={}, feed_key=key, feed_sha256=sha256)
        ledger.succeed(record.fence, outcome)


def _client(url: str, key: str | None = None) -> httpx.Client:
    headers = {} if key is None else {"X-API-Key": key}
    return httpx.Client(
        base_url=url,
        headers=headers,
        trust_env=False,
        timeout=600,
        limits=httpx.Limits(max_connections=300),
    )


@contextmanager
def asking(client: httpx.Client, path: str) -> Iterator[list[float]]:
    """Ask for a path without a pause; yield the seconds that each answer took."""
    waits: list[float] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            began = time.perf_counter()
            client.get(path)
            waits.append(time.perf_counter() - began)
            is_over.wait(0.1)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield waits
    finally:
        is_over.set()
        thread.join()


def at_once(times: int, threads: int, act: Callable[[int], int]) -> list[int]:
    """Do something so many times in some threads; return the statuses."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(act, range(times)))


# --- the figures --------------------------------------------------------------------------------


def figures(tenants: Tenants) -> Iterator[Goal]:
    """Yield each figure; wrong links come last, for they fill their address's count."""
    yield sign_in_forms(tenants)
    yield slow_readers(tenants)
    yield requests_over_links(tenants)
    yield one_form_again(tenants)
    yield a_supplier_s_check(tenants)
    yield from wrong_links_and_cookies(tenants)


def sign_in_forms(tenants: Tenants) -> Goal:
    """Send sign-in forms of 1 MiB without a key, and measure the API's health meanwhile."""
    body = b"a&" * (1 << 19)

    def send(_: int) -> int:
        return tenants.anybody.post("/app/sign-in", content=body).status_code

    with asking(tenants.by_key(CALM), "/v1/health") as waits:
        at_once(FORMS, FORMS_AT_ONCE, send)
    return Goal(
        f"health beside {FORMS} sign-in forms of 1 MiB, worst",
        MAX_HEALTH_SECONDS,
        max(waits),
        "s",
    )


def slow_readers(tenants: Tenants) -> Goal:
    """Read one tenant's links slowly, and count another tenant's reads that are refused."""
    paths = [tenants.link(LINKED, "feed") for _ in range(FEED_LINKS)]
    calm_path = tenants.link(CALM, "feed")
    headers = {"Range": "bytes=0-9"}
    with _slow_readers(tenants.url, paths):
        statuses = [
            tenants.anybody.get(calm_path, headers=headers).status_code
            for _ in range(READS)
        ]
    refused = sum(status != httpx.codes.PARTIAL_CONTENT for status in statuses)
    return Goal(
        f"another tenant's reads refused beside {SLOW_READERS} slow readers",
        0,
        refused,
        f"of {READS}",
    )


@contextmanager
def _slow_readers(url: str, paths: list[str]) -> Iterator[None]:
    """Read feeds at 100 KB/s, each anew where its connection is refused or closed."""
    place = urlsplit(url)
    is_over = threading.Event()

    def read(number: int) -> None:
        path = paths[number % len(paths)]
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        while not is_over.wait(_SLOW_PAUSE):
            address = (place.hostname, place.port)
            with socket.create_connection(address, 30) as line:
                line.sendall(request)
                while line.recv(_SLOW_BYTES) and not is_over.wait(_SLOW_PAUSE):
                    pass

    threads = [
        threading.Thread(target=read, args=(number,))
        for number in range(SLOW_READERS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(2)  # until all that are let in are reading
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def requests_over_links(tenants: Tenants) -> Goal:
    """Open suppliers' pages of one tenant all at once, and measure another tenant's GET."""
    paths = [tenants.link(LINKED, "supplier") for _ in range(SUPPLIER_LINKS)]
    for path in paths:
        tenants.anybody.get(path)

    def send(number: int) -> int:
        return tenants.anybody.get(paths[number % len(paths)]).status_code

    with asking(tenants.by_key(CALM), f"/v1/tenants/{CALM}") as waits:
        at_once(REQUESTS, REQUESTS, send)
    return Goal(
        f"another tenant's GET beside {REQUESTS} requests over one tenant's links, worst",
        MAX_SECONDS,
        max(waits),
        "s",
    )


def one_form_again(tenants: Tenants) -> Goal:
    """Send one form of a supplier's page again and again, and count what is taken in."""
    path = tenants.link(CALM, "supplier")
    page = tenants.anybody.get(path).text
    action = html.unescape(_ACTION.findall(page)[0])
    fields = {
        name: html.unescape(value) for name, value in _FIELD.findall(page)
    }
    for _ in range(SENT_AGAIN):
        httpx.post(
            action, data=fields, files={"file": _UPLOAD}, trust_env=False
        )
    UploadTick(tenants.platform).run(poll_seconds=2)
    link = tenants.platform.links.of_tenant(CALM, LinkKind.SUPPLIER)[-1]
    arrived = tenants.platform.links.upload_count(
        CALM, link.link_id, datetime.now(UTC)
    )
    has_form = "<form" in tenants.anybody.get(path).text
    # A page that still has its form would take more.
    counted = SENT_AGAIN if has_form else arrived
    return Goal(
        f"files that count of one form sent {SENT_AGAIN} times",
        MAX_UPLOADS,
        counted,
        "files",
    )


def a_supplier_s_check(tenants: Tenants) -> Goal:
    """Check a supplier's file beside two tenants that check without a pause."""
    path = f"{tenants.link(CALM, 'supplier')}/check"
    is_over = threading.Event()

    def check(tenant_id: str) -> None:
        config = tenants.config_of(tenant_id)
        place = f"/v1/tenants/{tenant_id}/config:check"
        while not is_over.is_set():
            tenants.by_key(tenant_id).post(place, json=config)

    threads = [
        threading.Thread(target=check, args=(tenant_id,))
        for tenant_id in (*BUSY, *BUSY)
    ]
    for thread in threads:
        thread.start()
    try:
        began = time.perf_counter()
        answer = tenants.anybody.get(path)
        seconds = time.perf_counter() - began
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    return Goal(
        "a supplier's check beside two tenants that check without a pause",
        MAX_CHECK_SECONDS,
        seconds if answer.is_success else float("inf"),
        "s",
    )


def wrong_links_and_cookies(tenants: Tenants) -> Iterator[Goal]:
    """Use a revoked link, then the cookie of no session, and count what is looked up."""
    path = tenants.revoked_link()

    def read(_: int) -> int:
        return tenants.anybody.get(path).status_code

    statuses = at_once(WRONG, 1, read)
    yield Goal(
        f"looked up of {WRONG} requests with a revoked link",
        MAX_WRONG,
        sum(status != _TOO_MANY for status in statuses),
        "requests",
    )
    headers = {"Cookie": f"relay={'x' * 43}"}

    def visit(_: int) -> int:
        place = f"/app/tenants/{LINKED}"
        return tenants.anybody.get(place, headers=headers).status_code

    statuses = at_once(WRONG, 1, visit)
    yield Goal(
        f"looked up of {WRONG} requests with the cookie of no session, after those",
        MAX_WRONG,
        sum(status != _TOO_MANY for status in statuses),
        "requests",
    )
