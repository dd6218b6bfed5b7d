"""Why a SKU's row is what it is, as people read it; overrides of single SKUs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from relay_core.config import TenantConfig
from relay_dagster.client.commands.skus import show_explanation
from relay_dagster.client.terminal import Screen
from relay_dagster.wire.skus import Explanation
from support.api_world import TENANT
from support.builders import feed, tenant_config, vendor_document
from support.client_world import ClientWorld
from support.explaining import run_in_memory

PRICING = {
    "base_margin_pct": "0.20",
    "min_price": "5",
    "shipping_handling_flat": "1.5",
    "rounding": {"mode": "up", "increment": "0.05"},
}
OUTPUT = {"columns": ["sku", "title", "price"]}
LENIENT = {"max_invalid_rows": 200, "max_invalid_row_pct": "1.0"}
HEADER = "sku,quantity_available,cost,vendor_sku,lead_time_days,updated_at"
FEEDS = {
    "north": feed(
        *(
            "A-1,5,10,N/1,3,2026-02-01",
            "A-1,0,9,,,2026-02-02",
            "B,1,,,,",
            "D,none,1,,,",
        ),
        header=HEADER,
    ),
    "south": feed("A-1,2,12,,,2026-02-03", "A-1,many,x,,,", header=HEADER),
}


def config() -> TenantConfig:
    vendors = map(vendor_document, FEEDS)
    return tenant_config(
        *vendors, pricing=PRICING, output=OUTPUT, error_policy=LENIENT
    )


def shown(
    sku: str, feeds: dict[str, bytes] = FEEDS, width: int | None = None
) -> str:
    """Return what is written of a SKU, piped, or on a terminal of some width."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=width is not None, width=width, highlight=False
    )
    answer = run_in_memory(config(), feeds).explain(sku)
    show_explanation(Screen(out=console), Explanation(**answer))
    return out.getvalue()


def test_a_priced_sku_is_shown_with_its_row_its_price_and_all_offers() -> None:
    assert (
        shown("A-1")
        == """\
SKU A-1 has a price of 13.80, from row 2 of north.

in the feed
  sku: A-1
  title: -
  price: 13.80

price steps
step               with     before  after
cost               10.00    -       10.00
shipping_handling  1.50     10.00   11.50
margin             0.20     11.50   13.80
min_price          5.00     13.80   13.80
rounding           up 0.05  13.80   13.80
min_price_again    5.00     13.80   13.80
map_price          -        13.80   13.80
cents              -        13.80   13.80

offers: 3
vendor  row  vendor's SKU  quantity  cost   price  landed  lead time  updated               lost on
north   2    N/1           5         10.00  -      11.50   3 d        2026-02-01 00:00:00Z  (the winner)
south   2    -             2         12.00  -      13.50   -          2026-02-03 00:00:00Z  lowest_landed_cost
north   3    -             0         9.00   -      10.50   -          2026-02-02 00:00:00Z  in_stock_desc

rejected rows: 1
vendor  row  why
south   3    invalid_decimal;invalid_quantity
"""  # noqa: E501 - a table is as wide as it is
    )


def test_a_sku_that_is_not_in_the_feed_says_why() -> None:
    assert shown("B").startswith(
        "SKU B is not in the feed: its best offer, row 4 of north, has no price.\n\noffers: 1\n"
    )
    assert shown("D").startswith(
        "SKU D is not in the feed: all its rows are rejected.\n\nrejected rows: 1\n"
    )


def test_many_offers_are_counted_and_a_narrow_terminal_keeps_each_line_in_its_column() -> (
    None
):
    rows = [f"A-1,1,{number + 20},,," for number in range(150)]
    feeds = {**FEEDS, "south": feed(*rows, header=HEADER)}
    assert "offers: 152 (first 100 shown)\n" in shown("A-1", feeds)
    assert "A-1 has a price of 13.80" in shown("A-1", width=60)


