"""What hostile requests cost the API and another caller: `make bench-hostile-requests`.

A real process of the API on embedded AWS answers one request of each kind first. Then come the
requests below, each with a tenant's key, one after the other, some many times at once; meanwhile
another tenant asks for its config, and somebody for the API's health, without a pause. Told of
each: what was answered, what the process grew by at the most, the other caller's slowest answer,
and that of health. Exit status 1 where something is over the contract's limits.
"""

from __future__ import annotations

import argparse
import io
import json
import socket
import sys
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks import tables
from benchmarks.api_bench import KEY, ApiStack, api_platform
from benchmarks.goals import Goal
from benchmarks.hostile_links import Tenants, figures
from relay_core.domain.codes import RunStatus
from relay_core.domain.records import VendorResult
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.dynamodb.run_writes import RecordChange, RunItemWrites
from relay_dagster.devstack.processes import API
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.runs.model import RunRecord
from relay_dagster.tenants.scopes import DEFAULT_SCOPES, Scope
from relay_dagster.wiring import Platform

HOSTILE = "hostile"
OTHER = "other"
WIDE = "wide"
REVOKED = "revoked"
"""A tenant with all that one may have; a key of its that is good no more."""
VENDORS = 20
LARGE_RUNS = 20
MAX_VENDORS = 200
RUNS_OF_SOME = 50
BURST = 100
WIDE_RUN = "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"
MAX_GROWTH_MIB = 64
MAX_SECONDS = 1
PAUSE_SECONDS = 0.005
HALF_HEAD = "half a head"
"""In place of a method: a head that never ends."""
BOMB = "bomb"
"""The vendor whose workbook holds a text of 1.5 GB."""
ACCEPTS = 8
QUARANTINED = 1_000_000
"""Twice the requests that a tenant may have in work; the SKUs that `WIDE_RUN` quarantined."""
HALF_HEADS = 512
PATIENCE_SECONDS = 30.0
_MIB = 1 << 20
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Attack:
    """One request: what is hostile about it, what is sent, by whom, and how many times at once."""

    name: str
    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    caller: str = HOSTILE
    times: int = 1


@dataclass(frozen=True, slots=True)
class Harm:
    """What an attack did."""

    name: str
    statuses: str
    answer_bytes: int
    seconds: float
    growth_mib: float
    slowest_seconds: float
    health_seconds: float

    @property
    def is_too_much(self) -> bool:
        """Whether it is more than the contract allows."""
        return (
            self.growth_mib > MAX_GROWTH_MIB
            or self.slowest_seconds > MAX_SECONDS
            or self.answer_bytes > DEFAULT_API_LIMITS.answer_bytes
        )

    def row(self) -> tuple[str, ...]:
        """Return the row of the table."""
        return (
            self.name,
            self.statuses,
            f"{self.answer_bytes:,}",
            f"{self.seconds:.2f}",
            f"{self.growth_mib:.1f}",
            f"{self.slowest_seconds:.2f}",
            f"{self.health_seconds:.2f}",
        )


# --- what is sent -------------------------------------------------------------------------------


def config_of(
    tenant_id: str, vendors: int = VENDORS, **parser: Any
) -> dict[str, Any]:
    """Return a config of so many vendors."""
    return {
        "tenant_id": tenant_id,
        "timezone": "UTC",
        "default_currency": "USD",
        "vendors": [
            {
                "vendor_id": f"vendor_{number}",
                "inbound": {
                    "type": "s3",
                    "s3_prefix": f"tenants/{tenant_id}/inbound/vendor_{number}/",
                },
                "parser": {"format": "csv", **parser},
            }
            for number in range(vendors)
        ],
        "pricing": {
            "base_margin_pct": "0.20",
            "min_price": "1.00",
            "shipping_handling_flat": "4.95",
        },
        "merge": {"strategy": "best_offer"},
        "output": {"columns": ["sku", "quantity_available", "price"]},
    }


