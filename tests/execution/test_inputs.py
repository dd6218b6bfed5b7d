"""Which files a run reads: found once, copied, pinned; reused where it looks for none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from relay_core.config import TenantConfig, load_overrides
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.records import RunContext
from relay_core.publish.reports import overrides_json
from relay_dagster.aws.overrides import OverrideDocument
from relay_dagster.aws.stored_objects import ObjectInfo
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.execution.inputs import (
    InputSnapshot,
    read_manifest,
)
from relay_dagster.execution.pinned_inputs import PinnedInputs, verified
from relay_dagster.external_errors import ObjectChangedError
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform
from support.builders import (
    REQUESTED_AT,
    RUN_ID,
    tenant_config,
    vendor_document,
)
from support.fakes import CallCounter

MAP_KEY = "tenants/acme/maps/vendor_1.csv"
SECOND = timedelta(seconds=1)
OTHER_RUN = "0d1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e22"
NONE = OverrideDocument()
CONFIG = tenant_config(
    vendor_document("vendor_1", sku_map={"type": "s3", "s3_key": MAP_KEY}),
    vendor_document("vendor_2", required=False),
)


@pytest.fixture
def io() -> Iterator[ConcurrentIO]:
    io = ConcurrentIO(2)
    yield io
    io.close()


def snapshot(
    objects: Any,
    io: ConcurrentIO,
    run_id: str = RUN_ID,
    config: TenantConfig = CONFIG,
    limits: Limits = DEFAULT_LIMITS,
    overrides: OverrideDocument = NONE,
) -> InputSnapshot:
    context = RunContext(run_id, "acme", REQUESTED_AT)
    sink = BucketSink(objects, context, io)
    return InputSnapshot(
        sink, config.vendors, limits, REQUESTED_AT, lambda _: overrides
    )


def upload(
    platform: Platform, data: bytes = b"sku\n", name: str = "a.csv"
) -> None:
    platform.objects.put(f"tenants/acme/inbound/vendor_1/{name}", data)
    platform.objects.put(MAP_KEY, b"vendor_sku,sku\n")


def copy_of_one(inputs: PinnedInputs) -> str:
    """Return the key of the run's copy of the one file of vendor_1."""
    (file,) = inputs.files_of("vendor_1")
    return str(file.run_copy_key)


def record_of(*run_ids: str) -> Sequence[RunRecord]:
    return [
        RunRecord(run_id=run_id, tenant_id="acme", requested_at=REQUESTED_AT)
        for run_id in run_ids
    ]


def test_a_feed_is_copied_into_the_run_and_pinned_with_its_map(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform, b"sku\nA\n")
    inputs = snapshot(platform.objects, io).take(is_first=True)
    assert (inputs.vendors_with_feed(), set(inputs.sku_map_sizes)) == (
        ["vendor_1"],
        {"vendor_1"},
    )
    assert inputs.entries["vendor_1"]["s3_key"].endswith("/a.csv")
    assert platform.objects.read(copy_of_one(inputs)) == b"sku\nA\n"
    assert inputs.files_of("vendor_1")[0].size == 6
    assert inputs.entries["vendor_2"]["status"] == "missing"
    assert (
        inputs.entries["vendor_2"]["expected_prefix"]
        == "tenants/acme/inbound/vendor_2/"
    )


@pytest.mark.parametrize(("limit", "copied"), [(6, True), (5, False)])
def test_a_feed_that_is_too_large_is_found_and_not_copied(
    platform: Platform, io: ConcurrentIO, limit: int, copied: bool
) -> None:
    upload(platform, b"sku\nA\n")
    limits = Limits(feed_bytes=limit)
    calls = CallCounter(platform)
    first = snapshot(platform.objects, io, limits=limits).take(is_first=True)
    again = snapshot(platform.objects, io, limits=limits).take(is_first=False)
    reusing = snapshot(platform.objects, io, OTHER_RUN, limits=limits)
    reused = reusing.reuse(record_of(RUN_ID), with_work=False)
    for inputs in (first, again, reused):
        assert (
            inputs.vendors_with_feed(),
            inputs.files_of("vendor_1")[0].size,
        ) == (
            ["vendor_1"],
            6,
        )
        assert (
            inputs.entries["vendor_1"]["run_copy_key"] is not None
        ) is copied
    assert ("inbound_vendor_1" in reusing.sink.artifacts) is copied
    copies = [
        key for key in calls.keys_of("s3.CopyObject") if "/sku_map/" not in key
    ]
    assert any("/inbound/vendor_1/" in key for key in copies) is copied


