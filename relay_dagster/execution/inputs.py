"""The input snapshot of a run: files found once, copied to its prefix, pinned by its manifest.

The first attempt copies the files, then writes ``input_manifest.json`` if there is none. Later
attempts read the manifest and list nothing, so all attempts read the same bytes, whatever a vendor
uploads. Once every vendor is read the manifest is completed with the state of each; the pins stay.

The baseline, the publication in force, which a run is compared with and may fall back on, is pinned
with the config version. Its state and the inputs used are copied into the run, so no later change
of the tenant's feed affects an attempt.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import Any

from relay_core.config import (
    Override,
    VendorConfig,
    overrides_in_effect,
    parse_overrides,
)
from relay_core.domain.codes import VendorStatus
from relay_core.domain.errors import StateUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.records import ReportEntry
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.normalize.work_file import WORK_FILE
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.reports import (
    input_manifest_json,
    manifest_entry,
    overrides_json,
    overrides_pins,
    timestamp,
)
from relay_core.publish.state import Baseline, read_state
from relay_core.validation.vendor_failures import VendorInput, VendorState
from relay_dagster.aws.object_store import ObjectInfo, ObjectStore
from relay_dagster.aws.overrides import OverrideDocument
from relay_dagster.execution.run_files import JSON, RunReports, state_key
from relay_dagster.external_errors import BaselineLostError, ObjectChangedError
from relay_dagster.runs.model import RunRecord

_TRIES = 3


@dataclass(frozen=True, slots=True)
class RunInputs:
    """The inputs as a manifest pins them; a file that is too large fails before it is read."""

    entries: Mapping[str, Mapping[str, Any]]  # of each vendor, as in the manifest
    generated_at: str  # the manifest's instant
    override_pins: Mapping[str, Any] | None  # what the manifest says of the overrides
    overrides: Sequence[Override]  # those that the run uses, by SKU
    maps: Mapping[str, int]  # the size of each SKU map

    def found(self) -> list[str]:
        """Return the ids of the vendors that have a feed, in order."""
        return [
            name for name, entry in self.entries.items() if entry["s3_key"] is not None
        ]

    def vendor_inputs(self) -> dict[str, VendorInput]:
        """Return the input of each vendor that has a feed."""
        return {
            name: VendorInput(
                self.size_of(name),
                datetime.fromisoformat(self.entries[name]["last_modified"]),
                self.maps.get(name),
            )
            for name in self.found()
        }

    def states(self) -> dict[str, VendorState]:
        """Return the state of each vendor, of inputs that were read before."""
        return {
            name: VendorState(
                VendorStatus(entry["status"]),
                ReportEntry(**trouble, vendor_id=name)
                if (trouble := entry["trouble"])
                else None,
                entry["last_good_run_id"],
                entry["age_hours"],
            )
            for name, entry in self.entries.items()
        }

    def copy_of(self, vendor_id: str) -> str:
        """Return the key of the run's own copy of a vendor's feed."""
        return str(self.entries[vendor_id]["run_copy_key"])

    def size_of(self, vendor_id: str) -> int:
        """Return how many bytes a vendor's feed has."""
        return int(self.entries[vendor_id]["size"])

    def verified(self, objects: ObjectStore, vendor_id: str, feed: bytes) -> bytes:
        """Return the pinned feed: the given bytes, or, where another came over it, a new copy."""
        entry = self.entries[vendor_id]
        if hashlib.sha256(feed).hexdigest() == entry["sha256"]:
            return feed
        modified = datetime.fromisoformat(entry["last_modified"])
        upload = ObjectInfo(entry["s3_key"], entry["size"], entry["etag"], modified)
        if objects.copy_pinned(upload, self.copy_of(vendor_id)) != entry["sha256"]:
            raise ObjectChangedError(
                "s3.CopyObject", f"{upload.key} is not as it was pinned"
            )
        return objects.read(self.copy_of(vendor_id))


