"""The baseline of a run: the publication in force when its first attempt begins.

A run is compared with the baseline, and may use its inputs instead of an upload that
failed. The baseline is pinned with the config version. Its state and the inputs that
are used are copied into the run, so no later change of the tenant's feed affects an
attempt.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from relay_core.config import VendorConfig
from relay_core.domain.codes import VendorStatus
from relay_core.domain.errors import StateUnreadableError
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.state import Baseline, read_state
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.inputs import read_manifest
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
class _UsedInput:
    """The input of a vendor that the baseline's run used."""

    feed_key: str  # the run's copy of the feed
    map_key: str  # the run's copy of the SKU map
    file_name: str
    last_modified: str  # the time of the upload


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
        if used_input is None or not self._objects.exists(used_input.feed_key):
            return None
        needs_map = self._needs_map(vendor_id)
        if needs_map and not self._objects.exists(used_input.map_key):
            return None
        return datetime.fromisoformat(used_input.last_modified)

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Copy a vendor's input into the run, and return it; None if it is gone."""
        used_input = self._used_input(vendor_id)
        if used_input is None:
            return None
        keys = self._sink.keys
        file_name = used_input.file_name
        feed_key = keys.inbound(vendor_id, file_name, last_good=True)
        if not self._objects.copy_if_there(used_input.feed_key, feed_key):
            return None
        sku_map = None
        if self._needs_map(vendor_id):
            map_key = keys.sku_map(vendor_id, last_good=True)
            if not self._objects.copy_if_there(used_input.map_key, map_key):
                return None
            sku_map = self._objects.read(map_key)
            self._sink.artifacts[keys.artifact_name(map_key)] = map_key
        note = {
            "file_name": file_name,
            "last_modified": used_input.last_modified,
        }
        self._objects.put(
            keys.work(vendor_id, _NOTE),
            json.dumps(note).encode(),
        )
        self._sink.artifacts[keys.artifact_name(feed_key)] = feed_key
        feed = self._objects.read(feed_key)
        return VendorFeed.of_one(
            self._vendors[vendor_id], feed, file_name, sku_map
        )

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
            copy_key = entry["run_copy_key"]
            if copy_key is None:
                return None
            return _UsedInput(
                copy_key,
                source.sku_map(vendor_id),
                PurePosixPath(copy_key).name,
                entry["last_modified"],
            )
        note_text = self._objects.read_or_none(source.work(vendor_id, _NOTE))
        if note_text is None:
            return None
        note = json.loads(note_text)
        return _UsedInput(
            source.inbound(vendor_id, note["file_name"], last_good=True),
            source.sku_map(vendor_id, last_good=True),
            note["file_name"],
            note["last_modified"],
        )
