"""Checks of a config that is not stored, and of how it reads the latest uploads.

The work is bounded: a few vendors, the first bytes of each vendor's upload, a few
threads. `upload_checks` reads the uploads.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any, TypeVar

from relay_core import sandbox
from relay_core.config import TenantConfig, load_config
from relay_core.config.inputs.tenant_inputs import Input, inputs_of
from relay_core.config.lint import config_doubts
from relay_core.config.reading.json_patch import parser_patch, parser_steps
from relay_core.config.values import sound_id
from relay_core.domain import errors
from relay_core.domain.records import Doubt
from relay_core.onboarding import check_results, findings
from relay_dagster.http import error_codes
from relay_dagster.http.engine_tasks import TaskDeadline
from relay_dagster.http.problems import (
    ProblemError,
    invalid_request,
    unavailable,
)
from relay_dagster.http.security.auth import Parts
from relay_dagster.runs.job_message import is_id
from relay_dagster.services.upload_checks import CheckedUpload, check_uploads
from relay_dagster.wire import config_checks as wire
from relay_dagster.wire.base import Fault, ResponseBody

MAX_FILES = 20
"""The number of inputs whose uploads one check reads, at most."""
_MAX_LIST_ITEMS = 200
_MAX_SAMPLES = 20
_MAX_TEXT = 200
_MAX_MESSAGE = 1000
# A response has at most 1 MiB; the rest of it, around these, is short.
_MAX_FAULTS_BYTES = 256 << 10
_MAX_DETAILS_BYTES = 512 << 10
_BRIEF_FIELDS = (
    "vendor_id",
    "part_id",
    "status",
    "s3_key",
    "size",
    "last_modified",
)
_NO_ROOM = "the response has no room for details; check fewer vendors at once"
_Item = TypeVar("_Item", bound=ResponseBody)


def check_document(
    tenant_id: str,
    document: dict[str, Any],
    parts: Parts,
    *,
    input_name: str | None = None,
    waits: bool = False,
) -> wire.ConfigCheck:
    """Check a config, and read the latest uploads, or one input's, with it.

    With ``waits``, as for a supplier, the check lets those by keys go first for a while.

    Raises:
        ProblemError: Other configs are being checked (503), or the check needs too much
            time or memory (422).
    """
    slots = parts.tasks.slots
    slot = slots.take_behind_keys(tenant_id) if waits else slots.take(tenant_id)
    try:
        with slot as deadline:
            return _check(tenant_id, document, parts, deadline, input_name)
    except sandbox.BusyError as error:
        raise unavailable(
            "CHECKS_BUSY", "other configs are being checked"
        ) from error
    except (
        sandbox.TaskTooSlowError,
        sandbox.TaskOutOfMemoryError,
        # A library that is refused memory may end its process.
        sandbox.SandboxEndedError,
    ) as error:
        if input_name is not None:
            message = (
                "the check of the file takes too much time or memory; a run allows more "
                "of both"
            )
            raise ProblemError("CHECK_TOO_SLOW", message) from error
        message = error_codes.CODES["CHECK_TOO_SLOW"].meaning
        fault = errors.ConfigFault("vendors", message)
        raise ProblemError("CHECK_TOO_SLOW", message, errors=[fault]) from error


def _check(
    tenant_id: str,
    document: dict[str, Any],
    parts: Parts,
    deadline: TaskDeadline,
    input_name: str | None,
) -> wire.ConfigCheck:
    platform = parts.platform
    named_tenant = sound_id(document.get("tenant_id"))
    if named_tenant not in (None, tenant_id):
        message = f'is "{named_tenant}", but must be the tenant in the path, "{tenant_id}"'
        raise invalid_request([errors.ConfigFault("tenant_id", message)])
    try:
        config = load_config(document, platform.settings.limits)
    except errors.ConfigError as error:
        return _invalid_config(tenant_id, error.faults, document)
    except errors.UnsupportedSchemaVersionError as error:
        fault = errors.ConfigFault("schema_version", str(error))
        return _invalid_config(tenant_id, [fault], document)
    inputs = [
        tenant_input
        for name, tenant_input in inputs_of(config).items()
        if input_name in (None, name)
    ]
    uploads = check_uploads(
        config, inputs[:MAX_FILES], platform.objects, parts.tasks, deadline
    )
    doubts: Sequence[Doubt] = ()
    if input_name is None:
        keeps_skus = config.output.missing_skus == "zero"
        is_published = (
            not keeps_skus or platform.runs.feed(tenant_id) is not None
        )
        doubts = config_doubts(config, is_published=is_published)
    return _valid_config(config, document, uploads, doubts, inputs[MAX_FILES:])


def _invalid_config(
    tenant_id: str,
    faults: Sequence[errors.ConfigFault],
    document: Mapping[str, Any],
) -> wire.ConfigCheck:
    """Return the response for a config with errors, whose uploads are not read."""
    message = "the config has errors; fix them, and check it again"
    vendor_ids = _vendor_ids(document)[:_MAX_LIST_ITEMS]
    return wire.ConfigCheck(
        tenant_id=tenant_id,
        valid=False,
        faults=_first_items(
            Fault(
                path=_cut(fault.path), message=_cut(fault.message, _MAX_MESSAGE)
            )
            for fault in faults
        ),
        doubts=[],
        vendors=[
            _not_read({"vendor_id": vendor_id}, message)
            for vendor_id in vendor_ids
        ],
        patch=[],
    )


def _vendor_ids(document: Mapping[str, Any]) -> list[str]:
    """Return the vendors' IDs of a config that may have any errors."""
    vendors = document.get("vendors")
    if not isinstance(vendors, list):
        return []
    ids = [
        vendor.get("vendor_id")
        for vendor in vendors
        if isinstance(vendor, dict)
    ]
    return [
        vendor_id
        for vendor_id in ids
        if isinstance(vendor_id, str) and is_id(vendor_id)
    ]