def _order(**changes: Any) -> bytes:
    return _json(
        {"tenant_id": HOSTILE, "run_type": "inventory_sync", **changes}
    )


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def attacks() -> Iterator[Attack]:
    """Yield them: those on configs, on orders, on lists, on heads."""
    repeated = b",".join([b'"a":1'] * 3000)
    configs = {
        "a list 940 deep of 150,000 items": b'{"a":'
        + b"[" * 940
        + b",".join([b"0"] * 150_000)
        + b"]" * 940
        + b"}",
        "a key of 100,000 characters over 3,000 twice": b'{"%s":{%s}}'
        % (b"k" * 100_000, repeated),
        "1 MiB of repeated keys": b"{" + b",".join([b'"a":1'] * 174_000) + b"}",
        "1 MiB of empty lists": b'{"vendors":['
        + b",".join([b"[]"] * 340_000)
        + b"]}",
        "1 MiB of brackets": b"[" * _MIB,
        "19,000 unknown keys": _json(
            {f"unknown_{number}": 0 for number in range(19_000)}
        ),
        "2,300 vendors": _json(config_of(HOSTILE, 2300)),
        "200 vendors, 20 formats each": _json(
            config_of(
                HOSTILE,
                200,
                timestamp_formats=[f"%Y.%m.%d {n}" for n in range(20)],
            )
        ),
        "1,000 formats": _json(
            config_of(
                HOSTILE, timestamp_formats=[f"%Y.%m.%d {n}" for n in range(50)]
            )
        ),
    }
    for name, body in configs.items():
        yield Attack(
            f"PUT: {name}", "PUT", f"/v1/tenants/{HOSTILE}/config", body, _JSON
        )
        yield Attack(
            f"check: {name}",
            "POST",
            f"/v1/tenants/{HOSTILE}/config:check",
            body,
            _JSON,
        )
    check = _json(config_of(HOSTILE))
    yield Attack(
        "check: 20 uploads",
        "POST",
        f"/v1/tenants/{HOSTILE}/config:check",
        check,
        _JSON,
    )
    bomb = config_of(HOSTILE, 1)
    prefix = f"tenants/{HOSTILE}/inbound/{BOMB}/"
    bomb["vendors"][0] |= {
        "inbound": {"type": "s3", "s3_prefix": prefix},
        "parser": {"format": "xlsx"},
    }
    yield Attack(
        "check: a workbook that holds 1.5 GB",
        "POST",
        f"/v1/tenants/{HOSTILE}/config:check",
        _json(bomb),
        _JSON,
    )
    orders = {
        "3,000 unknown vendors": _order(
            vendors=[f"unknown_{n}" for n in range(3000)]
        ),
        "200 unknown vendors": _order(
            vendors=[f"unknown_{n}" for n in range(200)]
        ),
        "20,000 bad ids": _order(
            vendors=[f"bad id {n}" for n in range(20_000)]
        ),
        "19,000 unknown keys": _order(
            **{f"unknown_{n}": 0 for n in range(19_000)}
        ),
        "1 MiB of unknown keys": _order(**{f"u{n}": 0 for n in range(90_000)}),
        "1 MiB of empty lists": _order(vendors=[[]] * 340_000),
        "1 MiB of brackets": b"[" * _MIB,
    }
    for name, body in orders.items():
        yield Attack(f"order: {name}", "POST", "/v1/runs", body, _JSON)
    yield Attack("list: runs of 150 KB", "GET", "/v1/runs?limit=100")
    yield Attack(
        "list: a status that no run has",
        "GET",
        "/v1/runs?limit=100&status=RUNNING",
    )
    yield Attack(
        "a head of 60 KB",
        "GET",
        "/v1/runs?limit=1",
        headers={"X-Filler": "a" * 60_000},
    )
    yield Attack(
        "a head of 8 MiB",
        "GET",
        "/v1/runs",
        headers={"X-Filler": "a" * 8 * _MIB},
    )
    headers = {f"X-Filler-{number}": "a" * 40 for number in range(1500)}
    yield Attack("1,500 headers", "GET", "/v1/runs", headers=headers)
    yield Attack(
        "a body of 30 MiB", "POST", "/v1/runs", b" " * 30 * _MIB, _JSON
    )
    yield from bursts()