@dataclass(frozen=True, slots=True)
class InputSnapshot:
    """The copies of a run's inputs in its own prefix, and the manifest that pins them."""

    reports: RunReports  # with the bucket, and what makes calls at once
    vendors: Sequence[VendorConfig]  # the vendors of the run, in the config's order
    limits: Limits  # larger files are not copied
    now: datetime  # the manifest's instant
    overrides: Callable[
        [str], OverrideDocument
    ]  # returns a tenant's overrides as they stand

    def take(self, *, is_first: bool) -> RunInputs:
        """Find, copy and pin the inputs, or (unless ``is_first``) read what was pinned before."""
        pinned = (
            None if is_first else read_manifest(self.reports.objects, self.reports.keys)
        )
        if pinned is not None:
            return self._noted(pinned, self._maps())
        overrides = self.reports.io.submit(self._copy_overrides)
        copies = [
            self.reports.io.submit(self._copy_map, one) for one in self._with_maps()
        ]
        entries = self.reports.io.map(self._copy_latest, self.vendors)
        maps = _present(each.result() for each in copies)
        vendor_ids = [vendor.vendor_id for vendor in self.vendors]
        found = dict(zip(vendor_ids, entries, strict=True))
        return self._pinned(found, maps, overrides.result())

    def reuse(self, earlier: Iterable[RunRecord], *, with_work: bool) -> RunInputs:
        """Pin the inputs of the tenant's last run that has them, in place of looking for new ones.

        Runs come newest first; this one may be among them. A vendor that the source run does not
        have counts as missing. With ``with_work`` its work files and the states of vendors are
        reused. Overrides are used as they stand.
        """
        entries = {one.vendor_id: _missing(one) for one in self.vendors}
        found = next((one for one in earlier if self._has_inputs(one, with_work)), None)
        if found is not None:
            source = ArtifactKeys(found.run_id, found.tenant_id)
            manifest = read_manifest(self.reports.objects, source)
            known = {} if manifest is None else manifest["vendors"]
            if with_work:
                self.reports.io.map(partial(self._reuse_work, source), entries)
                entries |= {name: known[name] for name in entries if name in known}
            reused = [
                name for name in entries if known.get(name, entries[name])["s3_key"]
            ]
            reuse = partial(self._reuse, source, known)
            copies = self.reports.io.map(reuse, reused)
            entries |= zip(reused, copies, strict=True)
        return self._pinned(entries, self._maps(), self._copy_overrides())

    def complete(self, inputs: RunInputs, states: Mapping[str, VendorState]) -> None:
        """Write the manifest once more, with the state of each vendor; the pins stay."""
        entries = {
            name: manifest_entry(entry, states.get(name))
            for name, entry in inputs.entries.items()
        }
        body = input_manifest_json(
            self.reports.ctx, entries, inputs.generated_at, inputs.override_pins
        )
        self.reports.write(self.reports.keys.input_manifest, [body])

    def _pinned(
        self,
        entries: Mapping[str, Any],
        maps: Mapping[str, int],
        override_pins: Mapping[str, Any] | None,
    ) -> RunInputs:
        """Write the manifest if there is none; the pins of an existing one hold."""
        keys, objects = self.reports.keys, self.reports.objects
        body = input_manifest_json(
            self.reports.ctx, entries, timestamp(self.now), override_pins
        )
        if objects.put_if_absent(keys.input_manifest, body, content_type=JSON):
            return self._noted(json.loads(body), maps)
        return self._noted(
            read_manifest(objects, keys) or json.loads(body), self._maps()
        )

    def _noted(self, manifest: Mapping[str, Any], maps: Mapping[str, int]) -> RunInputs:
        """Return the pinned inputs, and list them as artifacts."""
        keys, artifacts = self.reports.keys, self.reports.artifacts
        pins = manifest.get("overrides")  # a manifest of an earlier release has none
        overrides: Sequence[Override] = ()
        if pins is not None:
            copy = self.reports.objects.read(keys.pinned_overrides(pins["version"]))
            overrides = parse_overrides(copy.decode(), ())
        inputs = RunInputs(
            manifest["vendors"], manifest["generated_at"], pins, overrides, maps
        )
        artifacts["input_manifest"] = keys.input_manifest
        copies = (
            (name, entry["run_copy_key"]) for name, entry in inputs.entries.items()
        )
        artifacts |= {
            f"inbound_{name}": str(key) for name, key in copies if key is not None
        }
        artifacts |= {f"sku_map_{name}": keys.sku_map(name) for name in maps}
        return inputs

    def _copy_overrides(self) -> dict[str, Any] | None:
        """Copy the overrides that the run uses, each version to its key; return its pins."""
        ctx, keys = self.reports.ctx, self.reports.keys
        document = self.overrides(ctx.tenant_id)
        used = overrides_in_effect(document.overrides.values(), ctx.requested_at)
        pins = overrides_pins(document.version, used)
        if pins is not None:
            self.reports.objects.put(
                keys.pinned_overrides(document.version), overrides_json(used)
            )
        return pins

    def _with_maps(self) -> list[VendorConfig]:
        return [vendor for vendor in self.vendors if vendor.sku_map is not None]

    def _maps(self) -> dict[str, int]:
        """Return the sizes of the SKU maps that are copied, or too large to be copied."""

        def size_of(vendor: VendorConfig) -> tuple[str, int | None]:
            size = self.reports.objects.size_of(
                self.reports.keys.sku_map(vendor.vendor_id)
            )
            if (
                size is None
                and (now := self._size_of_map(vendor) or 0) > self.limits.sku_map_bytes
            ):
                size = now
            return vendor.vendor_id, size

        return _present(self.reports.io.map(size_of, self._with_maps()))

    def _size_of_map(self, vendor: VendorConfig) -> int | None:
        key = vendor.sku_map.s3_key if vendor.sku_map is not None else None
        return self.reports.objects.size_of(key) if key else None

    def _copy_map(self, vendor: VendorConfig) -> tuple[str, int | None]:
        """Copy a vendor's SKU map, unless it is too large; return its size."""
        size = self._size_of_map(vendor)
        if size is None or vendor.sku_map is None or size > self.limits.sku_map_bytes:
            return vendor.vendor_id, size
        target = self.reports.keys.sku_map(vendor.vendor_id)
        copied = self.reports.objects.copy_if_there(str(vendor.sku_map.s3_key), target)
        return vendor.vendor_id, size if copied else None

    def _copy_latest(self, vendor: VendorConfig, tries: int = _TRIES) -> dict[str, Any]:
        """Copy the vendor's latest upload; list again if it was replaced in between."""
        prefix = vendor.inbound.s3_prefix
        latest = self.reports.objects.latest_object(prefix) if prefix else None
        if latest is None:
            return _missing(vendor)
        target = sha256 = None
        if latest.size <= self.limits.feed_bytes:
            target = self.reports.keys.inbound(vendor.vendor_id, latest.file_name)
            try:
                sha256 = self.reports.objects.copy_pinned(latest, target)
            except ObjectChangedError:
                if tries == 1:
                    raise
                return self._copy_latest(vendor, tries - 1)
        return {
            **_missing(vendor),
            "status": str(VendorStatus.FOUND),
            "s3_key": latest.key,
            "etag": latest.etag,
            "size": latest.size,
            "last_modified": timestamp(latest.last_modified),
            "selection": "latest",
            "run_copy_key": target,
            "sha256": sha256,
        }

    def _has_inputs(self, run: RunRecord, with_work: bool) -> bool:
        keys = ArtifactKeys(run.run_id, run.tenant_id)
        if keys == self.reports.keys or not self.reports.objects.exists(
            keys.input_manifest
        ):
            return False
        work = (
            self.reports.objects.list_objects(f"{keys.prefix}work/")
            if with_work
            else []
        )
        return not with_work or any(each.file_name == WORK_FILE for each in work)

    def _reuse(
        self, source: ArtifactKeys, known: Mapping[str, Any], vendor_id: str
    ) -> dict[str, Any]:
        keys, entry = self.reports.keys, known[vendor_id]
        if entry["run_copy_key"] is None:
            return dict(entry)  # it was too large to be copied
        name = PurePosixPath(entry["run_copy_key"]).name
        copy = keys.inbound(vendor_id, name)
        self.reports.objects.copy_if_there(entry["run_copy_key"], copy)
        self.reports.objects.copy_if_there(
            source.sku_map(vendor_id), keys.sku_map(vendor_id)
        )
        return {**entry, "selection": f"run {source.run_id}", "run_copy_key": copy}

    def _reuse_work(self, source: ArtifactKeys, vendor_id: str) -> None:
        keys = self.reports.keys
        work = source.work(vendor_id, WORK_FILE)
        self.reports.objects.copy_if_there(work, keys.work(vendor_id, WORK_FILE))
        normalized = keys.normalized(vendor_id)
        if self.reports.objects.copy_if_there(source.normalized(vendor_id), normalized):
            self.reports.artifacts[f"normalized_{vendor_id}"] = normalized


