"""`relay config rehearse`: what another config would make of runs that were; nothing is stored."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reference_rules import meets
from relay_core.config import load_config, parse_document
from relay_core.samples import sample_config_text, sample_feeds, sample_sku_maps
from support.builders import config_document, feed, vendor_document
from support.client_world import ClientWorld, Told
from support.run_world import TENANT, World

FIRST, SECOND = (f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "12")
GUIDE = (Path(__file__).resolve().parents[2] / "docs/CLI.md").read_text("utf-8")
AGAINST = "changes from the feed of run 22832fde-c95f-4000-9bae-65488b0acbb4"
WHOLE = [f"S{number:02},5,10.00" for number in range(20)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the config lies that is tried."""
    return tmp_path / "tried.json"


def sync(runs: World, run_id: str, *rows: str, **order: Any) -> None:
    """Upload a feed and run."""
    runs.upload("vendor_1", feed(*rows), name=f"{run_id[0]}.csv")
    runs.run(run_id, **order)


def rehearsed(
    world: ClientWorld, file: Path, document: Mapping[str, Any], *run_ids: str
) -> tuple[Told, list[dict[str, Any]]]:
    """Try a config; return what was told, and its JSON."""
    file.write_text(json.dumps(document))
    result = world.relay(
        "config", "rehearse", *run_ids, "--config", str(file), "--json"
    )
    return result, json.loads(result.stdout) if result.stdout else []


def stored(world: ClientWorld) -> list[tuple[str, str]]:
    """Return all that the bucket holds."""
    objects = world.platform.objects.list_objects("")
    return [(item.key, item.etag) for item in objects]


# --- the sample tenant ----------------------------------------------------------------------------


def sample(margin: str) -> str:
    text = sample_config_text("acme_parts").replace("acme_parts", TENANT)
    assert "base_margin_pct: 0.18" in text
    return text.replace("base_margin_pct: 0.18", f"base_margin_pct: {margin}")


def published_sample(runs: World) -> None:
    """Run the sample tenant's feeds under the name of the tests' own tenant."""
    config = load_config(parse_document(sample("0.18"), format="yaml"))
    runs.platform.tenants.put(TENANT, json.dumps(config.to_document()))
    for vendor_id, (name, data) in sample_feeds("acme_parts").items():
        runs.upload(vendor_id, data, name)
    for vendor_id, (_, data) in sample_sku_maps("acme_parts").items():
        runs.platform.objects.put(
            f"tenants/{TENANT}/sku_maps/{vendor_id}.csv", data
        )
    runs.run(FIRST)


def rows_of(runs: World, name: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(runs.artifact(name, FIRST).decode()))


