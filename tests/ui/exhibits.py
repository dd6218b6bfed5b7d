"""What the pictures show: tenants with a history, an upload, a failed run, one that is held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from integration import sample_tenant
from integration.installation import RUN_SECONDS, Installation
from integration.waiting import wait_for
from relay_core.config import load_config, parse_document
from relay_core.samples import sample_config_text, sample_feeds, sample_sku_maps
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.devstack.processes import API, WEBSERVER
from relay_dagster.runs.ports import utc_now
from support.builders import feed, part_document
from support.sftp_servers import PASSWORD, SftpServer, sftp_server

HISTORY = "acme_parts"
FAILED = "north_tools"
REFUSED = "old_town"
HELD = "south_yard"
RELEASED = "west_pier"
QUARANTINED = "east_mill"
UPLOADED = "iron_bridge"
OVERRIDDEN_SKU = "SKU-0008"
_MARKETPLACE = {
    "channel_id": "marketplace",
    "when": {"vendors": ["north"]},
    "price": {"pct": "0.08"},
    "output": {
        "columns": [
            {"column": "sku", "as": "Article"},
            {"column": "price", "as": "Price"},
            {"column": "quantity_available", "as": "Stock"},
        ]
    },
}
# The part of each vendor's records that it sends, run by run: numbers that move.
PARTS = (0.55, 0.7, 0.65, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Exhibits:
    """An installation after these runs; each run is as the API shows it."""

    relay: Installation
    history: tuple[Mapping[str, Any], ...]
    uploaded: Mapping[str, Any]
    failed: Mapping[str, Any]
    refused: Mapping[str, Any]
    held: Mapping[str, Any]
    released: Mapping[str, Any]
    quarantined: Mapping[str, Any]

    @property
    def dagster(self) -> str:
        """The address of Dagster's UI."""
        return self.relay.stack.url(WEBSERVER)

    @property
    def api(self) -> str:
        """The address of the API."""
        return self.relay.stack.url(API)

    def key_of(self, tenant: str) -> str:
        """Return a new key of a tenant, which signs in to its pages."""
        response = self.relay.http.post(f"/v1/tenants/{tenant}/api-keys")
        return str(response.json()["api_key"])

    def supplier_page(self, tenant: str, vendor: str) -> str:
        """Return the address of a new page for a vendor's supplier."""
        until = (utc_now() + timedelta(days=90)).isoformat()
        order = {
            "vendor_id": vendor,
            "name": "Anna of North",
            "expires_at": until,
        }
        response = self.relay.http.post(
            f"/v1/tenants/{tenant}/supplier-links", json=order
        )
        return str(response.json()["url"])

    @property
    def latest(self) -> Mapping[str, Any]:
        """The latest run of the tenant with a history."""
        return self.history[-1]


@contextmanager
def exhibited(home: Path) -> Iterator[Exhibits]:
    """Start the stack in an empty folder, do the runs, and end everything."""
    relay = Installation(home)
    relay.stack.environment["RELAY_PUBLIC_URL"] = relay.stack.url(API)
    shop_folder = home / "shop"
    (shop_folder / "in").mkdir(parents=True)
    with relay, sftp_server(shop_folder) as shop:
        history = tuple(_run_history(relay))
        uploaded = _uploaded(relay, shop)
        held = _held(relay, HELD)
        released = _held(relay, RELEASED)
        _release_and_roll_back(relay, released)
        quarantined = _quarantined(relay)
        failed = _ended(relay, _start_failed(relay))
        # The checks' page shows the latest run.
        refused = _ended(relay, _start_refused(relay))
        yield Exhibits(
            relay,
            history,
            uploaded,
            failed,
            refused,
            held,
            released,
            quarantined,
        )


def _run_history(relay: Installation) -> Iterator[Mapping[str, Any]]:
    config = load_config(
        parse_document(sample_config_text(HISTORY), format="yaml")
    )
    _store(relay, HISTORY, config.to_document())
    maps = sample_sku_maps(HISTORY)
    for vendor in config.vendors:
        if vendor.sku_map is not None and vendor.sku_map.s3_key:
            relay.aws.objects.put(
                vendor.sku_map.s3_key, maps[vendor.vendor_id][1]
            )
    for part in PARTS:
        for vendor_id, (name, data) in sample_feeds(HISTORY).items():
            encoding = config.vendor(vendor_id).parser.encoding
            relay.upload(
                HISTORY, vendor_id, _first_part(data, encoding, part), name
            )
        yield _ended(relay, relay.post(HISTORY))


def _uploaded(relay: Installation, shop: SftpServer) -> Mapping[str, Any]:
    """Return a run that nobody asked for: uploads have started it.

    Its tenant has a channel, a delivery that has arrived, and a vendor of two files.
    """
    secret = SecretValue(PASSWORD, f"127.0.0.1:{shop.port}")
    relay.aws.secrets.put(UPLOADED, "bazaar", secret)
    document = sample_tenant.config_document(
        UPLOADED,
        triggers={"on_upload": {"quiet_seconds": 5}},
        channels=[_MARKETPLACE],
        deliveries=[
            {
                "delivery_id": "bazaar",
                "channel_id": "marketplace",
                "url": shop.url("/in/"),
                "secret": "bazaar",
                "host_key": shop.host_line,
                "file_name": "stock.csv",
            }
        ],
    )
    _store(relay, UPLOADED, document)
    for vendor, data in sample_tenant.feeds().items():
        relay.upload(UPLOADED, vendor, data)
    (record,) = wait_for(
        "uploads start a run",
        lambda: relay.aws.runs.list_runs(UPLOADED).items,
        within=RUN_SECONDS,
    )
    final_record = _ended(relay, record.run_id)
    wait_for(
        "the feed is delivered",
        lambda: [*(shop.root / "in").glob("stock.csv")],
        within=90,
    )
    prices = f"tenants/{UPLOADED}/inbound/north_prices/"
    relay.aws.objects.put(
        f"{prices}prices.csv", b"sku,cost\nSKU-0001,1.10\nSKU-0002,2.20\n"
    )
    document["vendors"][0]["parts"] = [
        part_document(inbound={"type": "s3", "s3_prefix": prices})
    ]
    _store(relay, UPLOADED, document)
    return final_record


