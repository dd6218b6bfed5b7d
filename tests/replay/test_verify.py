"""`relay runs verify`: the same bytes for whatever a run can be, and the first byte that is not."""

import gzip
import io
import json
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay_core.config import load_overrides
from relay_core.domain.codes import RunStatus
from relay_core.domain.records import ENGINE_VERSION
from relay_dagster.client.api_client import ApiClient
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import Screen
from relay_dagster.replay.run_artifacts import NotReplayableError, RunArtifacts
from relay_dagster.runs.model import Release
from support.api_world import ADMIN, NOBODY_S_RUN
from support.builders import config_document, feed, vendor_document
from support.client_world import ClientWorld
from support.run_world import TENANT, World

FIRST, SECOND, THIRD = (
    f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "123"
)
GUIDE = (Path(__file__).resolve().parents[2] / "docs/CLI.md").read_text("utf-8")
WHOLE = [f"S{number:02},5,10.00" for number in range(20)]


def sync(
    runs: World,
    run_id: str,
    *rows: str,
    vendor_id: str = "vendor_1",
    **order: Any,
) -> None:
    """Upload a feed and run."""
    runs.upload(vendor_id, feed(*rows), name=f"{run_id[0]}.csv")
    runs.run(run_id, **order)


def verified(world: ClientWorld, run_id: str) -> list[str]:
    """Return which files are the same; all must be."""
    result = world.relay("runs", "verify", run_id, "--json")
    assert result.exit_code == 0, result.output
    proof = json.loads(result.stdout)
    assert proof["same"]
    return [file["name"] for file in proof["files"]]


def test_a_run_is_proved_by_the_bytes_of_each_of_its_csv_files(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config(
        error_policy={"max_invalid_rows": 1, "max_invalid_row_pct": 1.0}
    )
    sync(runs, FIRST, *WHOLE, "S99,x,1.00")
    assert verified(world, FIRST) == [
        "normalized_vendor_1",
        "invalid_rows",
        "merged_inventory",
    ]


def test_a_run_that_was_compared_with_a_feed_is(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    sync(runs, SECOND, *WHOLE[:15], "S15,5,11.00")
    assert runs.record(SECOND).baseline_run_id == FIRST
    assert "merged_inventory" in verified(world, SECOND)


@pytest.mark.parametrize("format", ["tsv", "jsonl", "parquet"])
def test_a_run_with_a_feed_of_another_format_is(
    world: ClientWorld, runs: World, format: str
) -> None:
    runs.store_config(output={"format": format, "columns": ["sku", "price"]})
    sync(runs, FIRST, *WHOLE)
    assert verified(world, FIRST) == ["normalized_vendor_1", "merged_inventory"]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_run_with_channels_is(
    world: ClientWorld, runs: World, compression: str
) -> None:
    file = {"columns": ["sku", "price"], "compression": compression}
    runs.store_config(channels=[{"channel_id": "shop", "output": file}])
    sync(runs, FIRST, *WHOLE)
    names = ["normalized_vendor_1", "merged_inventory", "channel_shop"]
    assert verified(world, FIRST) == names
    # Only the unpacked bytes are the same everywhere.
    key = runs.record(FIRST).artifacts["channel_shop"]
    data = runs.platform.objects.read(key)
    if compression == "gzip":
        packed = gzip.compress(gzip.decompress(data), 1)
        assert packed != data
        runs.platform.objects.put(key, packed)
        assert verified(world, FIRST) == names


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(b"sku\nS00\n", mtime=0)]
)
def test_another_packed_file_is_told(
    world: ClientWorld, runs: World, data: bytes
) -> None:
    file = {"columns": ["sku"], "compression": "gzip"}
    runs.store_config(channels=[{"channel_id": "shop", "output": file}])
    sync(runs, FIRST, *WHOLE)
    runs.platform.objects.put(
        runs.record(FIRST).artifacts["channel_shop"], data
    )
    result = world.relay("runs", "verify", FIRST, "--json")
    files = {file["name"]: file for file in json.loads(result.stdout)["files"]}
    assert files["channel_shop"]["verdict"] == "differs"
    line = files["channel_shop"]["first_difference"]["line"]
    assert line == (1 if data == b"no gzip" else 3)


