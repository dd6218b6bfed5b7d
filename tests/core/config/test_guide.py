from __future__ import annotations

import re
from typing import Any

import pytest

from reference_runs import run_document
from relay_core.config import TenantConfig, load_config, parse_document
from support.builders import feed, tenant_config, vendor_document
from support.config_documents import (
    DELIVERY,
    REQUIRED,
    ROOT,
    all_fields,
)
from support.reported_runs import KEYS, go_through


def value_at(config: TenantConfig, path: str) -> Any:
    value: Any = config
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else getattr(value, step)
    return value


GUIDE = (ROOT / "docs" / "CONFIG.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_guide_loads(example: str) -> None:
    whole = parse_document(EXAMPLES[0], format="yaml")
    load_config({**whole, **parse_document(example, format="yaml")})


def _row_of(path: str) -> str:
    """Return the guide's row of a field, found by its name in the reference of its section."""
    if path.startswith("pricing.rules.0."):
        return _row_in("pricing.rules[]", path.removeprefix("pricing.rules.0."))
    path = path.replace("catalog.parser.", "vendors.0.parser.")
    path = path.replace("catalog.inbound.", "vendors.0.inbound.")
    part = re.match(r"vendors\.0\.parts\.0\.(\w+)", path)
    if part:
        # The rows of its own sections are those of the vendor's.
        return _row_in("vendors[].parts[]", part[1])
    sections = r"vendors\.0\.parser|vendors\.0|pricing|stock|merge|output|error_policy|guards"
    sections += r"|triggers|catalog|channels\.0|deliveries\.0"
    section = re.match(sections, path)
    title = section[0].replace(".0", "[]") if section else None
    name = path.removeprefix(f"{section[0]}.") if section else path
    return _row_in(title, name)


def _row_in(section: str | None, name: str) -> str:
    heading = f"\n### `{section}`\n" if section else "\n### Top level\n"
    rows = GUIDE.split(heading)[1].split("\n##")[0].splitlines()
    (row,) = (row for row in rows if row.startswith(f"| `{name}` |"))
    return row


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return (
        "null"
        if value is None
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


WITH_SECTIONS = tenant_config(
    vendor_document(
        stock={},
        inbound={
            "type": "s3",
            "s3_prefix": "tenants/acme/inbound/vendor_1/",
            "pull": {"url": "https://files.example.com/stock.csv"},
        },
        parts=[
            {
                "part_id": "prices",
                "gives": ["cost"],
                "inbound": {"type": "local"},
                "parser": {"format": "csv"},
            },
        ],
    ),
    guards={"quarantine": {}},
    pricing={"rules": [{"leave_out": True}]},
    triggers={"on_upload": {}},
    channels=[
        {"channel_id": "shop", "output": {"columns": ["sku"]}, "stock": {}},
    ],
    deliveries=[DELIVERY],
    catalog={
        "inbound": {
            "type": "s3",
            "s3_prefix": "tenants/acme/inbound/catalog/",
            "pull": {"url": "https://files.example.com/products.csv"},
        },
        "parser": {"format": "csv"},
    },
)


@pytest.mark.parametrize(
    "path", [path for path, _ in all_fields(TenantConfig) if path != "vendors"]
)
def test_the_guide_has_every_field_and_its_default(path: str) -> None:
    row = _row_of(path)
    required = (
        "schedule.cron",
        "pull.url",
        "channels.0.channel_id",
        "0.output.columns",
        "catalog.inbound.type",
        "catalog.parser.format",
        "part_id",
        "parts.0.gives",
        "changes.full",
        "changes.delta",
    )
    of_delivery = ("delivery_id", "0.url", "0.secret", "0.host_key")
    if re.match(r"vendors\.0\.parts\.0\.(inbound|parser|changes)\.", path):
        return
    if path in REQUIRED or path.endswith((*required, *of_delivery)):
        assert "| required |" in row
    elif path.endswith(".leave_out"):
        assert "| `false` |" in row
    elif not any(word in path for word in ("sku_map", "s3_prefix", "changes.")):
        assert f"| `{_shown(value_at(WITH_SECTIONS, path))}` |" in row


# --- what the guide's examples come to ------------------------------------------------------------


def example_of(section: str) -> dict[str, Any]:
    """Return the whole config with a section's example."""
    text = GUIDE.split(f"\n{section}\n")[1]
    example = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    return {
        **parse_document(EXAMPLES[0], format="yaml"),
        **parse_document(example, format="yaml"),
    }


def feed_of(
    document: dict[str, Any], feeds: dict[str, bytes]
) -> dict[str, tuple[str, ...]]:
    """Return what a feed says of each SKU."""
    policy = {"max_invalid_rows": 9, "max_invalid_row_pct": "1.0"}
    run = run_document({**document, "error_policy": policy}, feeds)
    assert run.failure is None
    return {row.pop("sku"): tuple(row.values()) for row in run.merged}


def test_price_rules_come_to_the_prices_that_the_guide_says() -> None:
    rows = [
        *(
            "A,5,5.00,ACME,",
            "B,5,20,acme ,new",
            "C,5,1000,Other,new",
            "D,5,20,,",
        ),
        *("E,5,20,Other,refurb", "F,5,1.00,Crate & Co,used"),
    ]
    data = feed(*rows, header="sku,quantity_available,cost,brand,condition")
    prices = {
        sku: price
        for sku, (_, price) in feed_of(
            example_of("### Price rules"), {"vendor_1": data}
        ).items()
    }
    assert prices == {
        "A": "19.49",
        "B": "40.49",
        "C": "1090.79",
        "D": "35.99",
        "F": "15.49",
    }
    for price in ("19.49", "40.49", "1,090.79", "35.99"):
        assert price in GUIDE


def test_columns_made_of_others_come_to_what_the_guide_says() -> None:
    header = (
        "Line,Part,East,West,Overseas,Pack Price,Pack,Long Name,Short Name,Make"
    )
    data = feed("AB,1040,5,,7,14.00,12,,Bolt,MFR:ACM", header=header)
    run = run_document(
        example_of("### Build columns from other columns"), {"parts_inc": data}
    )

    (row,) = run.normalized_rows("parts_inc")
    values = (
        row["sku"],
        row["quantity_available"],
        row["cost"],
        row["title"],
        row["brand"],
    )
    assert values == ("AB-1040", "12", "1.1667", "Bolt", "Acme")
    assert all(text in GUIDE for text in ("`AB-1040`", "1.1667"))


def test_an_export_of_a_shop_comes_to_what_the_guide_says() -> None:
    header = "Handle,Title,Stock,Price,Changed"
    data = feed(
        *(
            'a,5" pipe,-2,0.00,46350.5,',
            "a,,,,,",
            "b,B,>100,3.50,soon, ",
            "Total,x,98,3.50,,",
        ),
        header=header,
    )
    run = run_document(
        example_of("### Skip rows and clean cells"), {"shop_export": data}
    )

    (vendor,) = run.normalized
    assert (vendor.skipped, vendor.total_rows, vendor.invalid_rows) == (2, 2, 0)
    columns = ("sku", "title", "quantity_available", "cost", "updated_at")
    assert [
        tuple(row[name] for name in columns)
        for row in run.normalized_rows("shop_export")
    ] == [
        ("a", '5" pipe', "0", "", "2026-11-24T18:00:00Z"),
        ("b", "B", "100", "3.50", "2026-03-01T12:00:00Z"),
    ]


def test_stock_comes_to_the_quantities_that_the_guide_says() -> None:
    data = feed("A,50,1", "B,8,1", "C,9,1", "D,0,1")
    quantities = {
        sku: quantity
        for sku, (quantity, _) in feed_of(
            example_of("### Offer part of the stock"), {"vendor_1": data}
        ).items()
    }
    assert quantities == {"A": "25", "B": "0", "C": "3", "D": "0"}


def test_duplicates_come_to_what_the_guide_says() -> None:
    document = example_of("### Handle duplicate SKUs")
    rows = feed("A,1,2", "A,5,3", "B,1,1")
    assert feed_of(
        document, {"three_warehouses": rows, "careful": feed("C,1,1", "A,9,1")}
    ) == {
        "A": ("9", "13.19"),
        "B": ("1", "13.19"),
        "C": ("1", "13.19"),
    }
    run = run_document(
        {
            **document,
            "error_policy": {
                "max_invalid_rows": 9,
                "max_invalid_row_pct": "1.0",
            },
        },
        {"three_warehouses": rows, "careful": feed("C,1,1", "A,9,1", "A,8,1")},
    )
    assert [row["quantity_available"] for row in run.merged] == ["6", "1", "1"]
    assert run.outcome.valid_rows == {"three_warehouses": 3, "careful": 1}


def test_missing_skus_stay_as_the_guide_says() -> None:
    output = example_of("### Missing SKUs")["output"]
    before = go_through({"v": feed("A,5,1", "B,7,2")}, output=output)
    now = go_through(
        {"v": feed("B,6,2")}, output=output, baseline=before.baseline
    )
    lines = now.files[KEYS.merged_inventory("csv")].decode().splitlines()
    assert lines == ["sku,quantity_available,price", "A,0,1.00", "B,6,2.00"]
    assert now.findings.counted_warnings() == {"MISSING_SKUS_ZEROED": 1}