def _start_failed(relay: Installation) -> str:
    """Start a run of a feed that is not in the encoding that its config names."""
    _store(relay, FAILED, sample_tenant.config_document(FAILED))
    north, south = sample_tenant.VENDORS
    relay.upload(
        FAILED,
        north,
        feed(
            'A-1,5,10.00,"Schlüssel",2026-02-01',
            header=sample_tenant.HEADER,
            encoding="cp1252",
        ),
    )
    relay.upload(FAILED, south, sample_tenant.feeds()[south])
    return relay.post(FAILED)


def _start_refused(relay: Installation) -> str:
    """Start a run of feeds with more faults than its limits allow."""
    _store(relay, REFUSED, sample_tenant.config_document(REFUSED))
    for vendor, data in sample_tenant.feeds().items():
        faults = b"BAD-2,1,one,broken,2026-02-01\nBAD-3,1,2.00,broken,yesterday\n,5,1.00,none,\n"
        relay.upload(REFUSED, vendor, data + faults)
    return relay.post(REFUSED)


def _held(relay: Installation, tenant: str) -> Mapping[str, Any]:
    """Return a run whose feed is held back: a vendor has sent one row of many."""
    _store(relay, tenant, sample_tenant.config_document(tenant))
    for vendor, data in sample_tenant.feeds().items():
        relay.upload(tenant, vendor, data)
    _ended(relay, relay.post(tenant))
    few = feed("SKU-0001,5,9.00,few,2026-02-01", header=sample_tenant.HEADER)
    relay.upload(tenant, sample_tenant.VENDORS[0], few)
    return _ended(relay, relay.post(tenant))


def _quarantined(relay: Installation) -> Mapping[str, Any]:
    """Return a run that keeps some prices as they were, of a tenant with an override."""
    guards = {"quarantine": {}}
    _store(
        relay,
        QUARANTINED,
        sample_tenant.config_document(QUARANTINED, guards=guards),
    )
    for vendor, data in sample_tenant.feeds().items():
        relay.upload(QUARANTINED, vendor, data)
    _ended(relay, relay.post(QUARANTINED))
    override = {
        "sku": OVERRIDDEN_SKU,
        "price": "24.90",
        "note": "the autumn catalog",
    }
    put = f"/v1/tenants/{QUARANTINED}/overrides:put"
    assert (
        relay.http.post(put, json={"overrides": [override]}).status_code == 200
    )
    dearer = sample_tenant.feeds()[sample_tenant.VENDORS[0]].replace(
        b",4.", b",490."
    )
    relay.upload(QUARANTINED, sample_tenant.VENDORS[0], dearer)
    return _ended(relay, relay.post(QUARANTINED))


def _release_and_roll_back(
    relay: Installation, held: Mapping[str, Any]
) -> None:
    """Release what a run holds back, and publish the feed before it again, an event each."""
    feed_path = f"/v1/tenants/{held['tenant_id']}/feed"
    hold = held["hold"]
    guards = sorted(
        {guard["guard"] for guard in hold["guards"] if guard["tripped"]}
    )
    order = {
        "sha256": hold["sha256"],
        "guards": guards,
        "reason": "the clearance sale",
    }
    assert (
        relay.http.post(
            f"/v1/runs/{held['run_id']}/release", json=order
        ).status_code
        == 200
    )
    before = {"run_id": hold["baseline_run_id"], "reason": "the sale is over"}
    assert (
        relay.http.post(f"{feed_path}/rollback", json=before).status_code == 200
    )
    pointers = relay.aws.runs
    wait_for(
        "Dagster is told of it",
        lambda: (
            not getattr(pointers.feed(str(held["tenant_id"])), "pending", True)
        ),
        within=90,
    )


def _store(
    relay: Installation, tenant: str, document: Mapping[str, Any]
) -> None:
    answer = relay.http.put(f"/v1/tenants/{tenant}/config", json=document)
    assert answer.is_success, answer.text


def _first_part(data: bytes, encoding: str, part: float) -> bytes:
    lines = data.decode(encoding).splitlines(keepends=True)
    return "".join(lines[: int(len(lines) * part)]).encode(encoding)


def _ended(relay: Installation, run_id: str) -> Mapping[str, Any]:
    """Return a run once nothing of it is left to do, in Dagster neither."""
    relay.wait_final(run_id)
    run = relay.shown(run_id)
    dagster_run_id = run["dagster_run_id"]
    ends = ("SUCCESS", "FAILURE")
    wait_for(
        "Dagster's run is over",
        lambda: relay.dagster.status(dagster_run_id) in ends,
        within=60,
    )
    return run
