"""The input snapshot of a run: files found once, copied, and pinned by a manifest.

The first attempt copies the files, then writes ``input_manifest.json`` if there is
none. Later attempts read the manifest and list nothing, so all attempts read the same
bytes, whatever a vendor uploads in the meantime. Once every vendor is read, the manifest is
completed with the state of each vendor; the pins stay.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from relay_core.config import (
    Override,
    VendorConfig,
    overrides_in_effect,
    parse_overrides,
)
from relay_core.config.inputs.parts import InputPart
from relay_core.domain.codes import CATALOG, VendorStatus
from relay_core.domain.limits import Limits
from relay_core.normalize.work_file import WORK_FILE
from relay_core.publish import reports
from relay_core.publish.artifacts import CONTENT_TYPES, NORMALIZED, SKU_MAP
from relay_core.publish.keys import ArtifactKeys
from relay_core.validation.vendor_failures import (
    VendorState,
)
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.aws.overrides import OverrideDocument
from relay_dagster.aws.stored_objects import ObjectInfo
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.pinned_inputs import (
    FILE_PINS,
    PinnedFile,
    PinnedInputs,
)
from relay_dagster.external_errors import ObjectChangedError
from relay_dagster.runs.model import RunRecord

_TRIES = 3
_UNKNOWN_PINS = (
    "s3_key",
    "etag",
    "size",
    "last_modified",
    "selection",
    "run_copy_key",
    "sha256",
)
"""The pins of a manifest's entry that a vendor without a feed lacks."""


