"""The baseline of a run: the publication in force when its first attempt begins.

A run is compared with the baseline, and may use its inputs instead of an upload that
failed. The baseline is pinned with the config version. Its state and the inputs that
are used are copied into the run, so no later change of the tenant's feed affects an
attempt.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from relay_core.config import VendorConfig
from relay_core.config.inputs.parts import files_read, has_required
from relay_core.config.inputs.uploads import FileKind
from relay_core.domain.codes import VendorStatus
from relay_core.domain.errors import StateUnreadableError
from relay_core.normalize.vendor_feed import FeedFile, VendorFeed
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.state import Baseline, read_state
from relay_core.validation.vendor_failures import InputFile, VendorInput
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.inputs import read_manifest
from relay_dagster.execution.pinned_inputs import PinnedFile
from relay_dagster.execution.published_copies import state_key
from relay_dagster.external_errors import BaselineLostError

_NOTE = "last_good.json"
"""The work file that names the last good input that a run used of a vendor."""


def fetch_baseline(
    sink: BucketSink,
    run_id: str,
    *,
    keeps_rows: bool,
) -> Baseline:
    """Copy the baseline's state into the run, and return the baseline.

    Raises:
        BaselineLostError: the state is gone or damaged.
    """
    objects = sink.objects
    keys = sink.keys
    published_state = state_key(ArtifactKeys(run_id, keys.tenant_id))
    if not objects.copy_if_there(published_state, keys.baseline_state):
        raise BaselineLostError(
            "s3.CopyObject",
            f"the state of the feed of run {run_id} is gone; publish another with "
            "a rollback, or put it back",
        )
    sink.artifacts["baseline_state"] = keys.baseline_state
    try:
        return read_state(
            objects.read(keys.baseline_state),
            keeps_rows=keeps_rows,
        )
    except StateUnreadableError as error:
        raise BaselineLostError("s3.GetObject", str(error)) from error


@dataclass(frozen=True, slots=True)
class _UsedFile:
    """One file of the input of a vendor that the baseline's run used."""

    key: str  # the run's copy of the file
    file_name: str
    last_modified: str  # the time of the upload
    part_id: str | None = None  # None for the vendor's base
    kind: FileKind = "full"


@dataclass(frozen=True, slots=True)
class _UsedInput:
    """The input of a vendor that the baseline's run used."""

    files: Sequence[_UsedFile]  # the files, in reading order
    map_key: str  # the run's copy of the SKU map


class PublishedInputs:
    """The inputs of the baseline's run; the engine's ``LastGoodFeeds``."""

    def __init__(
        self,
        sink: BucketSink,
        run_id: str,
        vendors: Iterable[VendorConfig],
    ) -> None:
        self.run_id: str | None = run_id
        self._objects = sink.objects
        self._sink = sink
        self._source = ArtifactKeys(run_id, sink.keys.tenant_id)
        self._vendors = {vendor.vendor_id: vendor for vendor in vendors}

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        """Return when a vendor's input was uploaded; None if it is not available."""
        used_input = self._used_input(vendor_id)
        if used_input is None:
            return None
        for file in used_input.files:
            if not self._objects.exists(file.key):
                return None
        needs_map = self._needs_map(vendor_id)
        if needs_map and not self._objects.exists(used_input.map_key):
            return None
        files = [
            InputFile(
                0,
                datetime.fromisoformat(file.last_modified),
                file.part_id,
                file.kind,
            )
            for file in used_input.files
        ]
        return VendorInput(files).uploaded_at(self._vendors[vendor_id])

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Copy a vendor's input into the run, and return it; None if it is gone."""
        used_input = self._used_input(vendor_id)
        if used_input is None:
            return None
        keys = self._sink.keys
        copies = {}
        for number, file in enumerate(used_input.files, 1):
            copy_key = self._last_good_key(keys, vendor_id, number, file)
            if not self._objects.copy_if_there(file.key, copy_key):
                return None
            copies[copy_key] = file
        sku_map = None
        if self._needs_map(vendor_id):
            map_key = keys.sku_map(vendor_id, last_good=True)
            if not self._objects.copy_if_there(used_input.map_key, map_key):
                return None
            sku_map = self._objects.read(map_key)
            self._sink.artifacts[keys.artifact_name(map_key)] = map_key
        note = [
            {**asdict(file), "key": key.removeprefix(keys.prefix)}
            for key, file in copies.items()
        ]
        self._objects.put(
            keys.work(vendor_id, _NOTE),
            json.dumps(note).encode(),
        )
        files = []
        for copy_key, file in copies.items():
            self._sink.artifacts[keys.artifact_name(copy_key)] = copy_key
            data = self._objects.read(copy_key)
            files.append(
                FeedFile(data, file.file_name, file.part_id, file.kind),
            )
        return VendorFeed(self._vendors[vendor_id], files, sku_map)

    def _last_good_key(
        self,
        keys: ArtifactKeys,
        vendor_id: str,
        number: int,
        file: _UsedFile,
    ) -> str:
        """Return the key of the run's copy of a last good file."""
        if self._vendors[vendor_id].has_file_list:
            return keys.inbound_file(
                vendor_id,
                number,
                file.file_name,
                last_good=True,
            )
        return keys.inbound(vendor_id, file.file_name, last_good=True)

    @cached_property
    def _manifest_entries(self) -> Mapping[str, Any]:
        manifest = read_manifest(self._objects, self._source)
        return {} if manifest is None else manifest["vendors"]

    def _needs_map(self, vendor_id: str) -> bool:
        return self._vendors[vendor_id].sku_map is not None

    def _used_input(self, vendor_id: str) -> _UsedInput | None:
        """Return the input that the run used of a vendor, or None if it used none.

        It is the vendor's upload, or the last good input that the run itself had used.
        """
        source = self._source
        entry = self._manifest_entries.get(vendor_id)
        if entry is None or not VendorStatus(entry["status"]).is_used:
            return None
        if entry["last_good_run_id"] is None:
            files = [
                _UsedFile(
                    str(file.run_copy_key),
                    file.name,
                    file.last_modified,
                    file.part_id,
                    file.kind,
                )
                for file in PinnedFile.all_of(entry)
                if file.run_copy_key is not None
            ]
            map_key = source.sku_map(vendor_id)
        else:
            note_text = self._objects.read_or_none(
                source.work(vendor_id, _NOTE),
            )
            if note_text is None:
                return None
            files = _noted_files(json.loads(note_text), source, vendor_id)
            map_key = source.sku_map(vendor_id, last_good=True)
        input_parts = self._vendors[vendor_id].input_parts
        files = files_read(input_parts, files)
        if not has_required(input_parts, files):
            return None
        return _UsedInput(files, map_key)


def _noted_files(
    note: Any,
    source: ArtifactKeys,
    vendor_id: str,
) -> list[_UsedFile]:
    """Return the last good files that a run used, by its note."""
    if isinstance(note, dict):  # the note of a release with one file a vendor
        key = source.inbound(vendor_id, note["file_name"], last_good=True)
        return [_UsedFile(key, **note)]
    return [
        _UsedFile(**{**file, "key": source.prefix + file["key"]})
        for file in note
    ]
