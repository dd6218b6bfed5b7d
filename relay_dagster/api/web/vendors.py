"""A vendor's page: upload and check its file, and apply the proposed settings."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from fastapi import Query, Request, Response

from relay_core.config.reading.json_patch import (
    PatchStep,
    apply_patch,
    set_members,
)
from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.routes import tenants
from relay_dagster.api.routes.config_checks import check_document
from relay_dagster.api.routes.statuses import get_status
from relay_dagster.api.web import frame, uploads, visits
from relay_dagster.api.web.overview import vendor_path
from relay_dagster.api.web.shop import shop_of
from relay_dagster.tenants.scopes import Scope
from relay_dagster.wire.config_checks import HeaderCandidate, VendorCheck

routes = frame.page_router()

# The prefix of the form's fields that choose the header of a column.
_CHOICE_PREFIX = "as_"
_VENDOR = frame.HOME + "/tenants/{tenant_id}/vendors/{vendor_id}"


class SettingChange(NamedTuple):
    """A setting of the parser that would change, with its values as JSON."""

    setting: str
    before: str
    after: str


# --- the page -----------------------------------------------------------------------


@routes.get(_VENDOR)
def show_vendor(
    vendor_id: str, request: Request, visit: visits.Reading
) -> Response:
    """Show a vendor, and the form that uploads its next file."""
    return _vendor_page(vendor_id, request, visit)


@routes.get(_VENDOR + "/check")
def check_vendor(
    vendor_id: str,
    request: Request,
    visit: Annotated[
        visits.Visit, visits.with_scopes(Scope.READ, Scope.CONFIG)
    ],
    taken: Annotated[int | None, Query(ge=1, lt=2**53)] = None,
) -> Response:
    """Check a vendor's latest file with the headers that a person chose for columns.

    ``taken`` is the config version that this page has just stored.
    """
    if "key" in request.query_params:
        # After an upload, S3 redirects here with the key and other parameters.
        return frame.go_to(request.url.path)
    stored_config = tenants.find_config(visit.platform, visit.tenant_id)
    document = tenants.stored_document(stored_config)
    vendor_index = _vendor_index(document, vendor_id)
    chosen_headers = {
        name.removeprefix(_CHOICE_PREFIX): header
        for name, header in request.query_params.items()
        if name.startswith(_CHOICE_PREFIX)
    }
    members = {"column_map": chosen_headers} if chosen_headers else {}
    parser_path = ("vendors", vendor_index, "parser")
    steps = list(set_members(document, parser_path, members))
    check = check_document(
        visit.tenant_id,
        apply_patch(document, steps),
        visit.parts,
        vendor_id=vendor_id,
    )
    for operation in check.patch:
        steps.append(PatchStep(operation.op, operation.path, operation.value))
    vendor_check = check.vendors[0] if check.vendors else None
    return _vendor_page(
        vendor_id,
        request,
        visit,
        check=check,
        found=vendor_check,
        lines=[_setting_change(document, step) for step in steps],
        steps=[json.dumps([step.op, step.path, step.value]) for step in steps],
        version=stored_config.version,
        candidates=_candidates_by_column(vendor_check),
        proposed=_proposed_headers(vendor_check),
        chosen=chosen_headers,
        taken=taken,
    )


def _candidates_by_column(
    check: VendorCheck | None,
) -> list[tuple[str, list[HeaderCandidate]]]:
    """Return each column without a certain header, with its possible headers."""
    candidates: dict[str, list[HeaderCandidate]] = {}
    if check is not None:
        for candidate in check.candidates:
            candidates.setdefault(candidate.column, []).append(candidate)
    return list(candidates.items())


def _proposed_headers(check: VendorCheck | None) -> dict[str, str]:
    """Return the header that the check proposes for each uncertain column."""
    if check is None or check.with_patch is None:
        return {}
    unused_headers = {*check.unused_headers}
    headers: dict[str, str] = {}
    for candidate in check.candidates:
        is_first = candidate.column not in headers
        if is_first and candidate.header not in unused_headers:
            headers[candidate.column] = candidate.header
    return headers


def _setting_change(
    document: Mapping[str, Any], step: PatchStep
) -> SettingChange:
    """Return the change that a step of the patch makes."""
    keys = [
        key.replace("~1", "/").replace("~0", "~")
        for key in step.path.split("/")[1:]
    ]
    value: Any = document
    for key in keys:
        if isinstance(value, list):
            value = value[int(key)]
        else:
            value = value.get(key) if isinstance(value, dict) else None
    # The first three keys lead to the vendor's parser.
    setting = ".".join(keys[3:])
    before = (
        "Not set" if value is None else json.dumps(value, ensure_ascii=False)
    )
    after = json.dumps(step.value, ensure_ascii=False)
    return SettingChange(setting, before, after)


def _vendor_page(
    vendor_id: str,
    request: Request,
    visit: visits.Visit,
    *,
    check: Any = None,
    **check_context: Any,
) -> Response:
    """Return the page of a vendor; ``check_context`` has the variables of a check."""
    tenant_id = visit.tenant_id
    stored_config = tenants.find_config(visit.platform, tenant_id)
    config = visit.platform.tenants.parsed(stored_config)
    vendors = {vendor.vendor_id: vendor for vendor in config.vendors}
    vendor = vendors.get(vendor_id)
    if vendor is None:
        message = (
            f"config version {stored_config.version} does not have this vendor"
        )
        raise ProblemError("NOT_FOUND", message)
    path = vendor_path(tenant_id, vendor_id)
    form = None
    if visit.may(Scope.UPLOAD) and vendor.inbound.s3_prefix is not None:
        form = uploads.upload_form(
            request,
            visit.platform,
            stored_config,
            vendor_id,
            redirect_path=f"{path}/check" if visit.may(Scope.CONFIG) else path,
        )
    status = get_status(tenant_id, visit)
    vendor_statuses = {
        vendor_status.vendor_id: vendor_status
        for vendor_status in status.vendors
        if vendor_status.status
    }
    return frame.page(
        "vendor.html.jinja",
        visit,
        shop=shop_of(visit.platform, stored_config),
        form_target=None if form is None else form.url,
        vendor=vendor,
        vendor_status=vendor_statuses.get(vendor_id),
        upload=form,
        uploads=uploads.last_uploads(visit.platform, tenant_id, vendor),
        path=path,
        check=check,
        **check_context,
    )


# --- applying settings --------------------------------------------------------------


@routes.post(_VENDOR + "/parser")
def apply_settings(
    tenant_id: str,
    vendor_id: str,
    visit: visits.Configuring,
    form: visits.OwnForm,
) -> Response:
    """Store the proposed parser as the next config version, if this one is current."""
    stored_config = tenants.find_config(visit.platform, tenant_id)
    document = tenants.stored_document(stored_config)
    vendor_index = _vendor_index(document, vendor_id)
    version = form.get("version", "")
    # In a different version, the paths of the steps may lead to another vendor.
    if version == str(stored_config.version):
        document = _patched(document, form.getlist("step"), vendor_index)
    body = json.dumps(document).encode()
    # If there is a newer version, storing this one fails with 412.
    new_config = tenants.store_config(tenant_id, visit, body, f'"{version}"')
    path = vendor_path(tenant_id, vendor_id)
    return frame.go_to(f"{path}/check?taken={new_config.version}")


def _vendor_index(document: Mapping[str, Any], vendor_id: str) -> int:
    """Return the index of a vendor in a config.

    Raises:
        ProblemError: The config has no such vendor (404).
    """
    vendor_ids = [vendor.get("vendor_id") for vendor in document["vendors"]]
    if vendor_id not in vendor_ids:
        raise ProblemError("NOT_FOUND", "the config does not have this vendor")
    return vendor_ids.index(vendor_id)


def _patched(
    document: Mapping[str, Any], step_texts: Sequence[str], vendor_index: int
) -> dict[str, Any]:
    """Return a config after the steps of a form, which change one vendor's parser.

    Raises:
        ProblemError: The steps are not valid, or change other settings (422).
    """
    parser_path = f"/vendors/{vendor_index}/parser/"
    try:
        steps = [PatchStep(*json.loads(text)) for text in step_texts]
        if steps and all(step.path.startswith(parser_path) for step in steps):
            return apply_patch(document, steps)
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError):
        # Someone changed the form by hand.
        pass
    fault = ConfigFault("step", "only the proposed settings can be applied")
    raise invalid_request([fault])
