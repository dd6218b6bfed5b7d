"""Whether a run would read an upload that no earlier run has consumed.

The bucket and the manifests of the tenant's runs decide, not the events.
"""

from collections.abc import Mapping
from datetime import datetime

from relay_dagster.execution.inputs import read_manifest
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform

_LATEST = "latest"


def has_new_upload(platform: Platform, tenant_id: str, prefixes: Mapping[str, str]) -> bool:
    """Return whether a vendor's latest upload is newer than the input that its last run pinned.

    A vendor that none of the newest runs has listed counts as never listed.
    """
    newest = {name: platform.objects.latest_object(prefix) for name, prefix in prefixes.items()}
    left = {name: upload.last_modified for name, upload in newest.items() if upload is not None}
    if not left:
        return False
    for run in platform.runs.newest_runs(tenant_id):
        for name, pinned in _pinned(platform, run).items():
            if name in left and (pinned is None or left.pop(name) > pinned):
                return True
        if not left:
            return False
    return True


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
