"""`relay tenants status`: the feed, what is under way, and a line for each vendor."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from rich.console import Console

from relay_dagster.client.commands.tenants import show_status
from relay_dagster.client.terminal import Screen
from relay_dagster.wire.tenants import (
    PartStanding,
    PullStanding,
    TenantStatus,
    VendorStanding,
)
from support.api_world import TENANT
from support.builders import feed, vendor_document
from support.client_world import ClientWorld
from support.run_world import World

LENIENT = {"max_invalid_rows": 9, "max_invalid_row_pct": "1.0"}
HOURLY = {"schedule": {"cron": "0 * * * *"}}


def shown(status: TenantStatus, width: int | None = None) -> str:
    """Return what is written of a tenant, piped, or on a terminal of some width."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=width is not None, width=width, highlight=False
    )
    show_status(Screen(out=console), TENANT, status)
    return out.getvalue()


def test_a_tenant_that_has_never_run_says_so() -> None:
    assert shown(TenantStatus()).splitlines() == [
        "tenant acme",
        "  live feed: none yet",
        "",
        "No run of all vendors has read their uploads yet.",
    ]


def test_what_waits_and_what_is_under_way_is_named_with_how_to_look_at_it() -> (
    None
):
    lines = shown(
        TenantStatus(
            published_run_id="r1",
            published_at="2026-03-01T12:06:04Z",
            feed_age_seconds=3236,
            held_run_id="r2",
            active_run_id="r3",
            next_run_at="2026-03-01T14:00:00Z",
        )
    ).splitlines()
    assert lines[1:6] == [
        "  live feed: run r1, published 2026-03-01 12:06:04Z (53 min 56 s ago)",
        "  feed on hold; review it with: relay runs show r2",
        "  run in progress; follow it with: relay runs show r3 --watch",
        "  next scheduled run: 2026-03-01 14:00:00Z",
        "",
    ]


def test_the_parts_of_a_vendor_have_lines_of_their_own() -> None:
    pull = PullStanding(last_error="no answer", failures=3)
    vendor = VendorStanding(
        vendor_id="north",
        status="found",
        uploaded_at="2026-03-01T12:00:00Z",
        age_hours=2,
        parts=[
            PartStanding(
                part_id=None, uploaded_at="2026-03-01T12:00:00Z", age_hours=2
            ),
            PartStanding(part_id="prices", pull=pull),
        ],
    )
    written = shown(TenantStatus(vendors=[vendor]))
    section = written[written.index("newest file of each part") :]
    assert re.search(r"north +2026-03-01 12:00:00Z +2 h\n", section)
    assert re.search(r"north/prices +- +-\n", section)
    assert re.search(r"north/prices .* 3 +no answer\n", section)
    assert "newest file of each part" not in shown(
        TenantStatus(vendors=[VendorStanding(vendor_id="north")])
    )


def test_at_a_terminal_an_upload_is_so_long_ago() -> None:
    came = (datetime.now(UTC) - timedelta(days=3, hours=1)).isoformat()
    vendor = VendorStanding(
        vendor_id="north", status="found", uploaded_at=came, age_hours=2
    )
    written = shown(TenantStatus(vendors=[vendor]), width=100)
    assert re.search(r"north +found +3 d ago +2 h", written)


def test_vendors_show_what_they_gave_to_the_last_run(
    world: ClientWorld, tmp_path: Path
) -> None:
    vendors = [
        vendor_document("north"),
        vendor_document("south", required=False),
    ]
    world.api.store_config(*vendors, error_policy=LENIENT, triggers=HOURLY)
    path = tmp_path / "feed.csv"
    path.write_bytes(feed("A-1,5,1.00", "B-2,many,1.00", "C-3,1,2.00"))
    assert (
        world.relay("vendors", "upload", TENANT, "north", str(path)).exit_code
        == 0
    )
    with dg.DagsterInstance.ephemeral() as instance:
        World(world.platform, instance).run()
    result = world.relay("tenants", "status", TENANT)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[-3].split() == [
        "vendor_id",
        "status",
        "uploaded",
        "age",
        "rows",
        "rejected",
        "won",
    ]
    uploaded = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"north +found +{uploaded} +0 h +3 +1 +2", lines[-2])
    assert re.fullmatch(r"south +missing +- +- +- +- +0", lines[-1])
    result = world.relay("tenants", "status", TENANT, "--json")
    answer = world.api.client.get(f"/v1/tenants/{TENANT}/status").json()
    assert json.loads(result.stdout) | {"feed_age_seconds": 0} == answer | {
        "feed_age_seconds": 0
    }


def test_a_tenant_that_is_unknown_is_refused(world: ClientWorld) -> None:
    result = world.relay("tenants", "status", "nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("TENANT_NOT_FOUND: ")


def test_a_new_tenant_has_no_vendors_and_a_key_for_its_page(
    world: ClientWorld,
) -> None:
    options = ("--timezone", "Europe/Berlin", "--currency", "EUR")
    result = world.relay("tenants", "new", "shop", *options)
    assert result.exit_code == 0, result.output
    page, key = result.stdout.splitlines()
    assert page == f"Page: {world.url}/app"
    key = key.removeprefix("Key:  ")
    assert "shown only this once" in result.stderr
    tenant = world.api.client.get(
        "/v1/tenants/shop", headers={"X-API-Key": key}
    ).json()
    config = tenant["tenant_config"]
    assert tenant["config_version"] == 1
    assert (config["timezone"], config["default_currency"]) == (
        "Europe/Berlin",
        "EUR",
    )
    assert config["vendors"] == []
    assert config["output"]["columns"] == [
        "sku",
        "quantity_available",
        "price",
        "vendor_id",
        "updated_at",
    ]
    pricing = config["pricing"]
    assert (pricing["base_margin_pct"], pricing["min_price"]) == (
        "0.20",
        "0.01",
    )
    (listed,) = world.api.client.get("/v1/tenants/shop/api-keys").json()[
        "api_keys"
    ]
    assert set(listed["scopes"]) == {
        "read",
        "run",
        "config",
        "release",
        "upload",
        "keys",
    }
    run = world.relay("run", "shop")
    assert (run.exit_code, run.stdout) == (1, "")
    assert run.stderr.startswith("NO_VENDORS: tenant shop has no vendors")
    assert world.relay("tenants", "status", "shop").exit_code == 0


def test_a_tenant_that_exists_is_not_made_anew(world: ClientWorld) -> None:
    world.api.store_config()
    result = world.relay(
        "tenants", "new", TENANT, "--timezone", "UTC", "--currency", "USD"
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("TENANT_EXISTS: ")
