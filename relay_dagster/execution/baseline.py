"""The publication in force, which a run is compared with and may fall back on.

It is pinned with the config version. Its state and the inputs used are copied into the run, so no
later change of the tenant's feed affects an attempt.
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
from relay_dagster.aws.s3.object_store import ObjectStore
from relay_dagster.execution.inputs import read_manifest
from relay_dagster.execution.publication import state_key
from relay_dagster.execution.reports import RunReports
from relay_dagster.external_errors import BaselineLostError

_NOTE = "last_good.json"


def fetch_state(objects: ObjectStore, reports: RunReports, run_id: str) -> None:
    """Copy the baseline's state into the run.

    Raises:
        BaselineLostError: it is gone.
    """
    keys = reports.keys
    published = ArtifactKeys(run_id, keys.tenant_id)
    if not objects.copy_if_there(state_key(published), keys.baseline_state):
        raise BaselineLostError(
            "s3.CopyObject",
            f"the state of the feed of run {run_id} is gone; publish another with "
            "a rollback, or put it back",
        )
    reports.artifacts["baseline_state"] = keys.baseline_state


def load_state(objects: ObjectStore, reports: RunReports, *, keeps_rows: bool) -> Baseline:
    """Return the baseline; its rows only if ``keeps_rows``.

    Raises:
        BaselineLostError: it cannot be read.
    """
    try:
        state = objects.read(reports.keys.baseline_state)
        return read_state(state, keeps_rows=keeps_rows)
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
        self,
        objects: ObjectStore,
        reports: RunReports,
        run_id: str,
        vendors: Iterable[VendorConfig],
    ) -> None:
        self.run_id: str | None = run_id
        self._objects = objects
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
            return _UsedInput(copy, source.sku_map(vendor_id), name, entry["last_modified"])
        noted = self._objects.read_or_none(source.work(vendor_id, _NOTE))
        if noted is None:
            return None
        note = json.loads(noted)
        feed_key = source.inbound(vendor_id, note["file_name"], last_good=True)
        return _UsedInput(feed_key, source.sku_map(vendor_id, last_good=True), **note)
