"""A vendor's several files in the bucket: chosen, copied, and pinned in reading order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from relay_core.config import load_config
from relay_core.domain.codes import VendorStatus
from relay_core.domain.limits import Limits
from relay_core.domain.records import RunContext
from relay_core.validation.vendor_failures import VendorState
from relay_dagster.aws.overrides import OverrideDocument
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.execution.inputs import InputSnapshot
from relay_dagster.wiring import Platform
from support.builders import (
    REQUESTED_AT,
    RUN_ID,
    config_document,
    vendor_document,
)
from support.file_lists import part

CHANGES = {"full": "a-full*", "delta": "b-delta*"}
PREFIX = "tenants/acme/inbound/"
LONG_NAME = f"{'x' * 150}.csv"


@pytest.fixture
def io() -> Iterator[ConcurrentIO]:
    io = ConcurrentIO(2)
    yield io
    io.close()


def snapshot_of(
    platform: Platform, io: ConcurrentIO, **vendor: Any
) -> InputSnapshot:
    document = config_document(vendor_document("acme", **vendor))
    config = load_config(document)
    context = RunContext(RUN_ID, "acme", REQUESTED_AT)
    sink = BucketSink(platform.objects, context, io)
    return InputSnapshot(
        sink,
        config.vendors,
        Limits(feed_bytes=1_000),
        REQUESTED_AT,
        lambda _: OverrideDocument(),
    )


def upload(platform: Platform, *names: str) -> None:
    for name in names:
        platform.objects.put(PREFIX + name, f"sku of {name}".encode())


OPTIONS: dict[str, Any] = {
    "duplicate_skus": "last",
    "changes": CHANGES,
    "parts": [part()],
}
STOCK = f"of_part/stock/{LONG_NAME}"


def test_every_file_is_copied_and_pinned_in_reading_order(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform, "acme/a-full-1", "acme/b-delta-1", "acme/note")
    upload(platform, "of_part/stock/old.csv", STOCK)
    snapshot = snapshot_of(platform, io, **OPTIONS)
    inputs = snapshot.take(is_first=True)
    keys = snapshot.sink.keys
    folder = f"{keys.prefix}inbound/acme/files/"
    manifest = json.loads(platform.objects.read(keys.input_manifest))
    entry = manifest["vendors"]["acme"]
    assert list(entry)[-1] == "files"
    expected = (
        (None, "full", "acme/a-full-1", "1/a-full-1"),
        (None, "delta", "acme/b-delta-1", "2/b-delta-1"),
        ("stock", "full", STOCK, f"3/{LONG_NAME[-100:]}"),
    )
    for file, (part_id, kind, name, copy) in zip(
        entry["files"], expected, strict=True
    ):
        assert list(file) == [
            *("part_id", "kind", "s3_key", "etag", "size"),
            *("last_modified", "run_copy_key", "sha256"),
        ]
        assert (file["part_id"], file["kind"]) == (part_id, kind)
        assert file["s3_key"] == PREFIX + name
        assert file["run_copy_key"] == folder + copy
        assert platform.objects.read(folder + copy) == f"sku of {name}".encode()
    first_file = {
        name: entry[name] for name in entry["files"][0] if name in entry
    }
    assert first_file == {
        name: value
        for name, value in entry["files"][0].items()
        if name not in ("part_id", "kind")
    }
    assert (entry["status"], entry["selection"]) == ("found", "latest")
    assert snapshot.sink.artifacts == {
        "input_manifest": keys.input_manifest,
        **{
            f"inbound_acme.{number}": folder + copy
            for number, (*_, copy) in enumerate(expected, 1)
        },
    }
    assert [
        (file.part_id, file.kind)
        for file in inputs.vendor_inputs()["acme"].files
    ] == [(None, "full"), (None, "delta"), ("stock", "full")]


def test_uploads_between_two_attempts_change_nothing(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform, "acme/a-full-1", STOCK)
    snapshot = snapshot_of(platform, io, **OPTIONS)
    first = snapshot.take(is_first=True)
    upload(platform, "acme/b-delta-1", "acme/a-full-2", "of_part/stock/new.csv")
    again = snapshot.take(is_first=False)
    assert again.entries == first.entries
    states = {"acme": VendorState(VendorStatus.FOUND)}
    snapshot.complete(again, states)
    body = platform.objects.read(snapshot.sink.keys.input_manifest)
    entry = json.loads(body)["vendors"]["acme"]
    assert list(entry)[-1] == "files"
    assert entry["files"] == first.entries["acme"]["files"]


def test_a_vendor_without_its_base_or_its_part_has_the_other_files_alone(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform, "acme/b-delta-1", STOCK)
    inputs = snapshot_of(platform, io, **OPTIONS).take(is_first=True)
    entry = inputs.entries["acme"]
    assert (entry["status"], entry["s3_key"]) == ("missing", None)
    assert [file["part_id"] for file in entry["files"]] == ["stock"]


def test_a_plain_vendor_has_no_list_of_files(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform, "acme/a-full-1")
    snapshot = snapshot_of(platform, io)
    entry = snapshot.take(is_first=True).entries["acme"]
    assert "files" not in entry
    assert entry["run_copy_key"].endswith("/inbound/acme/a-full-1")


def test_a_file_that_is_too_large_is_pinned_and_not_copied(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform, "acme/a-full-1")
    platform.objects.put(PREFIX + STOCK, b"x" * 1_001)
    inputs = snapshot_of(platform, io, **OPTIONS).take(is_first=True)
    full, stock = inputs.files_of("acme")
    assert (full.run_copy_key is None, stock.run_copy_key is None) == (
        False,
        True,
    )
    assert stock.size == 1_001
