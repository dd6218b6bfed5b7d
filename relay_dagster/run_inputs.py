"""Which files a run reads: found once, copied into the run's prefix and pinned by its manifest.

The first attempt writes ``input_manifest.json`` if there is none, after copying; every later one
reads it and lists nothing. So all attempts read the same bytes, whatever a vendor uploads.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from relay_core.artifacts import ArtifactKeys, input_manifest_json, timestamp
from relay_core.config import TenantConfig, VendorConfig
from relay_core.pipeline import InputVerdict, judge_inputs
from relay_dagster.aws.feed_store import FeedStore
from relay_dagster.faults import ObjectChangedError
from relay_dagster.records import RunRecord
from relay_dagster.run_reports import JSON, WORK_FILES, RunReports

SKU_MAP_FILE = "sku_map.csv"
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class RunInputs:
    """The manifest's entries by vendor, and what follows from them."""

    entries: Mapping[str, Mapping[str, Any]]
    verdict: InputVerdict

    def found(self) -> list[str]:
        """Return the ids of the vendors that have a feed, in order."""
        return [name for name, entry in self.entries.items() if entry["status"] == "found"]

    def copy_of(self, vendor_id: str) -> str:
        """Return the key of the run's own copy of a vendor's feed."""
        return str(self.entries[vendor_id]["run_copy_key"])

    def file_name(self, vendor_id: str) -> str:
        """Return the name under which the vendor uploaded its feed."""
        return PurePosixPath(str(self.entries[vendor_id]["s3_key"])).name


def pin_inputs(
    feeds: FeedStore,
    reports: RunReports,
    config: TenantConfig,
    vendors: Sequence[VendorConfig],
    *,
    now: datetime,
) -> RunInputs:
    """Find, copy and pin the run's inputs, or read what an earlier attempt has pinned."""
    entries: Mapping[str, Any] | None = _read_manifest(feeds, reports.keys)
    if entries is None:
        found = {one.vendor_id: _copy_latest(feeds, reports.keys, one) for one in vendors}
        _copy_sku_maps(feeds, reports.keys, vendors)
        entries = _pin(feeds, reports, found, now)
    return _judged(feeds, reports, config, vendors, entries)


def borrow_inputs(
    feeds: FeedStore,
    reports: RunReports,
    config: TenantConfig,
    vendors: Sequence[VendorConfig],
    earlier: Iterable[RunRecord],
    *,
    with_work: bool,
    now: datetime,
) -> RunInputs:
    """Pin the inputs of the tenant's last run that has them, in place of looking for new ones.

    Args:
        feeds: the bucket.
        reports: the run that borrows.
        config: its config.
        vendors: its vendors; one that the earlier run did not have counts as missing.
        earlier: the tenant's runs, newest first; the run that borrows may be among them.
        with_work: borrow the work files too; only a run that has them is looked at.
        now: the manifest's instant.
    """
    lender = next((one for one in earlier if _can_lend(feeds, one, reports, with_work)), None)
    entries = {one.vendor_id: _missing(one) for one in vendors}
    if lender is not None:
        source = ArtifactKeys(lender.run_id, lender.tenant_id)
        known = _read_manifest(feeds, source) or {}
        for vendor in vendors:
            if known.get(vendor.vendor_id, {}).get("status") == "found":
                entry = known[vendor.vendor_id]
                entries[vendor.vendor_id] = _borrow(feeds, source, reports.keys, vendor, entry)
                if with_work:
                    _borrow_work(feeds, source, reports, vendor.vendor_id)
    return _judged(feeds, reports, config, vendors, _pin(feeds, reports, entries, now))


def _pin(
    feeds: FeedStore, reports: RunReports, entries: Mapping[str, Any], now: datetime
) -> Mapping[str, Any]:
    """Write the manifest if there is none; return the entries of the one that is there then."""
    body = input_manifest_json(reports.ctx, entries, now)
    if feeds.put_if_absent(reports.keys.input_manifest, body, content_type=JSON):
        return entries
    return _read_manifest(feeds, reports.keys) or entries


def _read_manifest(feeds: FeedStore, keys: ArtifactKeys) -> dict[str, Any] | None:
    body = feeds.read_or_none(keys.input_manifest)
    return None if body is None else dict(json.loads(body)["vendors"])


