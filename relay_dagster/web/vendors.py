"""A vendor's page: upload and check its file, and apply the proposed settings."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from fastapi import Query, Request, Response

from relay_core.config.inputs.tenant_inputs import Input, inputs_of
from relay_core.config.reading.json_patch import (
    PatchStep,
    Path,
    apply_patch,
    set_members,
)
from relay_core.domain.errors import ConfigFault
from relay_core.domain.input_names import name_of
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import ProblemError, invalid_request
from relay_dagster.services import tenants
from relay_dagster.services.config_checks import check_document
from relay_dagster.services.statuses import get_status
from relay_dagster.tenants.scopes import Scope
from relay_dagster.web import frame, uploads, visits
from relay_dagster.web.overview import vendor_path
from relay_dagster.web.shop import shop_of
from relay_dagster.wire.config_checks import HeaderCandidate, VendorCheck

routes = frame.page_router()

# The prefix of the form's fields that choose the header of a column.
_CHOICE_PREFIX = "as_"
_VENDOR = frame.HOME + "/tenants/{tenant_id}/vendors/{vendor_id}"
_PART = _VENDOR + "/parts/{part_id}"
_Configuring = Annotated[
    visits.Visit, visits.with_scopes(Scope.READ, Scope.CONFIG)
]
_StoredVersion = Annotated[int | None, Query(ge=1, lt=2**53)]


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
    stored_config = tenants.find_config(visit.platform, visit.tenant_id)
    return _vendor_page(vendor_id, request, visit, stored_config)


@routes.get(_VENDOR + "/check")
def check_vendor(
    vendor_id: str,
    request: Request,
    visit: _Configuring,
    taken: _StoredVersion = None,
) -> Response:
    """Check a vendor's latest file with the headers that a person chose for columns.

    ``taken`` is the config version that this page has just stored.
    """
    return _check_page(vendor_id, None, request, visit, taken)


@routes.get(_PART + "/check")
def check_part(
    vendor_id: str,
    part_id: str,
    request: Request,
    visit: _Configuring,
    taken: _StoredVersion = None,
) -> Response:
    """Check the latest file of a vendor's part as `check_vendor` checks the vendor's."""
    return _check_page(vendor_id, part_id, request, visit, taken)


def _check_page(
    vendor_id: str,
    part_id: str | None,
    request: Request,
    visit: visits.Visit,
    taken: int | None,
) -> Response:
    if "key" in request.query_params:
        # After an upload, S3 redirects here with the key and other parameters.
        return frame.go_to(request.url.path)
    stored_config = tenants.find_config(visit.platform, visit.tenant_id)
    document = tenants.stored_document(stored_config)
    input_path = _input_path(document, vendor_id, part_id)
    chosen_headers = {
        name.removeprefix(_CHOICE_PREFIX): header
        for name, header in request.query_params.items()
        if name.startswith(_CHOICE_PREFIX)
    }
    members = {"column_map": chosen_headers} if chosen_headers else {}
    parser_path = (*input_path, "parser")
    steps = list(set_members(document, parser_path, members))
    check = check_document(
        visit.tenant_id,
        apply_patch(document, steps),
        visit.parts,
        input_name=name_of(vendor_id, part_id),
    )
    for operation in check.patch:
        steps.append(PatchStep(operation.op, operation.path, operation.value))
    vendor_check = check.vendors[0] if check.vendors else None
    return _vendor_page(
        vendor_id,
        request,
        visit,
        stored_config,
        part_id=part_id,
        check=check,
        found=vendor_check,
        lines=[
            _setting_change(document, step, len(parser_path)) for step in steps
        ],
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
    document: Mapping[str, Any], step: PatchStep, parser_depth: int
) -> SettingChange:
    """Return the change that a step of the patch makes.

    The first ``parser_depth`` keys of its path lead to the parser.
    """
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
    setting = ".".join(keys[parser_depth:])
    before = (
        "Not set" if value is None else json.dumps(value, ensure_ascii=False)
    )
    after = json.dumps(step.value, ensure_ascii=False)
    return SettingChange(setting, before, after)


def _vendor_page(
    vendor_id: str,
    request: Request,
    visit: visits.Visit,
    stored_config: StoredConfig,
    *,
    part_id: str | None = None,
    check: Any = None,
    **check_context: Any,
) -> Response:
    """Return the page of a vendor; ``check_context`` has the variables of a check.

    The check is of the file of a part, or of the vendor's own.
    """
    tenant_id = visit.tenant_id
    config = visit.platform.tenants.parsed(stored_config)
    vendors = {vendor.vendor_id: vendor for vendor in config.vendors}
    vendor = vendors.get(vendor_id)
    if vendor is None:
        message = (
            f"config version {stored_config.version} does not have this vendor"
        )
        raise ProblemError("NOT_FOUND", message)
    path = vendor_path(tenant_id, vendor_id)
    inputs = [
        tenant_input
        for tenant_input in inputs_of(config).values()
        if tenant_input.vendor_id == vendor_id
    ]
    places = list(_upload_places(inputs, request, visit))
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
        form_target=uploads.target_of(places),
        vendor=vendor,
        vendor_status=vendor_statuses.get(vendor_id),
        places=places,
        path=path,
        input_path=_path_of_input(path, part_id),
        part_id=part_id,
        check=check,
        **check_context,
    )


def _upload_places(
    inputs: Sequence[Input], request: Request, visit: visits.Visit
) -> Iterator[uploads.UploadPlace]:
    """Yield the inputs of a vendor, each with its form and its latest files."""
    latest = uploads.last_uploads(visit.platform, visit.tenant_id, inputs)
    for tenant_input in inputs:
        path = vendor_path(visit.tenant_id, tenant_input.vendor_id)
        part_id = tenant_input.part.part_id
        check_path = None
        if visit.may(Scope.CONFIG):
            check_path = f"{_path_of_input(path, part_id)}/check"
        form = None
        if visit.may(Scope.UPLOAD) and tenant_input.prefix is not None:
            form = uploads.upload_form(
                request,
                visit.platform,
                tenant_input,
                redirect_path=check_path or path,
            )
        yield uploads.UploadPlace(
            part_id=part_id,
            changes=tenant_input.part.changes,
            form=form,
            latest=latest[tenant_input.name],
            check_path=check_path,
        )


def _path_of_input(vendor_page: str, part_id: str | None) -> str:
    """Return the path of a vendor's page, or the start of the paths about a part."""
    return vendor_page if part_id is None else f"{vendor_page}/parts/{part_id}"