def _valid_config(
    config: TenantConfig,
    document: dict[str, Any],
    uploads: Sequence[CheckedUpload],
    doubts: Sequence[Doubt],
    other_inputs: Sequence[Input],
) -> wire.ConfigCheck:
    """Return the response for a config without errors."""
    vendor_checks: list[wire.VendorCheck] = []
    reported: list[CheckedUpload] = []
    remaining_bytes = _MAX_DETAILS_BYTES
    for upload in uploads:
        vendor_check = _vendor_check(upload)
        path = upload.tenant_input.path
        steps = parser_steps(document, path, upload.changes)
        operations = [wire.Operation.of(step) for step in steps]
        remaining_bytes -= sum(map(_size, [vendor_check, *operations]))
        if remaining_bytes < 0:
            vendor_checks.append(_without_details(vendor_check))
        else:
            vendor_checks.append(vendor_check)
            reported.append(upload)
    message = f"the check reads only the files of the first {MAX_FILES} vendors"
    for tenant_input in other_inputs[: _MAX_LIST_ITEMS - MAX_FILES]:
        vendor_checks.append(_not_read(_ids(tenant_input), message))
    all_doubts = [*doubts, *_doubts_of_uploads(config, reported)]
    changes = {upload.tenant_input.path: upload.changes for upload in reported}
    patch = parser_patch(document, changes)
    return wire.ConfigCheck(
        tenant_id=config.tenant_id,
        valid=True,
        faults=[],
        doubts=_first_items(
            wire.DoubtFound(**{**doubt.as_dict(), "path": _cut(doubt.path)})
            for doubt in all_doubts
        ),
        vendors=vendor_checks,
        patch=[wire.Operation.of(step) for step in patch],
    )


def _doubts_of_uploads(
    config: TenantConfig, uploads: Sequence[CheckedUpload]
) -> list[Doubt]:
    """Return the doubts that the uploads raise, those of single vendors first."""
    doubts: list[Doubt] = []
    checks: list[check_results.FeedCheck] = []
    for upload in uploads:
        if upload.check is not None:
            path = ".".join(map(str, upload.tenant_input.path))
            doubts.extend(findings.upload_doubts(path, upload.check, config))
            checks.append(upload.check)
    return [*doubts, *findings.policy_doubts_of(config, checks)]