@pytest.mark.parametrize(("limit", "copied"), [(15, True), (14, False)])
def test_a_map_that_is_too_large_is_found_and_not_copied(
    platform: Platform, io: ConcurrentIO, limit: int, copied: bool
) -> None:
    upload(platform)
    limits = Limits(sku_map_bytes=limit)
    calls = CallCounter(platform)
    for is_first in (True, False):
        inputs = snapshot(platform.objects, io, limits=limits).take(
            is_first=is_first
        )
        assert inputs.sku_map_sizes == {"vendor_1": 15}
    assert (
        any(
            key.endswith("/sku_map.csv")
            for key in calls.keys_of("s3.CopyObject")
        )
        is copied
    )


def test_the_copy_of_a_feed_of_a_long_name_is_named_after_its_end(
    platform: Platform, io: ConcurrentIO
) -> None:
    name = f"{'é' * 300}-{'x' * 196}.csv"
    upload(platform, name=name)
    copy = copy_of_one(snapshot(platform.objects, io).take(is_first=True))
    assert copy.rpartition("/")[2] == f"{'x' * 196}.csv"


def test_a_later_attempt_reads_the_manifest_and_lists_nothing(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform)
    first = snapshot(platform.objects, io).take(is_first=True)
    upload(platform, b"later\n", "b.csv")
    calls = CallCounter(platform)
    again = snapshot(platform.objects, io).take(is_first=False)
    assert again.entries == first.entries
    assert calls["s3.ListObjectsV2"] == 0


def test_what_another_attempt_has_pinned_meanwhile_counts(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform)
    first = snapshot(platform.objects, io).take(is_first=True)
    upload(platform, b"later\n", "b.csv")
    slower = snapshot(platform.objects, io).take(is_first=True)
    assert slower.entries == first.entries


def document(version: int, *overrides: dict[str, Any]) -> OverrideDocument:
    parsed = load_overrides(overrides, ())
    return OverrideDocument(
        version, {override.sku: override for override in parsed}
    )


def test_overrides_are_pinned_as_they_stand_for_those_that_are_not_over_when_it_was_asked_for(
    platform: Platform, io: ConcurrentIO
) -> None:
    overrides = document(
        7,
        {
            "sku": "A",
            "price": "9.9",
            "expires_at": (REQUESTED_AT + SECOND).isoformat(),
        },
        {"sku": "B", "price": "1", "expires_at": REQUESTED_AT.isoformat()},
        {"sku": "C", "leave_out": True},
    )
    pinning = snapshot(platform.objects, io, overrides=overrides)
    inputs = pinning.take(is_first=True)
    assert [override.sku for override in inputs.overrides] == ["A", "C"]
    pinning.complete(inputs, {})
    manifest = read_manifest(platform.objects, pinning.sink.keys)
    assert manifest is not None
    digest = hashlib.sha256(overrides_json(inputs.overrides)).hexdigest()
    assert manifest["overrides"] == {"version": 7, "count": 2, "sha256": digest}
    assert list(manifest)[3:] == ["generated_at", "overrides", "vendors"]


@pytest.mark.parametrize("is_first", [True, False], ids=["frozen", "next"])
def test_another_attempt_uses_the_overrides_that_are_pinned(
    platform: Platform, io: ConcurrentIO, is_first: bool
) -> None:
    first = snapshot(
        platform.objects, io, overrides=document(1, {"sku": "A", "price": "1"})
    )
    inputs = first.take(is_first=True)
    for later in (document(2, {"sku": "B", "price": "1"}), document(3)):
        again = snapshot(platform.objects, io, overrides=later).take(
            is_first=is_first
        )
        assert (again.overrides, again.override_pins) == (
            inputs.overrides,
            inputs.override_pins,
        )