def read_manifest(objects: ObjectStore, keys: ArtifactKeys) -> dict[str, Any] | None:
    """Return the manifest of a run; None where it has none."""
    body = objects.read_or_none(keys.input_manifest)
    return None if body is None else dict(json.loads(body))


def _present(sizes: Iterable[tuple[str, int | None]]) -> dict[str, int]:
    return {vendor_id: size for vendor_id, size in sizes if size is not None}


def _missing(vendor: VendorConfig) -> dict[str, Any]:
    unknown = (
        "s3_key",
        "etag",
        "size",
        "last_modified",
        "selection",
        "run_copy_key",
        "sha256",
    )
    return manifest_entry(
        {
            "status": str(VendorStatus.MISSING),
            "required": vendor.required,
            "expected_prefix": vendor.inbound.s3_prefix or None,
            **dict.fromkeys(unknown),
        }
    )


_NOTE = "last_good.json"


def fetch_baseline(reports: RunReports, run_id: str, *, keeps_rows: bool) -> Baseline:
    """Copy the baseline into the run and return it, or raise `BaselineLostError`."""
    keys, objects = reports.keys, reports.objects
    if not objects.copy_if_there(
        state_key(ArtifactKeys(run_id, keys.tenant_id)), keys.baseline_state
    ):
        raise BaselineLostError(
            "s3.CopyObject",
            f"the state of the feed of run {run_id} is gone; publish another with "
            "a rollback, or put it back",
        )
    reports.artifacts["baseline_state"] = keys.baseline_state
    try:
        return read_state(objects.read(keys.baseline_state), keeps_rows=keeps_rows)
    except StateUnreadableError as error:
        raise BaselineLostError("s3.GetObject", str(error)) from error


