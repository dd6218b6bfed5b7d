"""A replay of runs that use the last good files of a vendor of several files."""

from __future__ import annotations

import json

from support.builders import feed
from support.client_world import ClientWorld
from support.lent_files import (
    BASE,
    FILE_NAMES,
    FOURTH,
    SECOND,
    THIRD,
    publish_first,
    store_config,
    sync,
    upload_faulty_part,
)
from support.run_world import World


def assert_proved(world: ClientWorld, run_id: str) -> None:
    """Assert that a replay gives the same bytes."""
    result = world.relay("runs", "verify", run_id, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["same"]


def file_of_row(world: ClientWorld, run_id: str, sku: str) -> str:
    """Return the file that the winner of a SKU is in."""
    result = world.relay("runs", "explain", run_id, sku, "--json")
    assert result.exit_code == 0, result.output
    return str(json.loads(result.stdout)["winner"]["file"])


def test_files_that_are_lent_on_from_run_to_run_are_read_again(
    world: ClientWorld, runs: World
) -> None:
    store_config(runs)
    publish_first(runs)
    upload_faulty_part(runs)
    for run_id in (SECOND, THIRD, FOURTH):
        sync(runs, run_id)
        entry = runs.report("input_manifest", run_id)["vendors"]["acme"]
        assert entry["status"] == "last_good"
        assert_proved(world, run_id)
        assert file_of_row(world, run_id, "A") == FILE_NAMES[0]
        assert file_of_row(world, run_id, "B") == FILE_NAMES[1]


def test_files_that_stale_ones_are_replaced_by_are_read_again(
    world: ClientWorld, runs: World
) -> None:
    store_config(runs, max_deltas=1)
    publish_first(runs)
    runs.upload("acme", feed("A,99", header=BASE), "b-delta-2.csv")
    for run_id in (SECOND, THIRD):
        sync(runs, run_id)
        assert_proved(world, run_id)