def _vendor_check(upload: CheckedUpload) -> wire.VendorCheck:
    """Return the response's part about one input."""
    ids = _ids(upload.tenant_input)
    prefix = upload.tenant_input.prefix
    file = upload.file
    if prefix is None:
        return _not_read(ids, "its feeds do not come from S3")
    if file is None or upload.result is None:
        message = f'there is no upload under "{_cut(prefix)}"'
        return wire.VendorCheck(**ids, status="missing", message=message)
    status: wire.VendorCheckStatus = "unreadable"
    details: dict[str, Any] = {}
    if isinstance(upload.result, str):
        message = upload.result
    else:
        check = upload.result
        message = findings.describe_check(check)
        details = _details(check)
        if check.best.is_usable or check.best.headers:
            status = "read"
    vendor_check = wire.VendorCheck(
        **ids,
        status=status,
        message=_cut(message, _MAX_MESSAGE),
        s3_key=file.key,
        size=file.size,
        last_modified=file.last_modified,
        **details,
    )
    samples = {} if upload.check is None else upload.check.samples
    return vendor_check.with_samples(samples)


def _details(check: check_results.FeedCheck) -> dict[str, Any]:
    """Return the fields of a vendor's part that its check fills, lists cut short."""
    best = check.best
    currency_symbols = list(check.parser.currency_symbols)[:_MAX_SAMPLES]
    missing_headers = [
        wire.MissingHeaderFound(
            column=missing.column,
            header=missing.header and _cut(missing.header),
            nearest=missing.nearest and _cut(missing.nearest),
        )
        for missing in check.missing
    ]
    candidates_by_column = {
        guess.option.rpartition(".")[2]: guess.candidates
        for guess in check.guesses
        if guess.certainty != check_results.Certainty.CERTAIN
    }
    candidates = [
        wire.HeaderCandidate(
            column=column,
            header=_cut(candidate.header),
            score=candidate.score,
            samples=[_cut(sample) for sample in candidate.samples],
        )
        for column, candidates_of_column in (
            *candidates_by_column.items(),
            *check.unknown.items(),
        )
        for candidate in candidates_of_column
    ]
    return {
        "headers": [_cut(header) for header in best.headers[:_MAX_LIST_ITEMS]],
        "missing_headers": missing_headers,
        "unused_headers": [
            _cut(header) for header in best.unused[:_MAX_LIST_ITEMS]
        ],
        "candidates": candidates,
        "rows_looked_at": best.rows,
        "whole": check.is_whole,
        "guesses": wire.Guesses.of(
            check.parser, currency_symbols=currency_symbols
        ),
        "as_sent": _reading(check.as_sent),
        "with_patch": check.with_changes and _reading(check.with_changes),
    }


def _reading(reading: check_results.Reading) -> wire.HeadReading:
    refusals = [
        wire.RefusedCells.of(cells, value=_cut(cells.value))
        for cells in reading.rejected_cells[:_MAX_SAMPLES]
    ]
    message = reading.error_message
    return wire.HeadReading.of(
        reading,
        usable=reading.is_usable,
        refused_rows=reading.rejected_rows,
        refusals=refusals,
        error_message=None if message is None else _cut(message, _MAX_MESSAGE),
    )


def _ids(tenant_input: Input) -> dict[str, Any]:
    """Return the fields that name an input."""
    if not tenant_input.names_part:
        return {"vendor_id": tenant_input.vendor_id}
    return {
        "vendor_id": tenant_input.vendor_id,
        "part_id": tenant_input.part.part_id,
    }


def _not_read(ids: Mapping[str, Any], message: str) -> wire.VendorCheck:
    return wire.VendorCheck(**ids, status="not_looked_at", message=message)


def _without_details(vendor_check: wire.VendorCheck) -> wire.VendorCheck:
    """Return an input's part for a response that has no room for its details."""
    fields = vendor_check.model_dump(
        include=set(_BRIEF_FIELDS), exclude_unset=True
    )
    message = f"{vendor_check.message}; {_NO_ROOM}"
    return wire.VendorCheck(**fields, message=message)


def _first_items(items: Iterable[_Item]) -> list[_Item]:
    """Return the first items of a list, as far as a response has room for them."""
    first_items = list(islice(items, _MAX_LIST_ITEMS))
    sizes = accumulate(map(_size, first_items))
    return [
        item
        for item, size in zip(first_items, sizes, strict=True)
        if size <= _MAX_FAULTS_BYTES
    ]


def _cut(text: str, limit: int = _MAX_TEXT) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _size(body: ResponseBody) -> int:
    """Return the number of bytes that a part of a response takes."""
    return len(body.model_dump_json().encode())