def bursts() -> Iterator[Attack]:
    """Yield what one tenant sends many times at once."""
    place = f"/v1/tenants/{WIDE}"
    options = {"caller": WIDE, "times": BURST}
    for name, path in {
        "a config of 200 vendors, 20 formats each": place,
        "status behind 50 runs of some vendors": f"{place}/status",
        "links to 600 artifacts": f"/v1/runs/{WIDE_RUN}/artifacts",
    }.items():
        yield Attack(f"{BURST} at once: {name}", "GET", path, **options)
    order = _json({"skus": ["Z"], "reason": "seen"})
    yield Attack(
        f"{ACCEPTS} at once: a SKU that {QUARANTINED:,} quarantined lack",
        "POST",
        f"/v1/runs/{WIDE_RUN}/accept",
        order,
        _JSON,
        WIDE,
        ACCEPTS,
    )
    key = _json({"scopes": ["read"]})
    yield Attack(
        "64 keys at once", "POST", f"{place}/api-keys", key, _JSON, WIDE, 64
    )
    yield Attack(
        "300 at once: a revoked key", "GET", place, caller=REVOKED, times=300
    )
    yield Attack(
        f"{HALF_HEADS} half heads of one address",
        HALF_HEAD,
        place,
        times=HALF_HEADS,
    )


# --- the stage ----------------------------------------------------------------------------------


