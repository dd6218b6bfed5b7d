"""Whether a run would read anything that the runs before it have not: an upload that is not spent.

Judged by the bucket and the manifests of the tenant's runs, whatever events have told.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from relay_dagster.execution.inputs import read_manifest
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform

_LOOKED = "latest"


def has_unspent(platform: Platform, tenant_id: str, prefixes: Mapping[str, str]) -> bool:
    """Tell whether a vendor's latest upload is newer than what its last run has pinned.

    A vendor that none of the newest runs has looked at counts as never looked at.

    Args:
        platform: the bucket and the runs.
        tenant_id: whose.
        prefixes: of the vendors that have uploaded something.
    """
    newest = {name: platform.objects.latest_object(prefix) for name, prefix in prefixes.items()}
    left = {name: upload.last_modified for name, upload in newest.items() if upload is not None}
    if not left:
        return False
    for run in platform.runs.newest_runs(tenant_id):
        for name, pinned in _pins(platform, run).items():
            if name in left and (pinned is None or left.pop(name) > pinned):
                return True
        if not left:
            return False
    return True


def _pins(platform: Platform, run: RunRecord) -> dict[str, datetime | None]:
    """Return what a run has pinned of each vendor that it has looked at; None for no upload."""
    manifest = read_manifest(platform.objects, run.keys) if run.attempt else None
    vendors = {} if manifest is None else manifest["vendors"]
    return {name: _pinned(entry) for name, entry in vendors.items() if _has_looked(entry)}


def _has_looked(entry: Mapping[str, Any]) -> bool:
    """Tell whether a run has looked for an upload itself: a borrowed input is another run's."""
    return entry["selection"] in (None, _LOOKED)


def _pinned(entry: Mapping[str, Any]) -> datetime | None:
    modified = entry["last_modified"]
    return None if modified is None else datetime.fromisoformat(modified)