def test_the_command_asks_the_api(world: ClientWorld) -> None:
    world.api.store_config()
    record = world.api.succeed(world.start())
    run = run_in_memory(config(), FEEDS, keys=record.keys)
    for key, data in run.files.items():
        world.platform.objects.put(key, data)

    result = world.relay("runs", "explain", record.run_id, "A-1")
    assert (result.exit_code, result.stdout) == (0, shown("A-1"))
    result = world.relay("runs", "explain", record.run_id, "A-1", "--json")
    assert json.loads(result.stdout) == {
        **run.explain("A-1"),
        "run_id": record.run_id,
    }
    result = world.relay("runs", "explain", record.run_id, "a-1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("SKU_NOT_FOUND: no row of run ")
    assert "as in the merged feed" in result.stderr


LISTED_OVERRIDES = [
    {
        "sku": "007",
        "price": "9.90",
        "max_quantity": 3,
        "expires_at": "2999-01-01T00:00:00Z",
        "note": "sale, spring",
    },
    {"sku": "B-2", "leave_out": True},
]


def test_overrides_of_a_table_are_put_and_listed(
    world: ClientWorld, tmp_path: Path
) -> None:
    world.api.store_config()
    assert (
        world.relay("config", "overrides", "list", TENANT).stderr
        == "The tenant has no overrides.\n"
    )
    table = tmp_path / "overrides.csv"
    table.write_text(
        "\ufeffsku,leave_out,price,max_quantity,expires_at,note\r\n"
        '007,,9.90,3,2999-01-01T00:00:00Z,"sale, spring"\r\nB-2,TRUE,,,,\r\n',
        encoding="utf-8",
    )
    put = world.relay("config", "overrides", "put", TENANT, str(table))
    assert put.stdout == (
        f"Overrides set: 2. {TENANT} has 2 in total, version 1.\n"
    )
    listed = json.loads(
        world.relay("config", "overrides", "list", TENANT, "--json").stdout
    )
    assert listed == {
        "version": 1,
        "count": 2,
        "unused": None,
        "overrides": LISTED_OVERRIDES,
    }


def test_overrides_that_were_listed_are_put_again_and_removed(
    world: ClientWorld, tmp_path: Path
) -> None:
    world.api.store_config()
    document = tmp_path / "overrides.json"
    document.write_text(json.dumps(LISTED_OVERRIDES))
    put = world.relay("config", "overrides", "put", TENANT, str(document))
    assert put.stdout == (
        f"Overrides set: 2. {TENANT} has 2 in total, version 1.\n"
    )
    document.write_text(json.dumps(LISTED_OVERRIDES).replace('"9.90"', "8.5"))
    put = world.relay("config", "overrides", "put", TENANT, str(document))
    assert put.stdout == (
        f"Overrides set: 2. {TENANT} has 2 in total, version 2.\n"
    )
    (title, first, _) = world.relay(
        "config", "overrides", "list", TENANT
    ).stdout.splitlines()
    assert title.split()[:3] == ["sku", "leave", "out"]
    assert first.split()[:3] == ["007", "-", "8.50"]
    removed = world.relay("config", "overrides", "remove", TENANT, "007", "Z-9")
    assert removed.stdout == (
        f"Overrides removed: 1. {TENANT} has 1 in total, version 3.\n"
    )


def test_a_row_of_a_csv_ends_where_its_line_ends(
    world: ClientWorld, tmp_path: Path
) -> None:
    world.api.store_config()
    lines = tmp_path / "LINES.CSV"
    lines.write_text(
        "sku,price,note\nL-1,2,one\u2028two\x0cthree\n", encoding="utf-8"
    )
    assert (
        world.relay("config", "overrides", "put", TENANT, str(lines)).exit_code
        == 0
    )
    listing = json.loads(
        world.relay("config", "overrides", "list", TENANT, "--json").stdout
    )
    assert listing["overrides"] == [
        {"sku": "L-1", "price": "2.00", "note": "one\u2028two\x0cthree"}
    ]


@pytest.mark.parametrize(
    ("name", "text", "told", "status"),
    [
        ("o.json", "{}", "must contain a list of overrides", 2),
        ("o.json", "[]", "contains no overrides", 2),
        ("o.json", "nonsense", "cannot be read", 2),
        ("o.csv", "sku,price\nA,1,2\n", "more fields than the header", 2),
        ("o.csv", "sku,price\nA,1\nA,2\n", "more than one override of 'A'", 2),
        ("o.csv", "sku,price\nA,0\n", "overrides.0.price", 1),
        ("gone.csv", None, "No such file", 2),
    ],
)
def test_a_file_that_holds_no_overrides_puts_none(
    world: ClientWorld,
    tmp_path: Path,
    name: str,
    text: str | None,
    told: str,
    status: int,
) -> None:
    world.api.store_config()
    if text is not None:
        (tmp_path / name).write_text(text)
    put = world.relay(
        "config", "overrides", "put", TENANT, str(tmp_path / name)
    )
    assert (put.exit_code, put.stdout) == (status, "")
    assert told in put.stderr
    assert not world.platform.overrides.document(TENANT).overrides