# --- applying settings --------------------------------------------------------------


@routes.post(_VENDOR + "/parser")
def apply_settings(
    vendor_id: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Store the proposed parser as the next config version, if this one is current."""
    return _apply(vendor_id, None, visit, form)


@routes.post(_PART + "/parser")
def apply_settings_of_part(
    vendor_id: str,
    part_id: str,
    visit: visits.Configuring,
    form: visits.OwnForm,
) -> Response:
    """Store the proposed parser of a part, as `apply_settings` stores the vendor's."""
    return _apply(vendor_id, part_id, visit, form)


def _apply(
    vendor_id: str,
    part_id: str | None,
    visit: visits.Visit,
    form: visits.OwnForm,
) -> Response:
    tenant_id = visit.tenant_id
    stored_config = tenants.find_config(visit.platform, tenant_id)
    document = tenants.stored_document(stored_config)
    input_path = _input_path(document, vendor_id, part_id)
    version = form.get("version", "")
    # In a different version, the paths of the steps may lead to another vendor.
    if version == str(stored_config.version):
        document = _patched(document, form.getlist("step"), input_path)
    body = json.dumps(document).encode()
    # If there is a newer version, storing this one fails with 412.
    new_config = tenants.store_config(tenant_id, visit, body, f'"{version}"')
    path = _path_of_input(vendor_path(tenant_id, vendor_id), part_id)
    return frame.go_to(f"{path}/check?taken={new_config.version}")


def _input_path(
    document: Mapping[str, Any], vendor_id: str, part_id: str | None
) -> Path:
    """Return the path of a vendor in a config, or of one of its parts.

    Raises:
        ProblemError: The config has no such vendor or part (404).
    """
    vendors = document["vendors"]
    vendor_ids = [vendor.get("vendor_id") for vendor in vendors]
    if vendor_id not in vendor_ids:
        raise ProblemError("NOT_FOUND", "the config does not have this vendor")
    vendor_index = vendor_ids.index(vendor_id)
    if part_id is None:
        return ("vendors", vendor_index)
    parts = vendors[vendor_index].get("parts") or []
    part_ids = [part.get("part_id") for part in parts]
    if part_id not in part_ids:
        raise ProblemError("NOT_FOUND", "the vendor does not have this part")
    return ("vendors", vendor_index, "parts", part_ids.index(part_id))


def _patched(
    document: Mapping[str, Any], step_texts: Sequence[str], input_path: Path
) -> dict[str, Any]:
    """Return a config after the steps of a form, which change one input's parser.

    Raises:
        ProblemError: The steps are not valid, or change other settings (422).
    """
    parser_path = "".join(f"/{key}" for key in (*input_path, "parser", ""))
    try:
        steps = [PatchStep(*json.loads(text)) for text in step_texts]
        if steps and all(step.path.startswith(parser_path) for step in steps):
            return apply_patch(document, steps)
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError):
        # Someone changed the form by hand.
        pass
    fault = ConfigFault("step", "only the proposed settings can be applied")
    raise invalid_request([fault])
