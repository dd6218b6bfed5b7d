"""Hostile feeds of all formats in one run: each ends as it should, and harms no other vendor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.feeds import Shape, config_document
from benchmarks.formats import FORMATS
from benchmarks.hostile_formats import (
    MOST,
    PACKED_FEEDS,
    VENDOR,
    PackedFeed,
    source_of,
    write_packed_feed,
)
from benchmarks.sitting import ROOT

SIZE = 800_000
IDS = {feed.name: f"v{place}" for place, feed in enumerate(PACKED_FEEDS)}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run all feeds as vendors of one tenant; return the manifest's vendors and the summary."""
    folder = tmp_path_factory.mktemp("hostile")
    sources = {
        name: source_of(SIZE, name, folder / "source" / name)
        for name in FORMATS
    }
    document = config_document(Shape(rows=1, vendors=1, mapped=0))
    document["vendors"] = []
    options = []
    for feed in PACKED_FEEDS:
        case_folder = folder / IDS[feed.name]
        write_packed_feed(feed, sources[feed.format], case_folder)
        (vendor,) = json.loads(
            (case_folder / "config.json").read_text("utf-8")
        )["vendors"]
        named = {"vendor_id": IDS[feed.name], "on_trouble": "leave_out"}
        document["vendors"].append(vendor | named)
        options.append(
            f"--vendor-file={IDS[feed.name]}={case_folder / f'{VENDOR}.csv'}"
        )
    config = folder / "config.json"
    config.write_text(json.dumps(document), "utf-8")
    process = subprocess.run(
        [
            *(
                sys.executable,
                str(ROOT / "scripts" / "local_run.py"),
                f"--config={config}",
            ),
            *(f"--output-dir={folder / 'out'}", *options),
        ],
        env=os.environ | {"RELAY_MAX_FEED_BYTES": str(MOST * SIZE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    names = ("input_manifest", "run_summary")
    manifest, summary = (
        json.loads(
            (folder / "out" / "reports" / f"{name}.json").read_text("utf-8")
        )
        for name in names
    )
    return {
        "vendors": manifest["vendors"],
        "rows": summary["vendor_record_counts"],
    }


@pytest.mark.parametrize("feed", PACKED_FEEDS, ids=lambda feed: feed.name)
def test_a_hostile_feed_ends_with_its_code_and_the_others_go_on(
    feed: PackedFeed, reports: dict[str, Any]
) -> None:
    vendor_id = IDS[feed.name]
    trouble = reports["vendors"][vendor_id]["trouble"]
    rows = reports["rows"][vendor_id]
    code = (
        ""
        if rows
        else "no_rows_parsed"
        if trouble is None
        else trouble["error_code"]
    )
    assert code == feed.ends


def test_each_format_has_a_clean_feed_that_is_read_whole(
    reports: dict[str, Any],
) -> None:
    for name in FORMATS:
        assert reports["rows"][IDS[f"clean, {name}"]] > 500


def test_every_feed_is_held_beside_one_that_there_is() -> None:
    assert {feed.beside for feed in PACKED_FEEDS} <= IDS.keys()
    assert len(IDS) == len(PACKED_FEEDS)