class Callers:
    """The tenants' clients, over one API."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._admin = self._client(KEY)
        self._clients = {
            name: self._furnished(name) for name in (HOSTILE, OTHER)
        }
        formats = [f"%Y.%m.%d {n}" for n in range(20)]
        wide = config_of(WIDE, MAX_VENDORS, timestamp_formats=formats)
        self._clients[WIDE] = self._furnished(WIDE, wide)
        self._clients[REVOKED] = self._revoked(WIDE)

    def _client(self, key: str) -> httpx.Client:
        headers = {"X-API-Key": key}
        limits = httpx.Limits(max_connections=300)
        return httpx.Client(
            base_url=self._url,
            headers=headers,
            trust_env=False,
            timeout=600,
            limits=limits,
        )

    def _furnished(
        self, tenant_id: str, config: dict[str, Any] | None = None
    ) -> httpx.Client:
        """Give a tenant a config and a key, and return a client with it."""
        place = f"/v1/tenants/{tenant_id}"
        document = config or config_of(tenant_id)
        self._admin.put(f"{place}/config", json=document).raise_for_status()
        order = {"scopes": [*DEFAULT_SCOPES, Scope.KEYS]}
        return self._client(
            self._admin.post(f"{place}/api-keys", json=order).json()["api_key"]
        )

    def _revoked(self, tenant_id: str) -> httpx.Client:
        """Return a client with a key that was good a moment ago."""
        place = f"/v1/tenants/{tenant_id}/api-keys"
        key = self._admin.post(place).json()
        client = self._client(key["api_key"])
        client.get(f"/v1/tenants/{tenant_id}").raise_for_status()
        self._admin.delete(f"{place}/{key['key_id']}").raise_for_status()
        return client

    def close(self) -> None:
        """Close the connections."""
        for client in (self._admin, *self._clients.values()):
            client.close()

    def warm_up(self) -> None:
        """Have one request of each kind answered."""
        for name in (HOSTILE, OTHER):
            client = self._clients[name]
            place = f"/v1/tenants/{name}"
            run = client.post(
                "/v1/runs",
                json={"tenant_id": name, "run_type": "inventory_sync"},
            )
            run_place = f"/v1/runs/{run.json()['run_id']}"
            for path in (
                place,
                f"{place}/versions",
                f"{place}/feed",
                "/v1/runs",
                run_place,
            ):
                client.get(path)
            for path in (
                f"{run_place}/artifacts",
                "/v1/health",
                "/v1/ready",
                "/openapi.json",
            ):
                client.get(path)
            client.post(f"{run_place}/cancel")
            client.put(f"{place}/config", json=config_of(name))
            client.post(f"{place}/config:check", json=config_of(name))
            client.post("/v1/runs", json={"bad": 1})

    def send(self, attack: Attack) -> tuple[str, int]:
        """Send an attack; return the answers' statuses, and the length of the longest."""
        send = self._send_half if attack.method == HALF_HEAD else self._send
        with ThreadPoolExecutor(attack.times) as pool:
            answers = list(
                pool.map(lambda _: send(attack), range(attack.times))
            )
        counts = Counter(str(status or "closed") for status, _ in answers)
        only = attack.times == 1
        summary = ", ".join(
            status if only else f"{n} x {status}"
            for status, n in sorted(counts.items())
        )
        return summary, max(length for _, length in answers)

    def _send(self, attack: Attack) -> tuple[int, int]:
        """Return status and length of an answer, 0 where there is none."""
        try:
            answer = self._clients[attack.caller].request(
                attack.method,
                attack.path,
                content=attack.body,
                headers=attack.headers,
            )
        except httpx.TransportError:
            return 0, 0
        return answer.status_code, len(answer.content)

    def _send_half(self, attack: Attack) -> tuple[int, int]:
        """Return status and length of the answer to a head that ends before its end."""
        url = urlsplit(self._url)
        try:
            with socket.create_connection(
                (url.hostname, url.port), PATIENCE_SECONDS
            ) as line:
                line.sendall(
                    f"GET {attack.path} HTTP/1.1\r\nHost: x\r\n".encode()
                )
                answer = b"".join(iter(lambda: line.recv(_MIB), b""))
        except OSError:
            return 0, 0
        return int(answer.split(maxsplit=2)[1]) if answer else 0, len(answer)

    @contextmanager
    def asking(self) -> Iterator[tuple[list[float], list[float]]]:
        """Ask as the other tenant, and for health, without a pause; yield how long each took."""
        waits: tuple[list[float], list[float]] = ([], [])
        over = threading.Event()

        def ask(path: str, seconds: list[float]) -> None:
            while not over.is_set():
                began = time.perf_counter()
                answer = self._clients[OTHER].get(path)
                seconds.append(time.perf_counter() - began)
                # The rate limit of the other caller itself.
                if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    over.wait(float(answer.headers["Retry-After"]))
                over.wait(PAUSE_SECONDS)

        paths = (f"/v1/tenants/{OTHER}", "/v1/health")
        threads = [
            threading.Thread(target=ask, args=path_waits)
            for path_waits in zip(paths, waits, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            yield waits
        finally:
            over.set()
            for thread in threads:
                thread.join()


class Memory:
    """What the API's process holds, in MiB."""

    def __init__(self, stack: ApiStack) -> None:
        process = stack.services[API].process
        self._place = Path(f"/proc/{process.pid if process else 'self'}")

    def start_over(self) -> float:
        """Return what it holds now, and forget the most that it has held."""
        (self._place / "clear_refs").write_text("5", "ascii")
        return self._mib("VmRSS")

    def most(self) -> float:
        """Return the most that it has held since."""
        return self._mib("VmHWM")

    def _mib(self, field: str) -> float:
        status = (self._place / "status").read_text("ascii")
        line = next(
            line for line in status.splitlines() if line.startswith(f"{field}:")
        )
        return int(line.split()[1]) / 1024


def workbook_bomb() -> bytes:
    """Return a workbook of 1.5 MB whose one shared text has 1.5 GB."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = (
        "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    )
    related = "http://schemas.openxmlformats.org/package/2006/relationships"
    target = f'<Relationship Id="{{0}}" Type="{office}/{{1}}" Target="{{2}}"/>'.format
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": target("a", "officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="s" sheetId="1" r:id="s"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": target(
            "s", "worksheet", "worksheets/1.xml"
        )
        + target("t", "sharedStrings", "sharedStrings.xml"),
        "xl/worksheets/1.xml": f'<worksheet xmlns="{main}"><sheetData><row r="1">'
        '<c r="A1" t="s"><v>0</v></c></row></sheetData></worksheet>',
    }
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
            for name, text in parts.items():
                whole = (
                    f'<Relationships xmlns="{related}">{text}</Relationships>'
                )
                book.writestr(name, whole if name.endswith(".rels") else text)
            with book.open("xl/sharedStrings.xml", "w") as shared:
                shared.write(f'<sst xmlns="{main}"><si><t>'.encode())
                for _ in range(1500):
                    shared.write(b"x" * 1_000_000)
                shared.write(b"</t></si></sst>")
        return file.getvalue()


def furnish(platform: Platform) -> None:
    """Store what attacks lead to: wide uploads, and runs whose records are long."""
    header = "sku,quantity_available," + ",".join(
        f"column {n} {'x' * 40}" for n in range(900)
    )
    upload = f"{header}\n".encode() + b"A-1,5,4.20\n" * 2000
    for number in range(VENDORS):
        platform.objects.put(
            f"tenants/{HOSTILE}/inbound/vendor_{number}/feed.csv", upload
        )
    platform.objects.put(
        f"tenants/{HOSTILE}/inbound/{BOMB}/feed.xlsx", workbook_bomb()
    )
    now = datetime.now(UTC)
    artifacts = {f"inbound_vendor_{number}": "k" * 200 for number in range(600)}
    # moto copies all that it looks through: more of them would slow it down, not the API.
    for _ in range(LARGE_RUNS):
        record = RunRecord(
            run_id=str(uuid.uuid4()),
            tenant_id=HOSTILE,
            requested_at=now,
            artifacts=artifacts,
        )
        platform.runs.commit(RecordChange(None, record))
    furnish_wide(platform, now)


def furnish_wide(platform: Platform, now: datetime) -> None:
    """Store the runs of the tenant with all that one may have: a whole one, and many of some."""
    vendors = [f"vendor_{number}" for number in range(MAX_VENDORS)]
    kinds = (
        "inbound/{}/feed.csv",
        "normalized/{}/normalized.csv",
        "inbound/{}/sku_map/sku_map.csv",
    )
    keys = ArtifactKeys(WIDE_RUN, WIDE)
    with ThreadPoolExecutor(8) as pool:
        for kind in kinds:
            places = [
                f"{keys.prefix}{kind.format(vendor)}" for vendor in vendors
            ]
            list(pool.map(lambda key: platform.objects.put(key, b"x"), places))
    quarantine = io.BytesIO()
    quarantine.write(b"sku,action,price_published,price_computed,vendor_id,")
    quarantine.write(b"row_number,suspect_since\n")
    for number in range(QUARANTINED):
        quarantine.write(b"S%07d,keep,131.99,13.19,v,2,\n" % number)
    platform.objects.put(keys.quarantine, quarantine.getvalue())
    artifacts = {f"normalized_{vendor}": "k" * 200 for vendor in vendors}
    results = tuple(
        VendorResult(vendor, "found", now, 1, 5, 1, 4) for vendor in vendors
    )
    ending = {"tenant_id": WIDE, "status": RunStatus.SUCCEEDED}
    whole = RunRecord(
        run_id=WIDE_RUN,
        requested_at=now,
        published_at=now,
        vendor_results=results,
        **ending,
    )
    writes = RunItemWrites(platform.database).vendor_results(whole)
    platform.runs.commit(RecordChange(None, whole), writes)
    for number in range(RUNS_OF_SOME):
        record = RunRecord(
            run_id=str(uuid.uuid4()),
            requested_at=now + timedelta(seconds=number + 1),
            vendors=tuple(vendors[:100]),
            artifacts=artifacts,
            **ending,
        )
        platform.runs.commit(RecordChange(None, record))


def measure(stack: ApiStack, attack: Attack, callers: Callers) -> Harm:
    """Send an attack, and return what it did."""
    memory = Memory(stack)
    before = memory.start_over()
    with callers.asking() as waits:
        began = time.perf_counter()
        statuses, length = callers.send(attack)
        seconds = time.perf_counter() - began
    growth = memory.most() - before
    return Harm(
        attack.name, statuses, length, seconds, growth, *map(max, waits)
    )


def harms_of(chosen: Iterable[Attack]) -> list[Harm]:
    """Start everything, and return what each attack does to it."""
    with api_platform() as (stack, platform, _):
        return harms_on(stack, platform, chosen)


def harms_on(
    stack: ApiStack, platform: Platform, chosen: Iterable[Attack]
) -> list[Harm]:
    """Return what each attack does to a stack."""
    furnish(platform)
    with closing(Callers(stack.url(API))) as callers:
        callers.warm_up()
        return [measure(stack, attack, callers) for attack in chosen]


def link_figures() -> list[Goal]:
    """Start everything, and return what hostile links, cookies and forms do to others."""
    with (
        api_platform() as (stack, platform, _),
        closing(Tenants(stack.url(API), KEY, platform)) as tenants,
    ):
        return list(figures(tenants))


def main() -> int:
    """Send them all once and print the tables; exit status 1 where one did too much."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument(
        "--links", action="store_true", help="only links, cookies and forms"
    )
    only_links = options.parse_args().links
    harms = [] if only_links else harms_of(attacks())
    reached = link_figures()
    print(f"{tables.machine()}\n")
    header = (
        "",
        "status",
        "answer bytes",
        "s",
        "growth MiB",
        "other's slowest s",
        "health s",
    )
    if harms:
        print(f"{tables.table(header, [harm.row() for harm in harms])}\n")
    print(tables.goals(reached))
    too_much = [harm.name for harm in harms if harm.is_too_much]
    too_much += [goal.what for goal in reached if not goal.met]
    print("\nover the limits: " + ("; ".join(too_much) or "none"))
    return int(bool(too_much))


if __name__ == "__main__":
    sys.exit(main())