def _copy_latest(feeds: FeedStore, keys: ArtifactKeys, vendor: VendorConfig) -> dict[str, Any]:
    """Copy the vendor's latest upload; look again where it was replaced in between."""
    for _ in range(_LOOKS - 1):
        with suppress(ObjectChangedError):
            return _look_and_copy(feeds, keys, vendor)
    return _look_and_copy(feeds, keys, vendor)


def _look_and_copy(feeds: FeedStore, keys: ArtifactKeys, vendor: VendorConfig) -> dict[str, Any]:
    prefix = vendor.inbound.s3_prefix
    latest = feeds.latest_object(prefix) if prefix else None
    if latest is None:
        return _missing(vendor)
    target = keys.inbound(vendor.vendor_id, latest.file_name)
    return {
        **_missing(vendor),
        "status": "found",
        "s3_key": latest.key,
        "etag": latest.etag,
        "size": latest.size,
        "last_modified": timestamp(latest.last_modified),
        "selection": "latest",
        "run_copy_key": target,
        "sha256": feeds.copy_pinned(latest, target),
    }


def _copy_sku_maps(feeds: FeedStore, keys: ArtifactKeys, vendors: Sequence[VendorConfig]) -> None:
    for vendor in vendors:
        if vendor.sku_map is not None and vendor.sku_map.s3_key:
            _copy_if_there(feeds, vendor.sku_map.s3_key, keys.work(vendor.vendor_id, SKU_MAP_FILE))


def _copy_if_there(feeds: FeedStore, key: str, target: str) -> bool:
    found = next((one for one in feeds.list_objects(key) if one.key == key), None)
    if found is not None:
        feeds.copy_pinned(found, target)
    return found is not None


def _missing(vendor: VendorConfig) -> dict[str, Any]:
    unknown = ("s3_key", "etag", "size", "last_modified", "selection", "run_copy_key", "sha256")
    return {
        "status": "missing",
        "required": vendor.required,
        "expected_prefix": vendor.inbound.s3_prefix or None,
        **dict.fromkeys(unknown),
    }


def _can_lend(feeds: FeedStore, run: RunRecord, reports: RunReports, with_work: bool) -> bool:
    keys = ArtifactKeys(run.run_id, run.tenant_id)
    if keys == reports.keys or not feeds.exists(keys.input_manifest):
        return False
    return not with_work or bool(feeds.list_objects(f"{keys.prefix}work/"))


def _borrow(
    feeds: FeedStore,
    source: ArtifactKeys,
    target: ArtifactKeys,
    vendor: VendorConfig,
    entry: Mapping[str, Any],
) -> dict[str, Any]:
    name = PurePosixPath(entry["run_copy_key"]).name
    copy = target.inbound(vendor.vendor_id, name)
    _copy_if_there(feeds, entry["run_copy_key"], copy)
    sku_map = source.work(vendor.vendor_id, SKU_MAP_FILE)
    _copy_if_there(feeds, sku_map, target.work(vendor.vendor_id, SKU_MAP_FILE))
    return {**entry, "selection": f"run {source.run_id}", "run_copy_key": copy}


def _borrow_work(
    feeds: FeedStore, source: ArtifactKeys, reports: RunReports, vendor_id: str
) -> None:
    for name in WORK_FILES:
        _copy_if_there(feeds, source.work(vendor_id, name), reports.keys.work(vendor_id, name))
    normalized = reports.keys.normalized(vendor_id)
    if _copy_if_there(feeds, source.normalized(vendor_id), normalized):
        reports.artifacts[f"normalized_{vendor_id}"] = normalized


def _judged(
    feeds: FeedStore,
    reports: RunReports,
    config: TenantConfig,
    vendors: Sequence[VendorConfig],
    entries: Mapping[str, Mapping[str, Any]],
) -> RunInputs:
    """Judge the pinned entries; note the artifacts that they are."""
    found = {name: entry for name, entry in entries.items() if entry["status"] == "found"}
    reports.artifacts["input_manifest"] = reports.keys.input_manifest
    for name, entry in found.items():
        reports.artifacts[f"inbound_{name}"] = entry["run_copy_key"]
    maps = {v.vendor_id: v.sku_map for v in vendors if v.sku_map is not None}
    verdict = judge_inputs(
        config,
        vendors,
        missing=set(entries) - set(found),
        locations={name: str(entry["expected_prefix"]) for name, entry in entries.items()},
        missing_maps={
            name: str(sku_map.s3_key or sku_map.local_path)
            for name, sku_map in maps.items()
            if not feeds.exists(reports.keys.work(name, SKU_MAP_FILE))
        },
    )
    return RunInputs(entries, verdict)
