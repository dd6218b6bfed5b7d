"""A vendor's page: its list is uploaded and checked, and a better parser taken over.

What a supplier's page needs, too: a form that posts to S3, and what became of the last lists.
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any, NamedTuple

from fastapi import Query, Request, Response

from relay_core.config import VendorConfig
from relay_core.config.json_patch import PatchStep, apply_patch, set_members
from relay_core.domain.codes import VendorStatus
from relay_core.domain.errors import ConfigFault
from relay_core.publish.report.wording import Tone
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.routes.config_checks import check_document
from relay_dagster.api.routes.runs import summary_of
from relay_dagster.api.routes.statuses import get_status
from relay_dagster.api.routes.tenants import find_config, store_config, stored_document
from relay_dagster.api.routes.uploads import sign_upload
from relay_dagster.api.web import frame, words
from relay_dagster.api.web.overview import vendor_path
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.scopes import Scope
from relay_dagster.wire.tenants import UploadLink, UploadRequest
from relay_dagster.wiring import Platform

routes = frame.page_router()

_CHOICE = "as_"  # what the name of a field begins with that chooses a column's header
_VENDOR = frame.HOME + "/tenants/{tenant_id}/vendors/{vendor_id}"
_MAX_SHOWN = 5
_MAX_RUNS = 5


class Line(NamedTuple):
    """A setting of the parser that would change, as JSON before and after."""

    setting: str
    before: str
    after: str


@routes.get(_VENDOR)
def show_vendor(vendor_id: str, request: Request, visit: frame.Reading) -> Response:
    """Show a vendor, and take its next list."""
    return _vendor_page(vendor_id, request, visit)


@routes.get(_VENDOR + "/check")
def check_vendor(
    vendor_id: str,
    request: Request,
    visit: Annotated[frame.Visit, frame.for_scopes(Scope.READ, Scope.CONFIG)],
    taken: Annotated[int | None, Query(ge=1, lt=2**53)] = None,
) -> Response:
    """Check a vendor's latest list, read with the headers that were chosen of a column each."""
    if "key" in request.query_params:  # S3 adds what it has stored
        return frame.go_to(request.url.path)
    stored = find_config(visit.platform, visit.tenant_id)
    document = stored_document(stored)
    place = _place_of(document, vendor_id)
    chosen = {
        name.removeprefix(_CHOICE): header
        for name, header in request.query_params.items()
        if name.startswith(_CHOICE)
    }
    members = {"column_map": chosen} if chosen else {}
    steps = set_members(document, ("vendors", place, "parser"), members)
    tried = apply_patch(document, steps)
    check = check_document(visit.tenant_id, tried, visit.parts, vendor_id=vendor_id)
    found = next(iter(check.vendors), None)
    steps += [PatchStep(each.op, each.path, each.value) for each in check.patch]
    # Each column that people have to name, with the headers that it could be.
    to_name = groupby(found.candidates if found else (), lambda each: each.column)
    return _vendor_page(
        vendor_id,
        request,
        visit,
        check=check,
        found=found,
        lines=[_line(document, place, each) for each in steps],
        steps=[json.dumps([each.op, each.path, each.value]) for each in steps],
        version=stored.version,
        candidates=[(column, [*headers]) for column, headers in to_name],
        chosen=chosen,
        taken=taken,
    )


def _vendor_page(
    vendor_id: str,
    request: Request,
    visit: frame.Visit,
    *,
    check: Any = None,
    **checked: Any,
) -> Response:
    tenant_id = visit.tenant_id
    stored = find_config(visit.platform, tenant_id)
    config = visit.platform.tenants.parsed(stored)
    vendor = next(
        (each for each in config.vendors if each.vendor_id == vendor_id), None
    )
    if vendor is None:
        raise ProblemError(
            "NOT_FOUND", f"config version {stored.version} has no such vendor"
        )
    path = vendor_path(tenant_id, vendor_id)
    form = None
    if visit.may(Scope.UPLOAD) and vendor.inbound.s3_prefix is not None:
        back = f"{path}/check" if visit.may(Scope.CONFIG) else path
        form = upload_form(request, visit.platform, stored, vendor_id, back)
    status = get_status(tenant_id, visit)
    return frame.page(
        "vendor.html.jinja",
        visit,
        sends_to=None if form is None else form.url,
        vendor=vendor,
        standing=next(
            (v for v in status.vendors if v.vendor_id == vendor_id and v.status), None
        ),
        upload=form,
        uploads=last_uploads(visit.platform, tenant_id, vendor),
        path=path,
        check=check,
        **checked,
    )


