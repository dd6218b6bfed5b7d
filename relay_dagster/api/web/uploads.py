"""The parts about files that the pages of vendors and suppliers share.

These are the form that uploads a file to S3, and the results of the latest files.
"""

import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import Request

from relay_core.config import VendorConfig
from relay_core.domain.codes import VendorStatus
from relay_dagster.api.routes.runs import summary_of
from relay_dagster.api.routes.uploads import sign_upload
from relay_dagster.api.web import error_words, visits, words
from relay_dagster.aws.dynamodb.link_store import Link
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers import link_uploads
from relay_dagster.wire.tenants import UploadLink, UploadRequest
from relay_dagster.wiring import Platform

_MAX_UPLOADS = 5
_MAX_RUNS = 5
_NOT_YET_READ = words.Verdict("idle", "No run has used this file yet.")
_NEVER_READ = words.Verdict(
    "idle", "A newer file replaced it before a run used it."
)


class Upload(NamedTuple):
    """An uploaded file of a vendor, and its result in a run."""

    uploaded_at: datetime
    size: int  # bytes
    tone: words.Tone
    verdict: str


# --- the form -----------------------------------------------------------------------


def upload_form(
    request: Request,
    platform: Platform,
    stored_config: StoredConfig,
    vendor_id: str,
    *,
    redirect_path: str,
    file_name: str | None = None,
) -> UploadLink:
    """Return a form that uploads a vendor's file; S3 then redirects to a page.

    ``file_name`` defaults to a new name. The audit log does not record the form.
    """
    if file_name is None:
        file_name = f"upload-{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    _, is_remote = visits.cookie_of(request)
    public_url = platform.settings.public_url
    base_url = str(request.base_url).rstrip("/")
    if is_remote and public_url:
        base_url = public_url
    upload = UploadRequest(vendor_id=vendor_id, file_name=file_name)
    redirect = f"{base_url}{redirect_path}"
    return sign_upload(upload, stored_config, platform, redirect=redirect)


def next_name_of_link(
    platform: Platform, vendor: VendorConfig, link: Link
) -> str | None:
    """Return the name of the next file of a supplier's link.

    Return None if as many files as allowed arrived by the link within the hour. All
    open forms have the same name until a file has it. A form can be sent several times,
    so the files that S3 has reported count too.
    """
    now = utc_now()
    name_prefix = link_uploads.name_prefix(link.link_id, now)
    limit = link_uploads.UPLOADS_PER_HOUR
    stored_files = platform.objects.newest_objects(
        f"{vendor.inbound.s3_prefix}{name_prefix}", limit
    )
    number = len(stored_files) + 1
    reported = platform.links.upload_count(link.tenant_id, link.link_id, now)
    if number > limit or reported >= limit:
        return None
    return f"{name_prefix}{number:02}"


# --- the latest files ---------------------------------------------------------------


def last_uploads(
    platform: Platform, tenant_id: str, vendor: VendorConfig
) -> list[Upload]:
    """Return a vendor's latest files and their results in runs, newest first."""
    prefix = vendor.inbound.s3_prefix
    if not prefix:
        return []
    files = platform.objects.newest_objects(prefix, _MAX_UPLOADS)
    if not files:
        return []
    verdicts = _verdicts_of_runs(platform, tenant_id, vendor.vendor_id)
    uploads = []
    for index, file in enumerate(files):
        without_run = _NOT_YET_READ if index == 0 else _NEVER_READ
        identity = _identity_of(file.key, file.last_modified)
        verdict = verdicts.get(identity, without_run)
        uploads.append(
            Upload(file.last_modified, file.size, verdict.tone, verdict.text)
        )
    return uploads


def _identity_of(key: str, modified_at: datetime) -> tuple[str, datetime]:
    """Return the identity of an upload: its key, and its time to the second."""
    return key, modified_at.replace(microsecond=0)


def _verdicts_of_runs(
    platform: Platform, tenant_id: str, vendor_id: str
) -> dict[tuple[str, datetime], words.Verdict]:
    """Return the results of files in the latest runs, keyed by the file's identity.

    If several runs used the same file, the result is the latest run's.
    """
    ended_runs = [
        run for run in platform.runs.newest_runs(tenant_id) if run.has_ended
    ]
    verdicts: dict[tuple[str, datetime], words.Verdict] = {}
    for run in reversed(ended_runs[:_MAX_RUNS]):
        key = run.artifacts.get("input_manifest")
        if key is None:
            continue
        manifest = json.loads(platform.objects.read_or_none(key) or b"{}")
        entry = manifest.get("vendors", {}).get(vendor_id) or {}
        if not entry.get("s3_key"):
            continue
        rows = summary_of(run, platform).get("rows") or {}
        modified_at = datetime.fromisoformat(entry["last_modified"])
        identity = _identity_of(entry["s3_key"], modified_at)
        verdicts[identity] = _verdict_of_run(entry, rows.get(vendor_id))
    return verdicts


def _verdict_of_run(
    entry: Mapping[str, Any], rows: Mapping[str, Any] | None
) -> words.Verdict:
    """Return the result of a file, from the manifest's entry and the row counts."""
    failure_code = (entry.get("trouble") or {}).get("error_code")
    if failure_code is not None:
        cause = error_words.file_error(failure_code)
        return words.Verdict("bad", f"Not used: {cause}.")
    if rows is None:
        if entry.get("status") == VendorStatus.FOUND:
            return words.Verdict(
                "idle", "The run ended before it read this file."
            )
        return words.Verdict("warn", "Not used.")
    if rows["refused"]:
        rejected = words.number(rows["refused"])
        all_rows = words.counted(rows["read"], "row")
        verb = "was" if rows["refused"] == 1 else "were"
        text = f"Used, but {rejected} of {all_rows} {verb} rejected."
        return words.Verdict("warn", text)
    return words.Verdict("good", f"Used. {words.all_valid(rows['read'])}")
