"""The parts about files that the pages of vendors and suppliers share.

These are the form that uploads a file to S3, and the results of the latest files.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import Request

from relay_core.config.inputs.changes import ChangesConfig
from relay_core.config.inputs.tenant_inputs import Input
from relay_core.config.inputs.uploads import FileKind, name_of_upload
from relay_core.domain.codes import VendorStatus
from relay_dagster.aws.dynamodb.link_store import Link
from relay_dagster.aws.stored_objects import ObjectInfo
from relay_dagster.runs.ports import utc_now
from relay_dagster.services.runs import summary_of
from relay_dagster.services.uploads import sign_key
from relay_dagster.triggers import link_uploads
from relay_dagster.web import error_words, visits, words
from relay_dagster.wiring import Platform

_PAGE_NAME = re.compile(r"upload-\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)
"""The names that `upload_form` makes."""
_MAX_UPLOADS = 5
_MAX_RUNS = 5
_NOT_YET_READ = words.Verdict("idle", "No run has used this file yet.")
_NEVER_READ = words.Verdict(
    "idle", "A newer file replaced it before a run used it."
)
_NO_INPUT = words.Verdict(
    "warn", "Not used: the name does not tell what kind of file it is."
)


class Upload(NamedTuple):
    """An uploaded file of a vendor, and its result in a run."""

    uploaded_at: datetime
    name: str  # "" for a file that a form of a page uploaded
    size: int  # bytes
    tone: words.Tone
    verdict: str


class _RunResult(NamedTuple):
    """A vendor in an ended run."""

    entry: Mapping[str, Any]  # the vendor's entry in the run's manifest
    # The counts of its rows; None if none was read.
    rows: Mapping[str, Any] | None


# --- the form -----------------------------------------------------------------------


class UploadChoice(NamedTuple):
    """A kind of file that a form uploads, and the key for a file of this kind."""

    kind: FileKind
    key: str


class UploadForm(NamedTuple):
    """A form that uploads a file of an input to S3."""

    url: str
    fields: Mapping[str, str]  # the hidden fields, before the file
    # The kinds of files among which a person chooses; none if the fields have the key
    choices: Sequence[UploadChoice]
    max_bytes: int
    expires_at: datetime


class UploadPlace(NamedTuple):
    """An input on a page: its form, and its latest files."""

    part_id: str | None  # None for the vendor's own file
    changes: ChangesConfig | None
    form: UploadForm | None  # None if no file can be uploaded now
    latest: Sequence[Upload]
    check_path: str | None  # the path of the check of its latest file
    # Whether the page shows the check of its latest file.
    is_checked: bool = False


def target_of(places: Sequence[UploadPlace]) -> str | None:
    """Return the address to which the forms of a page are sent; None without a form."""
    for place in places:
        if place.form is not None:
            return place.form.url
    return None


def upload_form(
    request: Request,
    platform: Platform,
    tenant_input: Input,
    *,
    redirect_path: str,
    name: str | None = None,
) -> UploadForm:
    """Return a form that uploads a file of an input; S3 then redirects to a page.

    ``name`` is the name of the file, or of its folder if the file's own name tells its
    kind. It defaults to a new name. The audit log does not record the form.
    """
    if name is None:
        name = f"upload-{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    _, is_remote = visits.cookie_of(request)
    public_url = platform.settings.public_url
    base_url = str(request.base_url).rstrip("/")
    if is_remote and public_url:
        base_url = public_url
    redirect = f"{base_url}{redirect_path}"
    key = f"{tenant_input.prefix}{name}"
    choices = _choices(tenant_input, key)
    if choices:
        # The form then allows any name in the folder.
        key = f"{key}/${{filename}}"
    link = sign_key(key, platform, redirect=redirect)
    fields = dict(link.fields)
    if choices:
        del fields["key"]
    return UploadForm(
        link.url, fields, choices, link.max_bytes, link.expires_at
    )


def _choices(tenant_input: Input, folder: str) -> list[UploadChoice]:
    """Return the kinds of files of an input with changes, each with a key in a folder.

    If the pattern of a kind allows it, a file's name has the time that the folder's name
    ends in, so that reports tell the files apart.
    """
    changes = tenant_input.part.changes
    if changes is None:
        return []
    time_and_number = "-".join(folder.rsplit("-", 2)[1:])
    choices: list[UploadChoice] = []
    kinds: tuple[FileKind, ...] = ("full", "delta")
    for kind in kinds:
        pattern = changes.full if kind == "full" else changes.delta
        for filler in (time_and_number, "", "0"):
            file_name = pattern.replace("*", filler).replace("?", "0")
            if file_name and changes.kind_of(file_name) == kind:
                choices.append(UploadChoice(kind, f"{folder}/{file_name}"))
                break
    return choices


def next_name_of_link(
    platform: Platform, inputs: Sequence[Input], link: Link
) -> str | None:
    """Return the name of the next file of a supplier's link, for any of some inputs.

    Return None if as many files as allowed arrived by the link within the hour. All
    open forms have the same name until a file has it. A form can be sent several times,
    so the files that S3 has reported count too.
    """
    now = utc_now()
    name_prefix = link_uploads.name_prefix(link.link_id, now)
    limit = link_uploads.UPLOADS_PER_HOUR
    number = 1
    for tenant_input in inputs:
        stored_files = platform.objects.newest_objects(
            f"{tenant_input.prefix}{name_prefix}", limit
        )
        number += len(stored_files)
    reported = platform.links.upload_count(link.tenant_id, link.link_id, now)
    if number > limit or reported >= limit:
        return None
    return f"{name_prefix}{number:02}"


# --- the latest files ---------------------------------------------------------------


def last_uploads(
    platform: Platform, tenant_id: str, inputs: Sequence[Input]
) -> dict[str, list[Upload]]:
    """Return the latest files of a vendor's inputs, by the name of the input.

    Each list has the newest file first. Each file has its result in the latest runs,
    whose files are read once for all inputs.
    """
    files: dict[str, Sequence[ObjectInfo]] = {}
    for tenant_input in inputs:
        if tenant_input.prefix:
            files[tenant_input.name] = platform.objects.newest_objects(
                tenant_input.prefix, _MAX_UPLOADS
            )
    results: list[_RunResult] = []
    if any(files.values()):
        results = _results_of_runs(platform, tenant_id, inputs[0].vendor_id)
    return {
        tenant_input.name: _uploads_of(
            tenant_input, files.get(tenant_input.name, ()), results
        )
        for tenant_input in inputs
    }


def _uploads_of(
    tenant_input: Input,
    files: Sequence[ObjectInfo],
    results: Sequence[_RunResult],
) -> list[Upload]:
    """Return the files of an input, which are sorted from new to old."""
    verdicts = _verdicts_of_runs(tenant_input, results)
    uploads = []
    is_replaced = False
    for file in files:
        kind = tenant_input.kind_of(file.key)
        without_run = _NEVER_READ if is_replaced else _NOT_YET_READ
        if kind is None:
            without_run = _NO_INPUT
        # A full file replaces all files before it.
        is_replaced = is_replaced or kind == "full"
        identity = _identity_of(file.key, file.last_modified)
        verdict = verdicts.get(identity, without_run)
        uploads.append(
            Upload(
                file.last_modified,
                _name_of(file.key, str(tenant_input.prefix)),
                file.size,
                verdict.tone,
                verdict.text,
            )
        )
    return uploads


def _name_of(key: str, prefix: str) -> str:
    """Return the vendor's name of a file, or "" if a form of a page named it.

    The key of a form is signed before anyone chooses a file.
    """
    first_segment = key.removeprefix(prefix).partition("/")[0]
    is_of_page = _PAGE_NAME.fullmatch(first_segment) is not None
    if is_of_page or link_uploads.link_of_upload(key) is not None:
        return ""
    return name_of_upload(key, prefix)


def _identity_of(key: str, modified_at: datetime) -> tuple[str, datetime]:
    """Return the identity of an upload: its key, and its time to the second."""
    return key, modified_at.replace(microsecond=0)


def _results_of_runs(
    platform: Platform, tenant_id: str, vendor_id: str
) -> list[_RunResult]:
    """Return the results of the latest runs that had a file of a vendor, oldest first."""
    ended_runs = [
        run for run in platform.runs.newest_runs(tenant_id) if run.has_ended
    ]
    results = []
    for run in reversed(ended_runs[:_MAX_RUNS]):
        key = run.artifacts.get("input_manifest")
        if key is None:
            continue
        manifest = json.loads(platform.objects.read_or_none(key) or b"{}")
        entry = manifest.get("vendors", {}).get(vendor_id) or {}
        if _files_of(entry):
            rows = summary_of(run, platform).get("rows") or {}
            results.append(_RunResult(entry, rows.get(vendor_id)))
    return results


def _files_of(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the files of a vendor's entry; a vendor of one file has no list."""
    files = entry.get("files", [{**entry, "part_id": None}])
    return [file for file in files if file.get("s3_key")]