@dataclass(frozen=True, slots=True)
class InputSnapshot:
    """Copies a run's inputs into the run, and writes the manifest that pins them."""

    sink: BucketSink  # the run's files
    # The vendors of the run, in the config's order
    vendors: Sequence[VendorConfig]
    limits: Limits  # larger files are not copied
    now: datetime  # the manifest's instant
    # Returns a tenant's current overrides
    overrides: Callable[[str], OverrideDocument]
    # The catalog as a vendor, if there is one.
    catalog: VendorConfig | None = None

    @property
    def _inputs(self) -> list[VendorConfig]:
        """The vendors, then the catalog."""
        return [*self.vendors, *filter(None, [self.catalog])]

    def take(self, *, is_first: bool) -> PinnedInputs:
        """Return the inputs that are pinned; find, copy and pin them if there are none.

        The first attempt (``is_first``) does not look for a manifest.
        """
        objects = self.sink.objects
        manifest = None if is_first else read_manifest(objects, self.sink.keys)
        if manifest is not None:
            return self._inputs_of(manifest, self._copied_sku_map_sizes())
        override_pins = self.sink.io.submit(self._copy_overrides)
        vendors_with_map = self._vendors_with_sku_map()
        sku_map_copies = [
            self.sink.io.submit(self._copy_sku_map, vendor)
            for vendor in vendors_with_map
        ]
        entries = self.sink.io.map(self._copy_latest, self._inputs)
        sku_map_sizes = [copy.result() for copy in sku_map_copies]
        vendor_ids = [vendor.vendor_id for vendor in self._inputs]
        return self._pin(
            dict(zip(vendor_ids, entries, strict=True)),
            _sizes_by_vendor(vendors_with_map, sku_map_sizes),
            override_pins.result(),
        )

    def reuse(
        self,
        earlier_runs: Iterable[RunRecord],
        *,
        with_work: bool,
    ) -> PinnedInputs:
        """Pin the inputs of the tenant's last run that has them, and list no uploads.

        ``earlier_runs`` come newest first; this run may be among them. A vendor that
        the source run does not have counts as missing. With ``with_work``, the source
        run's work files and states of vendors are reused too. Overrides are the current
        ones.
        """
        entries = {
            vendor.vendor_id: _missing(vendor) for vendor in self._inputs
        }
        for run in earlier_runs:
            if self._has_inputs(run, with_work):
                source = ArtifactKeys(run.run_id, run.tenant_id)
                entries |= self._reused_entries(source, entries, with_work)
                break
        sku_map_sizes = self._copied_sku_map_sizes()
        return self._pin(entries, sku_map_sizes, self._copy_overrides())

    def complete(
        self,
        inputs: PinnedInputs,
        states: Mapping[str, VendorState],
    ) -> None:
        """Write the manifest again, with the state of each input; the pins stay."""
        entries = {
            vendor_id: reports.manifest_entry(entry, states.get(vendor_id))
            for vendor_id, entry in inputs.entries.items()
        }
        body = self._manifest_json(
            entries,
            inputs.generated_at,
            inputs.override_pins,
        )
        self.sink.write(self.sink.keys.input_manifest, [body])

    def _pin(
        self,
        entries: Mapping[str, Any],
        sku_map_sizes: Mapping[str, int],
        override_pins: Mapping[str, Any] | None,
    ) -> PinnedInputs:
        """Write the manifest if there is none; the pins of an existing one hold."""
        objects = self.sink.objects
        keys = self.sink.keys
        body = self._manifest_json(
            entries,
            reports.timestamp(self.now),
            override_pins,
        )
        content_type = CONTENT_TYPES[".json"]
        if objects.put_if_absent(
            keys.input_manifest, body, content_type=content_type
        ):
            return self._inputs_of(json.loads(body), sku_map_sizes)
        manifest = read_manifest(objects, keys) or json.loads(body)
        return self._inputs_of(manifest, self._copied_sku_map_sizes())

    def _manifest_json(
        self,
        entries: Mapping[str, Any],
        generated_at: str,
        override_pins: Mapping[str, Any] | None,
    ) -> bytes:
        """Return the manifest, with the catalog beside the vendors."""
        vendors = dict(entries)
        catalog = None if self.catalog is None else vendors.pop(CATALOG)
        context = self.sink.context
        pins = override_pins
        return reports.input_manifest_json(
            context, vendors, generated_at, pins, catalog
        )

    def _inputs_of(
        self,
        manifest: Mapping[str, Any],
        sku_map_sizes: Mapping[str, int],
    ) -> PinnedInputs:
        """Return the inputs that a manifest pins, and list them as artifacts."""
        keys = self.sink.keys
        override_pins = manifest.get("overrides")
        overrides: Sequence[Override] = ()
        if override_pins is not None:
            copy_key = keys.pinned_overrides(override_pins["version"])
            overrides = parse_overrides(
                self.sink.objects.read(copy_key).decode(),
                (),
            )
        entries = entries_of(manifest)
        self.sink.artifacts["input_manifest"] = keys.input_manifest
        for vendor_id, entry in entries.items():
            is_catalog = self.catalog is not None and vendor_id == CATALOG
            for file in PinnedFile.all_of(entry):
                if file.run_copy_key is None:
                    continue
                name = keys.artifact_name(file.run_copy_key)
                if is_catalog:
                    name = keys.upload_name(vendor_id, is_catalog=True)
                self.sink.artifacts[name] = file.run_copy_key
        for vendor_id in sku_map_sizes:
            name = SKU_MAP.name_for(vendor=vendor_id)
            self.sink.artifacts[name] = keys.sku_map(vendor_id)
        return PinnedInputs(
            entries,
            manifest["generated_at"],
            override_pins,
            overrides,
            sku_map_sizes,
        )

    # --- overrides and SKU maps -------------------------------------------------------

    def _copy_overrides(self) -> dict[str, Any] | None:
        """Copy the overrides that the run uses, and return their pins.

        Each version of the tenant's overrides has a key of its own.
        """
        context = self.sink.context
        document = self.overrides(context.tenant_id)
        overrides = overrides_in_effect(
            document.overrides.values(),
            context.requested_at,
        )
        pins = reports.overrides_pins(document.version, overrides)
        if pins is not None:
            copy_key = self.sink.keys.pinned_overrides(document.version)
            self.sink.objects.put(copy_key, reports.overrides_json(overrides))
        return pins

    def _vendors_with_sku_map(self) -> list[VendorConfig]:
        return [vendor for vendor in self.vendors if vendor.sku_map is not None]

    def _copied_sku_map_sizes(self) -> dict[str, int]:
        """Return the bytes of SKU maps that are copied, or too large to be copied."""
        vendors = self._vendors_with_sku_map()
        sizes = self.sink.io.map(self._copied_sku_map_size, vendors)
        return _sizes_by_vendor(vendors, sizes)

    def _copied_sku_map_size(self, vendor: VendorConfig) -> int | None:
        copy_key = self.sink.keys.sku_map(vendor.vendor_id)
        size = self.sink.objects.size_of(copy_key)
        if size is None:
            size = self._sku_map_size(vendor)
            if size is not None and size <= self.limits.sku_map_bytes:
                return None  # the map is newer than the manifest
        return size

    def _sku_map_size(self, vendor: VendorConfig) -> int | None:
        key = None if vendor.sku_map is None else vendor.sku_map.s3_key
        return self.sink.objects.size_of(key) if key else None

    def _copy_sku_map(self, vendor: VendorConfig) -> int | None:
        """Copy a vendor's SKU map, unless it is too large; return its bytes."""
        size = self._sku_map_size(vendor)
        if (
            size is None
            or vendor.sku_map is None
            or size > self.limits.sku_map_bytes
        ):
            return size
        is_copied = self.sink.objects.copy_if_there(
            str(vendor.sku_map.s3_key),
            self.sink.keys.sku_map(vendor.vendor_id),
        )
        return size if is_copied else None

    # --- feeds ------------------------------------------------------------------------

    def _copy_latest(
        self,
        vendor: VendorConfig,
        tries: int = _TRIES,
    ) -> dict[str, Any]:
        """Copy the files of a vendor's input, and return the manifest's entry of it.

        If a file is replaced in between, all files are chosen again, up to ``tries``
        times.
        """
        files: list[PinnedFile] = []
        try:
            for part in vendor.input_parts:
                for upload in self._chosen(part):
                    number = len(files) + 1
                    files.append(self._copied(vendor, part, upload, number))
        except ObjectChangedError:
            if tries == 1:
                raise
            return self._copy_latest(vendor, tries - 1)
        return _entry_of(vendor, files)

    def _chosen(self, part: InputPart) -> list[ObjectInfo]:
        """Return the uploads of a part that are its input now, in reading order."""
        prefix = part.inbound.s3_prefix
        objects = self.sink.objects
        if not prefix:
            return []
        if part.changes is None:
            upload = objects.latest_object(prefix)
            return [] if upload is None else [upload]
        uploads = objects.list_objects(prefix)
        return part.chosen(upload for upload in uploads if not upload.is_folder)

    def _copied(
        self,
        vendor: VendorConfig,
        part: InputPart,
        upload: ObjectInfo,
        number: int,
    ) -> PinnedFile:
        """Copy a file into the run, unless it is too large, and return its pins.

        Raises:
            ObjectChangedError: The upload has been replaced.
        """
        keys = self.sink.keys
        copy_key = None
        sha256 = None
        if upload.size <= self.limits.feed_bytes:
            copy_key = keys.inbound(vendor.vendor_id, upload.file_name)
            if vendor.has_file_list:
                copy_key = keys.inbound_file(
                    vendor.vendor_id,
                    number,
                    upload.file_name,
                )
            sha256 = self.sink.objects.copy_pinned(upload, copy_key)
        return PinnedFile(
            part_id=part.part_id,
            kind=part.kind_of(upload.key) or "full",
            s3_key=upload.key,
            etag=upload.etag,
            size=upload.size,
            last_modified=reports.timestamp(upload.last_modified),
            run_copy_key=copy_key,
            sha256=sha256,
        )

    # --- inputs of an earlier run -----------------------------------------------------

    def _has_inputs(self, run: RunRecord, with_work: bool) -> bool:
        """Return True if another run has a manifest, and (``with_work``) work files."""
        keys = ArtifactKeys(run.run_id, run.tenant_id)
        objects = self.sink.objects
        if keys == self.sink.keys or not objects.exists(keys.input_manifest):
            return False
        if not with_work:
            return True
        work_files = objects.list_objects(f"{keys.prefix}work/")
        return any(work_file.file_name == WORK_FILE for work_file in work_files)

    def _reused_entries(
        self,
        source: ArtifactKeys,
        vendor_ids: Collection[str],
        with_work: bool,
    ) -> dict[str, Any]:
        """Copy the inputs of vendors from a run, and return the manifest's entries."""
        manifest = read_manifest(self.sink.objects, source)
        source_entries = {} if manifest is None else entries_of(manifest)
        entries = {}
        vendors_with_feed = []
        for vendor_id in vendor_ids:
            entry = source_entries.get(vendor_id)
            if entry is not None and with_work:
                entries[vendor_id] = entry
            if entry is not None and PinnedFile.all_of(entry):
                vendors_with_feed.append(vendor_id)
        if with_work:
            self.sink.io.map(partial(self._reuse_work, source), vendor_ids)
        reuse = partial(self._reuse, source, source_entries)
        copies = self.sink.io.map(reuse, vendors_with_feed)
        return entries | dict(zip(vendors_with_feed, copies, strict=True))

    def _reuse(
        self,
        source: ArtifactKeys,
        source_entries: Mapping[str, Any],
        vendor_id: str,
    ) -> dict[str, Any]:
        """Copy a vendor's feed and SKU map from a run; return the manifest's entry."""
        entry = dict(source_entries[vendor_id])
        objects = self.sink.objects
        keys = self.sink.keys
        copies = {}
        for file in PinnedFile.all_of(entry):
            if file.run_copy_key is None:
                continue  # it was too large to be copied
            copy_key = keys.prefix + file.run_copy_key.removeprefix(
                source.prefix
            )
            objects.copy_if_there(file.run_copy_key, copy_key)
            copies[file.run_copy_key] = copy_key
        if not copies:
            return entry
        objects.copy_if_there(
            source.sku_map(vendor_id),
            keys.sku_map(vendor_id),
        )
        entry["selection"] = f"run {source.run_id}"
        for pins in (entry, *entry.get("files", ())):
            pins["run_copy_key"] = copies.get(pins["run_copy_key"])
        return entry

    def _reuse_work(self, source: ArtifactKeys, vendor_id: str) -> None:
        objects = self.sink.objects
        keys = self.sink.keys
        objects.copy_if_there(
            source.work(vendor_id, WORK_FILE),
            keys.work(vendor_id, WORK_FILE),
        )
        normalized_key = keys.normalized(vendor_id)
        if objects.copy_if_there(source.normalized(vendor_id), normalized_key):
            name = NORMALIZED.name_for(vendor=vendor_id)
            self.sink.artifacts[name] = normalized_key