@dataclass(frozen=True, slots=True)
class _UsedInput:
    """An input that the publication's run used: its key, its map's, its name, its upload's time."""

    feed_key: str
    map_key: str
    file_name: str
    last_modified: str


class PublishedInputs:
    """The inputs of the run whose feed was in force; the engine's ``LastGoodFeeds``."""

    def __init__(
        self, reports: RunReports, run_id: str, vendors: Iterable[VendorConfig]
    ) -> None:
        self.run_id: str | None = run_id
        self._objects = reports.objects
        self._reports = reports
        self._source = ArtifactKeys(run_id, reports.keys.tenant_id)
        self._vendors = {vendor.vendor_id: vendor for vendor in vendors}

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        """Return when the vendor's input there was uploaded; None if it is not available."""
        used = self._used_input(vendor_id)
        if used is None or not self._objects.exists(used.feed_key):
            return None
        if self._needs_map(vendor_id) and not self._objects.exists(used.map_key):
            return None
        return datetime.fromisoformat(used.last_modified)

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Copy the vendor's input there into the run, and return it; None if it is gone."""
        used, keys = self._used_input(vendor_id), self._reports.keys
        if used is None:
            return None
        feed_key = keys.inbound(vendor_id, used.file_name, last_good=True)
        map_key = keys.sku_map(vendor_id, last_good=True)
        if not self._objects.copy_if_there(used.feed_key, feed_key):
            return None
        sku_map = None
        if self._needs_map(vendor_id):
            if not self._objects.copy_if_there(used.map_key, map_key):
                return None
            sku_map = self._objects.read(map_key)
            self._reports.artifacts[keys.artifact_name(map_key)] = map_key
        note = {"file_name": used.file_name, "last_modified": used.last_modified}
        self._objects.put(keys.work(vendor_id, _NOTE), json.dumps(note).encode())
        self._reports.artifacts[keys.artifact_name(feed_key)] = feed_key
        feed = self._objects.read(feed_key)
        return VendorFeed(self._vendors[vendor_id], feed, used.file_name, sku_map)

    @cached_property
    def _manifest(self) -> Mapping[str, Any]:
        manifest = read_manifest(self._objects, self._source)
        return {} if manifest is None else manifest["vendors"]

    def _needs_map(self, vendor_id: str) -> bool:
        return self._vendors[vendor_id].sku_map is not None

    def _used_input(self, vendor_id: str) -> _UsedInput | None:
        """Return the input that that run used of a vendor: its upload, or its last good one."""
        entry, source = self._manifest.get(vendor_id), self._source
        if entry is None or not VendorStatus(entry["status"]).is_used:
            return None
        if entry["last_good_run_id"] is None:
            copy = entry["run_copy_key"]
            if copy is None:
                return None
            name = PurePosixPath(copy).name
            return _UsedInput(
                copy, source.sku_map(vendor_id), name, entry["last_modified"]
            )
        noted = self._objects.read_or_none(source.work(vendor_id, _NOTE))
        if noted is None:
            return None
        note = json.loads(noted)
        feed_key = source.inbound(vendor_id, note["file_name"], last_good=True)
        return _UsedInput(feed_key, source.sku_map(vendor_id, last_good=True), **note)