def _verdicts_of_runs(
    tenant_input: Input, results: Sequence[_RunResult]
) -> dict[tuple[str, datetime], words.Verdict]:
    """Return the results of an input's files in runs, by the file's identity.

    If several runs used the same file, the result is the latest run's.
    """
    part_id = tenant_input.part.part_id
    verdicts: dict[tuple[str, datetime], words.Verdict] = {}
    for entry, rows in results:
        files = [
            file for file in _files_of(entry) if file["part_id"] == part_id
        ]
        if not files:
            continue
        counts = _counts_of(rows, part_id)
        verdict = _verdict_of_run(entry, counts, file_count=len(files))
        for file in files:
            modified_at = datetime.fromisoformat(file["last_modified"])
            verdicts[_identity_of(file["s3_key"], modified_at)] = verdict
    return verdicts


def _counts_of(
    rows: Mapping[str, Any] | None, part_id: str | None
) -> Mapping[str, int] | None:
    """Return the counts of a part's rows, of those of its vendor; None if it was not read."""
    if rows is None:
        return None
    parts = rows.get("parts") or {}
    if part_id is not None:
        counts: Mapping[str, int] | None = parts.get(part_id)
        return counts
    # The rows of a part that gives rows count among those of its vendor.
    other_counts = [part for part in parts.values() if "used" not in part]
    return {
        name: rows[name] - sum(counts[name] for counts in other_counts)
        for name in ("read", "refused")
    }


def _verdict_of_run(
    entry: Mapping[str, Any],
    rows: Mapping[str, Any] | None,
    *,
    file_count: int,
) -> words.Verdict:
    """Return the result of a file, from the manifest's entry and the row counts.

    The counts are those of ``file_count`` files together.
    """
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
    use = "Used"
    if file_count > 1:
        use = f"Used as one of {file_count} files"
    if rows["refused"]:
        rejected = words.number(rows["refused"])
        all_rows = words.counted(rows["read"], "row")
        verb = "was" if rows["refused"] == 1 else "were"
        text = f"{use}, but {rejected} of {all_rows} {verb} rejected."
        return words.Verdict("warn", text)
    return words.Verdict("good", f"{use}. {words.all_valid(rows['read'])}")
