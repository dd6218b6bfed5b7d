"""The last good feed of a vendor of several files: all of them, as the baseline read them."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.domain.codes import RunStatus
from support.builders import feed
from support.lent_files import (
    BASE,
    FILE_NAMES,
    FIRST,
    MERGED,
    SECOND,
    THIRD,
    publish_first,
    store_config,
    sync,
    upload_faulty_part,
)
from support.run_world import World

pytestmark = pytest.mark.platform(backoff_base_seconds=0)


def entry_of(world: World, run_id: str) -> dict[str, Any]:
    entry: dict[str, Any] = world.report("input_manifest", run_id)["vendors"][
        "acme"
    ]
    return entry


def assert_lent(world: World, run_id: str, from_run_id: str) -> None:
    """Assert that a run has used the files of the first run, from another run."""
    record = world.record(run_id)
    assert record.status is RunStatus.SUCCEEDED
    entry = entry_of(world, run_id)
    assert (entry["status"], entry["last_good_run_id"], entry["age_hours"]) == (
        "last_good",
        from_run_id,
        0,
    )
    assert world.artifact("merged_inventory", run_id) == MERGED
    folder = f"{run_id}/tenants/acme/inbound/acme/last_good/files/"
    names = (name[-100:] for name in FILE_NAMES)
    lent = {
        f"last_good_acme.{number}": f"{folder}{number}/{name}"
        for number, name in enumerate(names, 1)
    }
    artifacts = dict(record.artifacts)
    assert {
        name: key
        for name, key in artifacts.items()
        if name.startswith("last_good")
    } == lent
    for number, name in enumerate(lent, 1):
        assert world.artifact(name, run_id) == world.artifact(
            f"inbound_acme.{number}", FIRST
        )
    assert world.report("run_summary", run_id)["warnings"] == {
        "VENDOR_LAST_GOOD": 1
    }


def test_a_faulty_required_part_has_all_files_of_the_last_good_feed(
    world: World,
) -> None:
    store_config(world)
    publish_first(world)
    upload_faulty_part(world)
    sync(world, SECOND)
    assert_lent(world, SECOND, FIRST)
    entry = entry_of(world, SECOND)
    assert entry["trouble"]["error_code"] == "missing_required_columns"
    assert "part 'stock'" in entry["trouble"]["error_message"]
    assert [file["s3_key"].rpartition("/")[2] for file in entry["files"]] == [
        *FILE_NAMES[:2],
        "b-delta-2.csv",
        "t.csv",
    ]
    sync(world, THIRD)
    assert_lent(world, THIRD, SECOND)


def test_stale_files_are_replaced_before_they_are_read(world: World) -> None:
    store_config(world, max_deltas=1)
    publish_first(world)
    world.upload("acme", feed("A,99", header=BASE), "b-delta-2.csv")
    sync(world, SECOND)
    assert_lent(world, SECOND, FIRST)
    entry = entry_of(world, SECOND)
    assert entry["trouble"]["error_code"] == "STALE_FEED"
    assert "2 files of changes" in entry["trouble"]["error_message"]
    # The rows that are refused are those of uploads alone.
    assert "invalid_rows" in world.names(FIRST)
    assert "invalid_rows" not in world.names(SECOND)
    sync(world, THIRD)
    assert_lent(world, THIRD, SECOND)


def test_without_a_file_of_a_required_part_there_is_no_last_good_feed(
    world: World,
) -> None:
    store_config(world)
    publish_first(world)
    upload_faulty_part(world)
    keys = dict(world.record(FIRST).artifacts)
    world.platform.objects.delete(keys["inbound_acme.3"])
    record = sync(world, SECOND)
    assert (record.status, record.error_code) == (
        RunStatus.FAILED,
        "missing_required_columns",
    )
