"""`relay runs verify --newest`: each tenant's newest feed by this engine, and the differences."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from relay_dagster.replay.comparison import differing_columns
from support.builders import RUN_ID, config_document, feed
from support.client_world import ClientWorld
from support.run_world import TENANT, World

OTHER_RUN = "2c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"
HALVES_RUN = "3c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"
ROOT = Path(__file__).resolve().parents[2]
ROWS = [f"S{number:02},5,10.00" for number in range(20)]


@pytest.fixture
def other(runs: World) -> World:
    """A second tenant, with a published feed as the first one."""
    other_world = World(runs.platform, runs.instance, "bolt")
    for world, run_id in ((runs, RUN_ID), (other_world, OTHER_RUN)):
        document = config_document(tenant_id=world.tenant_id)
        prefix = f"tenants/{world.tenant_id}/inbound/vendor_1/"
        document["vendors"][0]["inbound"]["s3_prefix"] = prefix
        world.platform.tenants.put(world.tenant_id, json.dumps(document))
        world.upload("vendor_1", feed(*ROWS))
        world.run(run_id)
    return other_world


def verified(
    world: ClientWorld, *arguments: str, status: int
) -> dict[str, Any]:
    result = world.relay("runs", "verify", "--newest", "--json", *arguments)
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def replace_in_feed(world: World, old: bytes, new: bytes, run_id: str) -> None:
    key = world.record(run_id).artifacts["merged_inventory"]
    world.platform.objects.put(
        key, world.platform.objects.read(key).replace(old, new)
    )


def test_feeds_of_all_tenants_that_come_out_the_same_end_with_0(
    world: ClientWorld, other: World, tmp_path: Path
) -> None:
    page = tmp_path / "proof.html"
    proofs = verified(world, "--report", str(page), status=0)
    assert [
        (run["tenant_id"], run["run_id"], run["result"])
        for run in proofs["runs"]
    ] == [
        (TENANT, RUN_ID, "same"),
        ("bolt", OTHER_RUN, "same"),
    ]
    assert (proofs["same"], proofs["different"], proofs["differences"]) == (
        2,
        0,
        [],
    )
    assert "2 of 2 runs are the same" in page.read_text("utf-8")


def test_a_difference_is_told_by_step_and_column_with_rows_and_tenants(
    world: ClientWorld, runs: World, other: World, tmp_path: Path
) -> None:
    replace_in_feed(
        other, b"S03,vendor_1,5,10.00", b"S03,vendor_1,5,10.01", OTHER_RUN
    )
    report = tmp_path / "proof.json"
    proofs = verified(world, "--report", str(report), status=3)
    (difference,) = proofs["differences"]
    assert {
        key: difference[key]
        for key in ("step", "column", "rows", "runs", "tenants")
    } == {
        "step": "price",
        "column": "price",
        "rows": 1,
        "runs": 1,
        "tenants": 1,
    }
    assert difference["example"]["run_id"] == OTHER_RUN
    assert difference["example"]["run"] == "S03,vendor_1,5,10.01"
    assert (
        json.loads(report.read_text("utf-8"))["differences"]
        == proofs["differences"]
    )
    result = world.relay("runs", "verify", "--newest")
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-1].endswith(
        "1 same, 1 different, 0 not compared"
    )


def test_a_report_that_cannot_be_written_is_told_before_anything_is_compared(
    world: ClientWorld, tmp_path: Path
) -> None:
    for place in (tmp_path, tmp_path / "gone" / "proof.json"):
        result = world.relay(
            "runs", "verify", "--newest", "--report", str(place)
        )
        assert (result.exit_code, result.stdout) == (2, "")
        assert (
            result.stderr
            == f"--report: {place} is not a file in an existing folder.\n"
        )


def test_an_engine_that_rounds_otherwise_is_told_by_step_column_skus_and_tenants(
    world: ClientWorld,
    runs: World,
    other: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halves = [f"S{number:02},5,10.0050" for number in range(3)]
    other.upload("vendor_1", feed(*halves, *ROWS[3:]), name="halves.csv")
    other.run(HALVES_RUN)
    assert verified(world, status=0)["same"] == 2
    engine = tmp_path / "engine" / "relay_core"
    shutil.copytree(
        ROOT / "relay_core",
        engine,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    pricing = engine / "merge" / "pricing.py"
    nearest = "(2 * at_least_minimum + increment) // (2 * increment)"
    down = "at_least_minimum // increment"
    source = pricing.read_text("utf-8")
    assert source.count(nearest) == 1
    pricing.write_text(source.replace(nearest, down), "utf-8")
    # The processes that compare look for the engine where this one does.
    monkeypatch.syspath_prepend(engine.parent)
    proofs = verified(world, status=3)
    (difference,) = proofs["differences"]
    assert (difference["step"], difference["column"]) == ("price", "price")
    assert (difference["rows"], difference["tenants"]) == (3, 1)
    assert (difference["example"]["run_id"], proofs["same"]) == (HALVES_RUN, 1)


def test_where_nothing_can_be_compared_it_ends_with_2(
    world: ClientWorld, other: World
) -> None:
    for tenant_id in (TENANT, "bolt"):
        run_id = RUN_ID if tenant_id == TENANT else OTHER_RUN
        other.platform.objects.delete(
            f"{run_id}/tenants/{tenant_id}/reports/input_manifest.json"
        )
    proofs = verified(world, status=2)
    assert [run["result"] for run in proofs["runs"]] == ["not_compared"] * 2
    assert "input_manifest" in proofs["runs"][0]["reason"]


def test_a_budget_of_runs_is_kept(world: ClientWorld, other: World) -> None:
    assert len(verified(world, "--max-runs", "1", status=0)["runs"]) == 1
    late = verified(world, "--max-minutes", "0", status=2)
    assert {run["reason"] for run in late["runs"]} == {
        "The time limit was reached."
    }


@pytest.mark.parametrize(
    "arguments",
    [("--since", "3"), ("--newest", "none"), (), ("--report", "x.html")],
)
def test_what_cannot_be_asked_is_one_line(
    world: ClientWorld, arguments: tuple[str, ...]
) -> None:
    result = world.relay("runs", "verify", *arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def table(**columns: list[str]) -> pa.Table:
    return pa.table(columns)


def test_rows_that_differ_are_counted_by_column_whatever_their_order() -> None:
    run = table(
        sku=["a", "b", "c"],
        price=["1.00", "2.00", "3.00"],
        title=["x", "y", "z"],
    )
    here = table(
        sku=["c", "b", "d"],
        price=["3.00", "2.01", "9.00"],
        title=["z", "y", "w"],
    )
    assert differing_columns(run, here) == {"rows": 2, "price": 1}


def test_rows_of_one_sku_are_told_apart_by_their_order() -> None:
    run = table(sku=["a", "a"], cost=["1", "2"])
    here = table(sku=["a", "a"], cost=["1", "3"])
    assert differing_columns(run, here) == {"cost": 1}


def test_a_column_that_one_side_lacks_differs_in_each_row() -> None:
    run = table(sku=["a", "b"])
    here = table(sku=["a", "b"], title=["", ""])
    assert differing_columns(run, here) == {"title": 2}