def test_a_run_of_some_vendors_is(world: ClientWorld, runs: World) -> None:
    runs.store_config(vendor_document("vendor_1"), vendor_document("vendor_2"))
    runs.upload("vendor_2", feed("T01,1,3.00"))
    sync(runs, FIRST, *WHOLE)
    sync(runs, SECOND, *WHOLE[:2], vendors=("vendor_1",))
    assert verified(world, SECOND) == [
        "normalized_vendor_1",
        "merged_inventory",
    ]


def test_a_run_with_a_sku_map_is(world: ClientWorld, runs: World) -> None:
    sku_map = {"type": "s3", "s3_key": f"tenants/{TENANT}/maps/v1.csv"}
    runs.store_config(vendor_document("vendor_1", sku_map=sku_map))
    runs.platform.objects.put(
        sku_map["s3_key"], b"vendor_sku,sku\nS03,MAPPED\n"
    )
    sync(runs, FIRST, *WHOLE)
    runs.platform.objects.put(sku_map["s3_key"], b"vendor_sku,sku\nS03,OTHER\n")
    assert b"MAPPED" in runs.artifact("merged_inventory", FIRST)
    assert verified(world, FIRST) == ["normalized_vendor_1", "merged_inventory"]


def test_a_run_with_a_catalog_is(world: ClientWorld, runs: World) -> None:
    prefix = f"tenants/{TENANT}/inbound/catalog/"
    catalog = {
        "inbound": {"type": "s3", "s3_prefix": prefix},
        "parser": {"format": "csv"},
    }
    runs.store_config(catalog=catalog)
    runs.upload("catalog", b"sku\nS01\nS98\n", name="1.csv")
    sync(runs, FIRST, *WHOLE)
    runs.upload("catalog", b"sku\nS02\n", name="2.csv")
    assert runs.report("run_summary", FIRST)["catalog"]["unmatched"] == 19
    assert verified(world, FIRST) == [
        "normalized_vendor_1",
        "unmatched",
        "merged_inventory",
        "uncovered",
    ]


