"""Uploads from a page: a form that posts to S3, and what became of the last lists."""

import json
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import Request

from relay_core.config import VendorConfig
from relay_core.domain.codes import VendorStatus
from relay_core.publish.report.wording import Tone
from relay_dagster.api.routes.runs import summary_of
from relay_dagster.api.routes.uploads import sign_upload
from relay_dagster.api.web import words
from relay_dagster.api.web.frame import cookie_of
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.parsed_configs import StoredConfig
from relay_dagster.wire.tenants import UploadLink, UploadOrder
from relay_dagster.wiring import Platform

_MAX_SHOWN = 5
_MAX_RUNS = 5


class Upload(NamedTuple):
    """One list of a vendor, and what a run made of it."""

    uploaded_at: datetime
    size: int
    tone: Tone
    verdict: str


def upload_form(
    request: Request,
    platform: Platform,
    stored: StoredConfig,
    vendor_id: str,
    back: str,
    name: str | None = None,
) -> UploadLink:
    """Return a form for a vendor's list, of which nothing is noted; S3 leads back to a page."""
    name = name or f"upload-{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    public = platform.settings.public_url
    is_remote = cookie_of(request)[1]
    base = public if is_remote and public else str(request.base_url).rstrip("/")
    order = UploadOrder(vendor_id=vendor_id, file_name=name)
    return sign_upload(order, stored, platform, redirect=f"{base}{back}")


def last_uploads(platform: Platform, tenant_id: str, vendor: VendorConfig) -> list[Upload]:
    """Return a vendor's last lists, the newest first, as far as runs have looked at them."""
    prefix = vendor.inbound.s3_prefix
    found = platform.objects.newest_objects(prefix, _MAX_SHOWN) if prefix else []
    verdicts = dict(_verdicts(platform, tenant_id, vendor.vendor_id)) if found else {}
    waits: tuple[Tone, str] = ("idle", "No run has looked at it yet.")
    passed: tuple[Tone, str] = ("idle", "A newer list came before a run looked at it.")
    return [
        Upload(
            each.last_modified,
            each.size,
            *verdicts.get(_place(each.key, each.last_modified), passed if place else waits),
        )
        for place, each in enumerate(found)
    ]


def _verdicts(
    platform: Platform, tenant_id: str, vendor_id: str
) -> Iterator[tuple[tuple[str, datetime], tuple[Tone, str]]]:
    """Yield what each of the last runs made of the list that it took; the oldest run first."""
    runs = [run for run in platform.runs.newest_runs(tenant_id) if run.has_ended][:_MAX_RUNS]
    for run in reversed(runs):
        key = run.artifacts.get("input_manifest")
        manifest = json.loads(platform.objects.read_or_none(key) or b"{}") if key else {}
        entry = manifest.get("vendors", {}).get(vendor_id) or {}
        if entry.get("s3_key"):
            rows = (summary_of(run, platform).get("rows") or {}).get(vendor_id)
            modified = datetime.fromisoformat(entry["last_modified"])
            yield _place(entry["s3_key"], modified), _verdict(entry, rows)


def _place(key: str, modified: datetime) -> tuple[str, datetime]:
    return key, modified.replace(microsecond=0)


def _verdict(entry: Mapping[str, Any], rows: Mapping[str, Any] | None) -> tuple[Tone, str]:
    trouble = (entry.get("trouble") or {}).get("error_code")
    if trouble is not None:
        return "bad", f"Not used: {words.TROUBLES.get(trouble, 'something is wrong with it')}."
    if rows is None:
        known = entry.get("status") == VendorStatus.FOUND
        return ("idle", "The run ended before it was read.") if known else ("warn", "Not used.")
    if rows["refused"]:
        refused, read = words.number(rows["refused"]), words.counted(rows["read"], "row")
        return "warn", f"Used, but {refused} of {read} were refused."
    return "good", f"Used: {words.all_good(rows['read'])}."


def next_name(platform: Platform, vendor: VendorConfig, link_id: str, most: int) -> str | None:
    """Return the name of a supplier's next list; None where there were enough within the hour.

    All forms that are open have one name until a list has it, so that a link makes no more lists
    than that, however many forms it is shown.
    """
    hour = f"{utc_now():%Y%m%dT%H}"
    start = f"{vendor.inbound.s3_prefix}link-{link_id}-{hour}-"
    count = len(platform.objects.newest_objects(start, most))
    return f"link-{link_id}-{hour}-{count + 1:02}" if count < most else None