def read_manifest(
    objects: ObjectStore,
    keys: ArtifactKeys,
) -> dict[str, Any] | None:
    """Return the manifest of a run, or None if it has none."""
    body = objects.read_or_none(keys.input_manifest)
    return None if body is None else dict(json.loads(body))


def entries_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a manifest: those of vendors, then the catalog's."""
    entries = dict(manifest["vendors"])
    if "catalog" in manifest:
        entries[CATALOG] = manifest["catalog"]
    return entries


def _sizes_by_vendor(
    vendors: Sequence[VendorConfig],
    sizes: Sequence[int | None],
) -> dict[str, int]:
    """Return the known sizes, by vendor."""
    return {
        vendor.vendor_id: size
        for vendor, size in zip(vendors, sizes, strict=True)
        if size is not None
    }


def _entry_of(
    vendor: VendorConfig,
    files: Sequence[PinnedFile],
) -> dict[str, Any]:
    """Return the manifest's entry of a vendor with its files, in reading order.

    Its own pins are those of the base's newest full file, the first one.
    """
    entry = _missing(vendor)
    if vendor.has_file_list:
        entry["files"] = [asdict(file) for file in files]
    if files and files[0].part_id is None:
        pins = asdict(files[0])
        entry |= {name: pins[name] for name in FILE_PINS}
        entry["status"] = str(VendorStatus.FOUND)
        entry["selection"] = "latest"
    return entry


def _missing(vendor: VendorConfig) -> dict[str, Any]:
    """Return the manifest's entry of a vendor without a feed."""
    pins = {
        "status": str(VendorStatus.MISSING),
        "required": vendor.required,
        "expected_prefix": vendor.inbound.s3_prefix or None,
        **dict.fromkeys(_UNKNOWN_PINS),
    }
    return reports.manifest_entry(pins)