def test_a_held_run_is_and_the_same_run_once_it_is_released(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    sync(runs, SECOND, *WHOLE[:2])
    hold = runs.record(SECOND).hold
    assert hold is not None
    assert "merged_inventory" in verified(world, SECOND)
    by = {"reason": "a planned sale", "by": "ops"}
    runs.platform.ledger.feeds.release(
        SECOND, Release(hold.sha256, hold.guard_names, **by)
    )
    assert runs.record(SECOND).status is RunStatus.SUCCEEDED
    assert "merged_inventory" in verified(world, SECOND)


def test_a_run_with_overrides_and_a_quarantine_is_by_what_it_has_pinned(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config(
        guards={"quarantine": {"max_pct": 1}},
        output={"columns": ["sku", "price"]},
    )
    sync(runs, FIRST, *WHOLE)
    overrides = runs.platform.overrides
    overrides.put(TENANT, load_overrides([{"sku": "S03", "price": "9.99"}], ()))
    sync(runs, SECOND, "S00,5,1.00", *WHOLE[1:])
    overrides.put(TENANT, load_overrides([{"sku": "S03", "price": "8.88"}], ()))
    assert b"S00,10.00\n" in runs.artifact("merged_inventory", SECOND)
    assert b"S03,9.99\n" in runs.artifact("merged_inventory", SECOND)
    assert {"merged_inventory", "quarantine", "changes"} <= {
        *verified(world, SECOND)
    }
    key = runs.record(SECOND).keys.overrides
    runs.platform.objects.put(
        key, runs.artifact("overrides", SECOND).replace(b"9.99", b"7.77")
    )
    result = world.relay("runs", "verify", SECOND)
    assert result.exit_code == 3
    assert "overrides" in result.stderr


def troubled(runs: World, **changes: Any) -> None:
    """Publish a feed of two vendors, one of which then gives half of its rows."""
    runs.store_config(
        vendor_document("vendor_1", **changes), vendor_document("vendor_2")
    )
    runs.upload(
        "vendor_2", feed(*(f"T{number:02},1,3.00" for number in range(20)))
    )
    sync(runs, FIRST, *WHOLE)
    sync(runs, SECOND, *WHOLE[:2], "S02,x,1.00")


def status_of(runs: World, run_id: str) -> Any:
    return runs.report("input_manifest", run_id)["vendors"]["vendor_1"][
        "status"
    ]


def test_a_run_that_a_last_good_feed_stood_in_for_is(
    world: ClientWorld, runs: World
) -> None:
    sku_map = {"type": "s3", "s3_key": f"tenants/{TENANT}/maps/v1.csv"}
    good = {"max_age_hours": 24, "quantity_pct": 50}
    runs.platform.objects.put(
        sku_map["s3_key"], b"vendor_sku,sku\nS03,MAPPED\n"
    )
    troubled(runs, on_trouble="last_good", last_good=good, sku_map=sku_map)
    assert status_of(runs, SECOND) == "last_good"
    assert b"MAPPED,vendor_1,2,10.00" in runs.artifact(
        "merged_inventory", SECOND
    )
    assert verified(world, SECOND) == [
        "normalized_vendor_1",
        "normalized_vendor_2",
        "invalid_rows",
        "merged_inventory",
        "changes",
    ]


def test_a_run_with_a_last_good_feed_that_was_lent_on_is(
    world: ClientWorld, runs: World
) -> None:
    troubled(runs, on_trouble="last_good")
    sync(runs, THIRD, *WHOLE[:2])
    assert (status_of(runs, THIRD), runs.record(THIRD).baseline_run_id) == (
        "last_good",
        SECOND,
    )
    assert "merged_inventory" in verified(world, THIRD)


def test_a_run_that_left_a_vendor_out_is(
    world: ClientWorld, runs: World
) -> None:
    troubled(runs, on_trouble="leave_out")
    assert status_of(runs, SECOND) == "left_out"
    names = [
        "normalized_vendor_2",
        "invalid_rows",
        "merged_inventory",
        "changes",
    ]
    assert verified(world, SECOND) == names


def test_a_run_whose_last_good_feed_is_in_trouble_too_is(
    world: ClientWorld, runs: World
) -> None:
    good = vendor_document("vendor_1", on_trouble="last_good", required=False)
    troubled(runs, on_trouble="last_good", required=False)
    header = {"column_map": {"cost": "net"}}
    runs.store_config(
        {**good, "parser": {"format": "csv", **header}},
        vendor_document("vendor_2"),
    )
    sync(runs, THIRD, *WHOLE)
    assert status_of(runs, THIRD) == "left_out"
    assert "last_good_vendor_1" in runs.names(THIRD)
    assert "merged_inventory" in verified(world, THIRD)


def test_a_run_that_failed_for_its_data_is(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, "A,x,1.00", "B,1,1.00")
    assert runs.record(FIRST).error_code == "validation_errors"
    assert verified(world, FIRST) == ["normalized_vendor_1", "invalid_rows"]


def test_a_run_without_its_uploads_has_nothing_that_could_differ(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    runs.run(FIRST)
    assert runs.record(FIRST).error_code == "REQUIRED_VENDOR_MISSING"
    assert verified(world, FIRST) == []


def test_limits_that_are_not_the_defaults_are_told_and_kept(
    world: ClientWorld, runs: World
) -> None:
    tight = world.platform.settings.model_copy(update={"max_cell_bytes": 20})
    platform = replace(world.platform, settings=tight)
    runs.connect = lambda: platform
    runs.store_config(
        vendor_document(on_trouble="leave_out"), vendor_document("vendor_2")
    )
    runs.upload("vendor_2", feed("T01,1,3.00"))
    runs.upload("vendor_1", feed("a-sku-of-21-characters,1,3.00"))
    runs.run(FIRST)
    assert status_of(runs, FIRST) == "left_out"
    assert runs.report("run_summary", FIRST)["limits"]["cell_bytes"] == 20
    assert verified(world, FIRST) == ["normalized_vendor_2", "merged_inventory"]


def test_a_run_of_an_upload_without_a_byte_is(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    runs.upload("vendor_1", b"")
    runs.run(FIRST)
    assert runs.record(FIRST).error_code == "no_rows_parsed"
    assert verified(world, FIRST) == ["normalized_vendor_1"]


# --- what is not the same -------------------------------------------------------------------------


def tampered(runs: World, name: str, old: bytes, new: bytes) -> None:
    """Change a file that a run has left."""
    key = runs.platform.objects.artifacts(FIRST, TENANT)[name]
    data = runs.platform.objects.read(key)
    assert old in data
    runs.platform.objects.put(key, data.replace(old, new))


def test_the_first_byte_that_is_not_the_same_is_told_with_its_line(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    tampered(
        runs,
        "merged_inventory",
        b"S03,vendor_1,5,10.00",
        b"S03,vendor_1,5,10.01",
    )
    result = world.relay("runs", "verify", FIRST)
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        "file                 bytes  here",
        "normalized_vendor_1  1,118  the same",
        "merged_inventory     459    differs",
        "",
        "First difference: merged_inventory, line 5",
        "  run   S03,vendor_1,5,10.01",
        "  here  S03,vendor_1,5,10.00",
    ]
    assert textwrap.indent(result.stdout, "    ") in GUIDE
    (same, differs) = json.loads(
        world.relay("runs", "verify", FIRST, "--json").stdout
    )["files"]
    assert same == {
        "name": "normalized_vendor_1",
        "verdict": "the same",
        "bytes": 1118,
    }
    assert differs["first_difference"] == {
        "line": 5,
        "run": "S03,vendor_1,5,10.01",
        "here": "S03,vendor_1,5,10.00",
    }


def test_the_rows_of_a_parquet_feed_may_be_in_other_bytes_where_another_version_wrote_them(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config(output={"format": "parquet", "columns": ["sku", "price"]})
    sync(runs, FIRST, *WHOLE)
    key = runs.record(FIRST).artifacts["merged_inventory"]
    rows = pq.read_table(pa.BufferReader(runs.platform.objects.read(key)))
    pq.write_table(rows, sink := io.BytesIO(), compression="gzip")
    runs.platform.objects.put(key, sink.getvalue())
    result = world.relay("runs", "verify", FIRST)
    assert result.exit_code == 3
    assert "merged_inventory, the same rows in other bytes" in result.stdout
    tampered(runs, "run_summary", ENGINE_VERSION.encode(), b"0.0.1")
    result = world.relay("runs", "verify", FIRST)
    assert result.exit_code == 0
    assert result.stdout.endswith(
        f"Run {FIRST} is verified: 2 files, the same rows.\n"
    )


def test_a_file_that_is_there_on_one_side_alone_is_a_difference(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    objects = runs.platform.objects
    links = runs.platform.objects.artifacts(FIRST, TENANT)
    objects.delete(links["normalized_vendor_1"])
    objects.put(
        runs.record(FIRST).keys.invalid_rows,
        b"vendor_id,row_number,error_codes,raw\n",
    )
    objects.put(runs.record(FIRST).keys.quarantine, b"sku,action\n")
    result = world.relay("runs", "verify", FIRST)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[1:] == [
        "normalized_vendor_1  -      only in the replay",
        "merged_inventory     459    the same",
        "invalid_rows         -      only in the run",
        "quarantine           -      only in the run",
        "",
        "First difference: normalized_vendor_1, only in the replay",
    ]


def test_an_input_that_is_not_the_one_the_run_has_read_proves_nothing(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    tampered(runs, "inbound_vendor_1", b"S03,5,10.00", b"S03,6,10.00")
    result = world.relay("runs", "verify", FIRST)
    assert (result.exit_code, result.stdout) == (3, "")
    assert (
        f"inbound_vendor_1 of run {FIRST} is not the file that the run read"
        in result.stderr
    )


def test_another_version_of_the_engine_is_named_and_compared_all_the_same(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    version = json.dumps(ENGINE_VERSION).encode()
    tampered(
        runs,
        "run_summary",
        b'"engine_version": ' + version,
        b'"engine_version": "0.0.9"',
    )
    result = world.relay("runs", "verify", FIRST)
    assert result.exit_code == 0, result.output
    assert (
        f"The run used engine 0.0.9, and this is engine {ENGINE_VERSION}."
        in result.stderr
    )


# --- what cannot be compared ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["inbound_vendor_1", "config_snapshot", "input_manifest"]
)
def test_where_a_file_is_gone_that_is_said(
    world: ClientWorld, runs: World, name: str
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    runs.platform.objects.delete(
        runs.platform.objects.artifacts(FIRST, TENANT)[name]
    )
    result = world.relay("runs", "verify", FIRST)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Run {FIRST} has no {name}" in result.stderr
    assert "kept for RETENTION_DAYS" in result.stderr


def test_a_file_that_goes_after_it_was_linked_to_is_gone(
    world: ClientWorld, runs: World, tmp_path: Path
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    with ApiClient(world.url, ADMIN) as api:
        trail = RunArtifacts.of(Session(api, Screen()), FIRST, tmp_path)
        for name in ("inbound_vendor_1", "input_manifest"):
            runs.platform.objects.delete(runs.record(FIRST).artifacts[name])
        with pytest.raises(
            NotReplayableError, match="inbound_vendor_1 cannot be downloaded"
        ):
            trail.file("inbound_vendor_1")
        with pytest.raises(
            NotReplayableError,
            match=r"input_manifest\.json cannot be downloaded",
        ):
            trail.manifest()


def test_where_the_state_of_the_baseline_is_gone_that_is_said(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    sync(runs, SECOND, *WHOLE)
    runs.platform.objects.delete(runs.record(SECOND).keys.baseline_state)
    result = world.relay("runs", "verify", SECOND)
    assert (
        result.exit_code,
        f"Run {SECOND} has no baseline_state" in result.stderr,
    ) == (
        2,
        True,
    )


def test_a_run_of_a_config_of_another_schema_has_nothing_to_compare(
    world: ClientWorld, runs: World
) -> None:
    runs.platform.tenants.put(
        TENANT, json.dumps(config_document(schema_version=2))
    )
    runs.run(FIRST)
    assert runs.record(FIRST).error_code == "unsupported_schema_version"
    result = world.relay("runs", "verify", FIRST)
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        f"Run {FIRST} read nothing: unsupported schema version" in result.stderr
    )


def test_a_run_that_is_under_way_is_not_compared(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    runs.request(FIRST)
    result = world.relay("runs", "verify", FIRST)
    assert result.exit_code == 2
    assert f"Run {FIRST} is QUEUED. Wait until it ends" in result.stderr


def test_a_run_that_merged_rows_of_another_names_that_one(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    by_hand = runs.execute(None, assets=["merged_inventory"])
    result = world.relay("runs", "verify", by_hand.run_id)
    assert result.exit_code == 2, result.output
    assert (
        f"merged rows that another run read. Verify that run instead (run {FIRST})."
        in result.stderr
    )


def test_a_run_that_only_normalized_by_hand_is_proved_so_far(
    world: ClientWorld, runs: World
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    by_hand = runs.execute(
        None, assets=["fetched_inventory", "normalized_inventory"]
    )
    assert verified(world, by_hand.run_id) == ["normalized_vendor_1"]


def test_a_run_that_nobody_knows_is_refused(world: ClientWorld) -> None:
    result = world.relay("runs", "verify", NOBODY_S_RUN)
    assert (result.exit_code, "RUN_NOT_FOUND" in result.stderr) == (1, True)


def test_nothing_is_left_on_this_machine(
    world: ClientWorld,
    runs: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs.store_config()
    sync(runs, FIRST, *WHOLE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert verified(world, FIRST)
    assert list(tmp_path.iterdir()) == []