def above_floors(runs: World, margin: Decimal) -> int:
    """Count the SKUs whose price comes of a cost and the base margin, above every floor."""
    costs: dict[tuple[str, ...], set[str]] = {}
    same = ("sku", "vendor_id", "vendor_sku", "updated_at", "title")
    rules = load_config(
        parse_document(sample("0.18"), format="yaml")
    ).pricing.rules
    for vendor_id in ("granite_supply", "rheinteile", "pacific_parts"):
        for row in rows_of(runs, f"normalized_{vendor_id}"):
            costs.setdefault(tuple(row[name] for name in same), set()).add(
                row["cost"]
            )
    count = 0
    for row in rows_of(runs, "merged_inventory"):
        (cost,) = costs[tuple(row[name] for name in same)]
        offer = {**row, "cost": int(Decimal(cost) * 10_000) if cost else None}
        if cost and not any(meets(rule.when, offer) for rule in rules):
            candidate = (Decimal(cost) + Decimal("3.25")) * (1 + margin)
            floor = max(Decimal("4.99"), Decimal(row["map_price"] or 0))
            steps = -(-candidate // Decimal("0.05"))
            count += steps * Decimal("0.05") > floor
    return count


def test_a_greater_margin_changes_the_prices_that_no_floor_holds(
    world: ClientWorld, runs: World, tmp_path: Path
) -> None:
    published_sample(runs)
    tried = tmp_path / "acme.yaml"
    tried.write_text(sample("0.25"))
    result = world.relay(
        "config", "rehearse", FIRST, "--config", str(tried), "--json"
    )
    assert result.exit_code == 3, result.output
    (rehearsal,) = json.loads(result.stdout)
    changed = above_floors(runs, Decimal("0.25"))
    assert 0 < changed < rehearsal["own"]["record_count"]
    changes = rehearsal["changes"]
    assert (changes["changed"], changes["price_up"], changes["price_down"]) == (
        changed,
        changed,
        0,
    )
    assert (
        changes["added"],
        changes["removed"],
        changes["vendor_changed"],
    ) == (
        0,
        0,
        0,
    )
    assert (
        rehearsal["rehearsed"]["record_count"]
        == rehearsal["own"]["record_count"]
    )


def test_the_guide_shows_what_is_told_of_that(
    world: ClientWorld, runs: World, tmp_path: Path
) -> None:
    published_sample(runs)
    tried = tmp_path / "acme.yaml"
    tried.write_text(sample("0.25"))
    output = world.relay(
        "config", "rehearse", FIRST, "--config", str(tried)
    ).stdout
    example = GUIDE.partition("tenant:\n\n" + " " * 26 + "own config")[
        2
    ].partition("\n\n`--json`")[0]
    lines = [line.strip() for line in example.splitlines() if line.strip()][1:]
    assert len(lines) == 24
    missing = {line for line in lines if line not in output} - {AGAINST}
    assert missing == set()


# --- any other ------------------------------------------------------------------------------------


def test_the_same_config_changes_nothing_and_nothing_is_stored(
    world: ClientWorld, runs: World, file: Path
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    before = stored(world)
    result, (rehearsal,) = rehearsed(world, file, config_document(), FIRST)
    assert result.exit_code == 0, result.output
    assert rehearsal["own"] == rehearsal["rehearsed"]
    assert rehearsal["same"]
    assert (
        rehearsal["changes"]["unchanged"],
        rehearsal["changes"]["changed"],
    ) == (
        20,
        0,
    )
    assert not any(guard["tripped"] for guard in rehearsal["guards"])
    assert stored(world) == before


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_another_format_is_a_change_of_the_feed_and_of_nothing_else(
    world: ClientWorld, runs: World, file: Path, format: str
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    output = {**config_document()["output"], "format": format}
    result, (rehearsal,) = rehearsed(
        world, file, config_document(output=output), FIRST
    )
    assert (result.exit_code, rehearsal["same"]) == (3, False)
    assert rehearsal["changes"]["unchanged"] == 20
    assert (
        rehearsal["own"]["feed_sha256"]
        != rehearsal["rehearsed"]["feed_sha256"]
        is not None
    )


def test_another_price_of_a_channel_is_a_change(
    world: ClientWorld, runs: World, file: Path
) -> None:
    shop = {"channel_id": "shop", "output": {"columns": ["sku", "price"]}}
    runs.store_config(channels=[shop])
    sync(runs, FIRST, *WHOLE)
    tried = config_document(channels=[{**shop, "price": {"flat": 1}}])
    result, (rehearsal,) = rehearsed(world, file, tried, FIRST)
    assert (result.exit_code, rehearsal["same"]) == (3, False)
    assert rehearsal["own"]["channels"] == {"shop": 20}
    assert rehearsal["rehearsed"]["channels"] == {"shop": 20}
    assert rehearsal["changes"]["unchanged"] == 20
    same, _ = rehearsed(world, file, config_document(channels=[shop]), FIRST)
    assert same.exit_code == 0


def test_every_run_that_is_named_is_tried(
    world: ClientWorld, runs: World, file: Path
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    sync(runs, SECOND, *WHOLE[:15])
    floor = config_document(pricing={"min_price": "12"})
    result, rehearsals = rehearsed(world, file, floor, FIRST, SECOND)
    assert result.exit_code == 3, result.output
    counts = [
        (rehearsal["run_id"], rehearsal["changes"]["price_up"])
        for rehearsal in rehearsals
    ]
    assert counts == [(FIRST, 20), (SECOND, 15)]
    assert [
        rehearsal["changes"]["baseline_run_id"] for rehearsal in rehearsals
    ] == [
        FIRST,
        SECOND,
    ]


def test_people_are_shown_how_both_end_what_changes_and_what_the_guards_would_say(
    world: ClientWorld, runs: World, file: Path
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    tripled = {"base_margin_pct": "2"}
    file.write_text(json.dumps(config_document(pricing=tripled)))
    result = world.relay("config", "rehearse", FIRST, "--config", str(file))
    assert result.exit_code == 3
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[:4] == [
        f"run {FIRST} of acme",
        "own config  rehearsed",
        "status                SUCCEEDED   SUCCEEDED",
        "rows read             20          20",
    ]
    assert f"changes from the feed of run {FIRST}" in lines
    assert "20    price up" in lines
    assert (
        lines[lines.index("largest price increases") + 1]
        == "S00: 10.00 -> 30.00"
    )
    assert "guards: price_rise, price_level would trip" in lines
    assert "price_rise: 20 of 20, 1.0000; limit 0.01" in lines


def test_a_run_that_failed_is_tried_with_what_mends_it(
    world: ClientWorld, runs: World, file: Path
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    sync(runs, SECOND, *WHOLE[:12], "A,x,1.00")
    lenient = config_document(
        error_policy={"max_invalid_rows": 1, "max_invalid_row_pct": 1.0}
    )
    result, (rehearsal,) = rehearsed(world, file, lenient, SECOND)
    assert result.exit_code == 3, result.output
    assert (
        rehearsal["own"]["error_code"],
        rehearsal["rehearsed"]["status"],
    ) == (
        "validation_errors",
        "SUCCEEDED",
    )
    assert rehearsal["changes"]["baseline_run_id"] == FIRST
    assert rehearsal["changes"]["removed"] == 8


def test_a_change_that_the_numbers_do_not_show_is_one(
    world: ClientWorld, runs: World, file: Path
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    result, (rehearsal,) = rehearsed(
        world, file, config_document(output={"columns": ["sku"]}), FIRST
    )
    assert (
        result.exit_code,
        rehearsal["same"],
        rehearsal["changes"]["changed"],
    ) == (
        3,
        False,
        0,
    )
    assert (
        rehearsal["own"]["feed_sha256"] != rehearsal["rehearsed"]["feed_sha256"]
    )


def test_a_vendor_that_would_have_had_a_last_good_feed_has_that_of_the_baseline(
    world: ClientWorld, runs: World, file: Path
) -> None:
    second_vendor = vendor_document("vendor_2")
    runs.store_config(vendor_document(on_trouble="leave_out"), second_vendor)
    runs.upload(
        "vendor_2", feed(*(f"T{number:02},1,3.00" for number in range(20)))
    )
    sync(runs, FIRST, *WHOLE)
    sync(runs, SECOND, *WHOLE[:2])
    tried = config_document(
        vendor_document(on_trouble="last_good"), second_vendor
    )
    result, (rehearsal,) = rehearsed(world, file, tried, SECOND)
    assert result.exit_code == 3, result.output
    assert (
        rehearsal["changes"]["added"],
        rehearsal["changes"]["unchanged"],
    ) == (
        20,
        20,
    )
    assert rehearsal["rehearsed"]["warnings"] == {"VENDOR_LAST_GOOD": 1}


# --- what cannot be tried -------------------------------------------------------------------------


def test_faults_of_the_config_are_told_with_their_paths(
    world: ClientWorld, runs: World, file: Path
) -> None:
    wrong = config_document(
        pricing={"min_price": "-1"}, guards={"mode": "maybe"}
    )
    result, _ = rehearsed(world, file, wrong, FIRST)
    assert (result.exit_code, result.stdout) == (1, "")
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        "pricing.min_price",
        "guards.mode",
    ]


def test_a_config_of_another_schema_or_tenant_and_a_file_that_is_not_there_are_refused(
    world: ClientWorld, runs: World, file: Path
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    result, _ = rehearsed(world, file, config_document(schema_version=2), FIRST)
    assert (result.exit_code, result.stderr.startswith("schema_version: ")) == (
        1,
        True,
    )
    inbound = {"type": "s3", "s3_prefix": "tenants/other/inbound/vendor_1/"}
    foreign_config = config_document(
        vendor_document(inbound=inbound), tenant_id="other"
    )
    result, _ = rehearsed(world, file, foreign_config, FIRST)
    assert (
        result.exit_code,
        f"The config is of tenant other, but run {FIRST} is of acme."
        in result.stderr,
    ) == (
        2,
        True,
    )
    result = world.relay(
        "config",
        "rehearse",
        FIRST,
        "--config",
        str(file.parent / "nothing.yaml"),
    )
    assert (result.exit_code, "No such file" in result.stderr) == (2, True)


def test_where_an_input_is_gone_that_is_said(
    world: ClientWorld, runs: World, file: Path
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    runs.platform.objects.delete(
        runs.record(FIRST).artifacts["inbound_vendor_1"]
    )
    result, _ = rehearsed(world, file, config_document(), FIRST)
    assert (
        result.exit_code,
        f"Run {FIRST} has no inbound_vendor_1" in result.stderr,
    ) == (
        2,
        True,
    )