@routes.post(_VENDOR + "/parser")
def take_over(
    tenant_id: str, vendor_id: str, visit: frame.Configuring, form: frame.OwnForm
) -> Response:
    """Store the parser that was proposed as a new config version, unless there is a newer one."""
    stored = find_config(visit.platform, tenant_id)
    document = stored_document(stored)
    place = _place_of(document, vendor_id)
    version = form.get("version", "")
    if version == str(stored.version):  # else the paths may lead elsewhere
        document = _patched(document, form.getlist("step"), place)
    new = store_config(tenant_id, visit, json.dumps(document).encode(), f'"{version}"')
    return frame.go_to(f"{vendor_path(tenant_id, vendor_id)}/check?taken={new.version}")


def _place_of(document: Mapping[str, Any], vendor_id: str) -> int:
    ids = [each.get("vendor_id") for each in document["vendors"]]
    if vendor_id not in ids:
        raise ProblemError("NOT_FOUND", "the config has no such vendor")
    return ids.index(vendor_id)


def _patched(
    document: Mapping[str, Any], texts: Sequence[str], place: int
) -> dict[str, Any]:
    """Return a config after a form's steps, of the vendor's parser alone; 422: they are others."""
    try:
        steps = [PatchStep(*json.loads(each)) for each in texts]
        if steps and all(
            each.path.startswith(f"/vendors/{place}/parser/") for each in steps
        ):
            return apply_patch(document, steps)
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError):
        pass
    raise invalid_request(
        [ConfigFault("step", "is none of the changes that were proposed")]
    )


def _line(document: Mapping[str, Any], place: int, step: PatchStep) -> Line:
    """Return a step as people compare it: the setting's name, its text before and after."""
    keys = [
        key.replace("~1", "/").replace("~0", "~") for key in step.path.split("/")[1:]
    ]
    value: Any = document
    for key in keys:
        value = value[int(key)] if isinstance(value, list) else (value or {}).get(key)
    before = "not set" if value is None else json.dumps(value, ensure_ascii=False)
    return Line(".".join(keys[3:]), before, json.dumps(step.value, ensure_ascii=False))


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
    is_remote = frame.cookie_of(request)[1]
    base = public if is_remote and public else str(request.base_url).rstrip("/")
    order = UploadRequest(vendor_id=vendor_id, file_name=name)
    return sign_upload(order, stored, platform, redirect=f"{base}{back}")


def last_uploads(
    platform: Platform, tenant_id: str, vendor: VendorConfig
) -> list[Upload]:
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
            *verdicts.get(
                _place(each.key, each.last_modified), passed if place else waits
            ),
        )
        for place, each in enumerate(found)
    ]


def _verdicts(
    platform: Platform, tenant_id: str, vendor_id: str
) -> Iterator[tuple[tuple[str, datetime], tuple[Tone, str]]]:
    """Yield what each of the last runs made of the list that it took; the oldest run first."""
    runs = [run for run in platform.runs.newest_runs(tenant_id) if run.has_ended][
        :_MAX_RUNS
    ]
    for run in reversed(runs):
        key = run.artifacts.get("input_manifest")
        manifest = (
            json.loads(platform.objects.read_or_none(key) or b"{}") if key else {}
        )
        entry = manifest.get("vendors", {}).get(vendor_id) or {}
        if entry.get("s3_key"):
            rows = (summary_of(run, platform).get("rows") or {}).get(vendor_id)
            modified = datetime.fromisoformat(entry["last_modified"])
            yield _place(entry["s3_key"], modified), _verdict(entry, rows)


def _place(key: str, modified: datetime) -> tuple[str, datetime]:
    return key, modified.replace(microsecond=0)


def _verdict(
    entry: Mapping[str, Any], rows: Mapping[str, Any] | None
) -> tuple[Tone, str]:
    failure = (entry.get("trouble") or {}).get("error_code")
    if failure is not None:
        return (
            "bad",
            f"Not used: {words.FAILURES.get(failure, 'something is wrong with it')}.",
        )
    if rows is None:
        known = entry.get("status") == VendorStatus.FOUND
        return (
            ("idle", "The run ended before it was read.")
            if known
            else ("warn", "Not used.")
        )
    if rows["refused"]:
        refused, read = (
            words.number(rows["refused"]),
            words.counted(rows["read"], "row"),
        )
        return "warn", f"Used, but {refused} of {read} were refused."
    return "good", f"Used: {words.all_good(rows['read'])}."


def next_name(
    platform: Platform, vendor: VendorConfig, link_id: str, most: int
) -> str | None:
    """Return the name of a supplier's next list; None where there were enough within the hour.

    All forms that are open have one name until a list has it, so that a link makes no more lists
    than that, however many forms it is shown.
    """
    hour = f"{utc_now():%Y%m%dT%H}"
    start = f"{vendor.inbound.s3_prefix}link-{link_id}-{hour}-"
    count = len(platform.objects.newest_objects(start, most))
    return f"link-{link_id}-{hour}-{count + 1:02}" if count < most else None
