"""Uploads of parts start runs: each part's by itself, and only files that are inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from relay_dagster.runs.model import RunRecord
from support.builders import config_document, part_document, vendor_document
from support.triggers_world import (
    TENANT,
    TriggersWorld,
    s3_event,
    triggers_world,
)

BASE = "tenants/acme/inbound/vendor_1/"
PRICES = "tenants/acme/inbound/part_prices/"
CHANGES = {"full": "full-*.csv", "delta": "*-delta.csv"}


@pytest.fixture
def world() -> Iterator[TriggersWorld]:
    with triggers_world() as world:
        store(world)
        yield world


def store(world: TriggersWorld, **options: Any) -> None:
    """Store a config of a vendor with changes, and with a part of prices."""
    vendor = vendor_document(
        **{
            "changes": CHANGES,
            "duplicate_skus": "last",
            "parts": [part_document()],
            **options,
        }
    )
    document = config_document(
        vendor, triggers={"on_upload": {"quiet_seconds": 0}}
    )
    world.platform.tenants.put(TENANT, json.dumps(document))


def upload(world: TriggersWorld, key: str) -> datetime:
    """Upload a file, tell of it, and return when the bucket says that it came."""
    world.platform.objects.put(key, key.encode())
    world.drain()
    world.tell(s3_event(key, world.clock()))
    world.take_in()
    stored = world.platform.objects.listed_object(key)
    assert stored is not None
    return stored.last_modified


def tell_later(world: TriggersWorld, key: str) -> None:
    """Tell of a file again two minutes later, which must not start a run."""
    world.clock.advance(seconds=120)
    world.tell(s3_event(key, world.clock()))
    world.take_in()
    assert world.watch(120, every=40) == 0


def end(
    world: TriggersWorld,
    record: RunRecord,
    files: Sequence[tuple[str | None, datetime]] | None,
) -> None:
    """Let a run pin files of the vendor, each of a part, and end."""
    world.platform.ledger.dispatch(
        record.run_id, 1, message_id="m", receipt_handle="h"
    )
    base_times = [at for part_id, at in files or () if part_id is None]
    newest = max(base_times, default=None)
    entry: dict[str, Any] = {
        "selection": None if newest is None else "latest",
        "last_modified": None if newest is None else newest.isoformat(),
    }
    if files is not None:
        entry["files"] = [
            {"part_id": part_id, "last_modified": at.isoformat()}
            for part_id, at in files
        ]
    body = json.dumps({"vendors": {"vendor_1": entry}}).encode()
    world.platform.objects.put(record.keys.input_manifest, body)
    world.platform.ledger.cancel(record.run_id)


def test_an_upload_of_a_part_starts_a_run(world: TriggersWorld) -> None:
    upload(world, f"{PRICES}monday.csv")
    assert len(world.runs()) == 1


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("full-1.csv", 1),
        ("1-delta.csv", 1),
        ("pulled/20260301T120000Z-full-1.csv", 1),
        ("link-0123456789abcdef-20260301T12-01/full-.csv", 1),
        # It fits both patterns.
        ("full-1-delta.csv", 0),
        ("FULL-1.csv", 0),
        ("other.csv", 0),
        ("20260301T120000Z-full-1.csv", 0),
        ("pulled/monday-full-1.csv", 0),
    ],
)
def test_a_name_that_fits_both_patterns_or_neither_starts_nothing(
    world: TriggersWorld, name: str, starts: int
) -> None:
    upload(world, f"{BASE}{name}")
    world.watch(120, every=40)
    assert len(world.runs()) == starts


def test_an_upload_is_spent_by_what_was_pinned_of_its_part(
    world: TriggersWorld,
) -> None:
    base_at = upload(world, f"{BASE}full-1.csv")
    (run,) = world.runs()
    later = base_at + timedelta(hours=1)
    # The base's file is older than the part's, of which the run has none.
    end(world, run, [(None, later)])
    upload(world, f"{PRICES}monday.csv")
    world.watch(120, every=40)
    assert len(world.runs()) == 2
    end(world, world.runs()[1], [(None, base_at), ("prices", later)])
    upload(world, f"{PRICES}monday.csv")
    world.watch(120, every=40)
    assert len(world.runs()) == 2
    assert world.state.uploads == frozenset()


def test_the_newest_of_a_part_s_pinned_files_counts(
    world: TriggersWorld,
) -> None:
    at = upload(world, f"{BASE}full-1.csv")
    (run,) = world.runs()
    end(world, run, [(None, at - timedelta(hours=1)), (None, at)])
    tell_later(world, f"{BASE}full-1.csv")
    assert len(world.runs()) == 1


def test_a_newer_file_that_is_no_input_is_not_waited_for(
    world: TriggersWorld,
) -> None:
    at = upload(world, f"{BASE}full-1.csv")
    (run,) = world.runs()
    end(world, run, [(None, at)])
    # The event's file is gone, and the newest one is not an input.
    world.platform.objects.put(f"{BASE}zzz.csv", b"x")
    tell_later(world, f"{BASE}full-9.csv")
    assert len(world.runs()) == 1


def test_a_run_without_a_part_leaves_what_an_earlier_run_has_spent(
    world: TriggersWorld,
) -> None:
    at = upload(world, f"{PRICES}monday.csv")
    end(world, world.runs()[0], [("prices", at)])
    store(world, changes=None, parts=[])
    world.clock.advance(seconds=120)
    upload(world, f"{BASE}full-1.csv")
    end(world, world.runs()[1], None)
    store(world)
    tell_later(world, f"{PRICES}monday.csv")
    assert len(world.runs()) == 2


def test_a_run_of_an_earlier_config_has_not_looked_at_a_part(
    world: TriggersWorld,
) -> None:
    store(world, changes=None, parts=[])
    upload(world, f"{BASE}full-1.csv")
    (run,) = world.runs()
    end(world, run, None)
    store(world)
    upload(world, f"{PRICES}monday.csv")
    world.watch(120, every=40)
    assert len(world.runs()) == 2