def test_none_that_is_used_is_pinned_as_none(
    platform: Platform, io: ConcurrentIO
) -> None:
    over = {"sku": "A", "price": "1", "expires_at": REQUESTED_AT.isoformat()}
    for overrides in (OverrideDocument(), document(3, over)):
        inputs = snapshot(platform.objects, io, overrides=overrides).take(
            is_first=True
        )
        assert (inputs.overrides, inputs.override_pins) == ((), None)


def test_a_manifest_of_an_earlier_release_pins_no_overrides(
    platform: Platform, io: ConcurrentIO
) -> None:
    pinning = snapshot(
        platform.objects, io, overrides=document(1, {"sku": "A", "price": "1"})
    )
    pinning.take(is_first=True)
    key = pinning.sink.keys.input_manifest
    manifest = json.loads(platform.objects.read(key))
    del manifest["overrides"]
    platform.objects.put(key, json.dumps(manifest).encode())
    assert pinning.take(is_first=False).overrides == ()


def test_what_a_frozen_attempt_has_copied_over_a_pinned_feed_is_not_read(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform, b"sku\nB\n")
    inputs = snapshot(platform.objects, io).take(is_first=False)
    (file,) = inputs.files_of("vendor_1")
    assert verified(platform.objects, file, b"sku\nB\n") == b"sku\nB\n"
    platform.objects.put(copy_of_one(inputs), b"sku\nC\n")
    data = platform.objects.read(copy_of_one(inputs))
    assert verified(platform.objects, file, data) == b"sku\nB\n"
    upload(platform, b"sku\nD\n")
    with pytest.raises(ObjectChangedError):
        verified(platform.objects, file, data)


@pytest.mark.parametrize(
    ("times", "found"), [(2, True), (3, False)], ids=["twice", "each time"]
)
def test_an_upload_that_is_replaced_while_it_is_copied_is_looked_for_again(
    platform: Platform, io: ConcurrentIO, times: int, found: bool
) -> None:
    class Busy:
        """A bucket whose upload is replaced whenever it is copied, so often."""

        left = times

        def __getattr__(self, name: str) -> Any:
            return getattr(platform.objects, name)

        def copy_pinned(self, source: ObjectInfo, target_key: str) -> str:
            if self.left:
                self.left -= 1
                raise ObjectChangedError("s3.CopyObject", "it was replaced")
            return platform.objects.copy_pinned(source, target_key)

    upload(platform)
    if found:
        assert snapshot(Busy(), io).take(is_first=True).vendors_with_feed() == [
            "vendor_1"
        ]
    else:
        with pytest.raises(ObjectChangedError):
            snapshot(Busy(), io).take(is_first=True)


def test_a_map_that_is_not_there_is_none_of_the_run(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform)
    platform.objects.delete(MAP_KEY)
    inputs = snapshot(platform.objects, io).take(is_first=True)
    assert (inputs.vendors_with_feed(), set(inputs.sku_map_sizes)) == (
        ["vendor_1"],
        set(),
    )


def test_inputs_are_reused_from_the_last_other_run_that_has_some(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform, b"sku\nA\n")
    snapshot(platform.objects, io, OTHER_RUN).take(is_first=True)
    reusing = snapshot(platform.objects, io)
    inputs = reusing.reuse(record_of(RUN_ID, OTHER_RUN), with_work=False)
    assert inputs.entries["vendor_1"]["selection"] == f"run {OTHER_RUN}"
    assert copy_of_one(inputs).startswith(f"{RUN_ID}/")
    assert platform.objects.read(copy_of_one(inputs)) == b"sku\nA\n"
    manifest = json.loads(
        platform.objects.read(reusing.sink.keys.input_manifest)
    )
    assert manifest["vendors"]["vendor_1"]["status"] == "found"


def test_a_run_without_work_files_lends_none(
    platform: Platform, io: ConcurrentIO
) -> None:
    upload(platform)
    snapshot(platform.objects, io, OTHER_RUN).take(is_first=True)
    inputs = snapshot(platform.objects, io).reuse(
        record_of(OTHER_RUN), with_work=True
    )
    assert inputs.vendors_with_feed() == []
    assert {entry["status"] for entry in inputs.entries.values()} == {"missing"}
