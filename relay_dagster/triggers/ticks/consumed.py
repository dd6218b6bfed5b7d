"""Whether a run would read an upload that no earlier run has consumed.

The bucket and the manifests of the tenant's runs decide; an event says where to look.
"""

from collections.abc import Mapping
from datetime import datetime

from relay_dagster.aws.s3.object_store import ObjectStore
from relay_dagster.execution.inputs import read_manifest
from relay_dagster.runs.model import RunRecord
from relay_dagster.triggers.state import UploadEvent
from relay_dagster.wiring import Platform

_LATEST = "latest"


def has_new_upload(
    platform: Platform,
    tenant_id: str,
    prefixes: Mapping[str, str],
    events: Mapping[str, UploadEvent],
) -> bool:
    """Return whether a vendor's latest upload is newer than the input that its last run pinned.

    A vendor that none of the newest runs has listed counts as never listed.
    """
    newest = {
        name: _newest(platform.objects, prefix, events.get(name))
        for name, prefix in prefixes.items()
    }
    left = {name: modified for name, modified in newest.items() if modified is not None}
    if not left:
        return False
    for run in platform.runs.newest_runs(tenant_id):
        for name, pinned in _pinned(platform, run).items():
            if name in left and (pinned is None or left.pop(name) > pinned):
                return True
        if not left:
            return False
    return True


def _newest(objects: ObjectStore, prefix: str, event: UploadEvent | None) -> datetime | None:
    """Return the time of a vendor's newest upload, None where there is none."""
    is_under = event is not None and event.key.startswith(prefix)
    found = objects.listed_object(event.key) if event is not None and is_under else None
    upload = found or objects.latest_object(prefix)
    return None if upload is None else upload.last_modified


def _pinned(platform: Platform, run: RunRecord) -> dict[str, datetime | None]:
    """Return the upload time of each vendor's input in a run; None where there was no upload.

    Inputs reused from a source run are left out.
    """
    manifest = read_manifest(platform.objects, run.keys) if run.attempt else None
    vendors = {} if manifest is None else manifest["vendors"]
    modified = {
        name: entry["last_modified"]
        for name, entry in vendors.items()
        if entry["selection"] in (None, _LATEST)
    }
    return {name: text and datetime.fromisoformat(text) for name, text in modified.items()}
