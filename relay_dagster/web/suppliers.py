"""A supplier's page behind a link, where suppliers upload and check their files.

The page does not show anything else about the tenant.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response

from relay_core.config.inputs.tenant_inputs import Input, inputs_of
from relay_core.config.parser import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.onboarding.findings import NO_AMOUNTS
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import ProblemError, unavailable
from relay_dagster.http.security.auth import Parts, PartsDep, link_of
from relay_dagster.services import tenants
from relay_dagster.services.config_checks import check_document
from relay_dagster.web import error_words, frame, uploads, words
from relay_dagster.web.shop import Shop, shop_of
from relay_dagster.wire.config_checks import HeadReading, VendorCheck

routes = frame.page_router()

# The kind of a file in the messages about files that cannot be price lists.
_FILE_KIND = re.compile(r"\bthe file is (?!not )(.+?)\. [A-Z]")


_SEPARATORS = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "vertical bars",
    " ": "spaces",
}
_ENCODINGS = {
    "cp1252": "Windows-1252",
    "latin-1": "ISO 8859-1",
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
}


@dataclass(frozen=True, slots=True)
class Supplier:
    """The supplier who uses a link, and the vendor as in the tenant's latest config."""

    link: Link
    stored_config: StoredConfig
    inputs: Mapping[str | None, Input]  # those that take uploads, by part ID
    shop: Shop
    request: Request
    parts: Parts


def supplier_of(token: str, request: Request, parts: PartsDep) -> Supplier:
    """Return the supplier who uses a link, and count the request.

    Raises:
        ProblemError: The link or its vendor no longer exists (404).
        RateLimitedError: The link was used too often, or its tenant makes too many
            requests.
    """
    platform = parts.platform
    link = link_of(request, parts, token, LinkKind.SUPPLIER)
    gone = ProblemError(
        "NOT_FOUND", "this link is no longer valid; ask for a new one"
    )
    if link is None:
        raise gone
    stored_config = tenants.find_config(platform, link.tenant_id)
    config = tenants.read_stored(platform, stored_config)
    if config is None:
        # Suppliers must not see the errors of the config.
        raise unavailable(
            "DEPENDENCY_UNAVAILABLE", "files cannot be uploaded now"
        )
    shop = shop_of(platform, stored_config)
    inputs = {
        tenant_input.part.part_id: tenant_input
        for tenant_input in inputs_of(config).values()
        if tenant_input.vendor_id == link.vendor_id and tenant_input.prefix
    }
    if not inputs:
        raise gone
    return Supplier(link, stored_config, inputs, shop, request, parts)


ByLink = Annotated[Supplier, Depends(supplier_of)]


@routes.get("/s/{token}")
def show(supplier: ByLink) -> Response:
    """Show the forms that upload a supplier's files, and the results of the latest."""
    return _supplier_page(supplier)


@routes.get("/s/{token}/check")
def check(supplier: ByLink) -> Response:
    """Check the supplier's latest file."""
    return _check_page(supplier, None)


@routes.get("/s/{token}/check/{part_id}")
def check_part(part_id: str, supplier: ByLink) -> Response:
    """Check the supplier's latest file of a part."""
    return _check_page(supplier, part_id)


def _check_page(supplier: Supplier, part_id: str | None) -> Response:
    request = supplier.request
    checked_input = supplier.inputs.get(part_id)
    if checked_input is None:
        raise ProblemError("NOT_FOUND", "there is no file of this kind")
    if request.url.query:
        # After an upload, S3 redirects here with the key and other parameters.
        return frame.go_to(request.url.path)
    supplier.parts.link_readers.count_check(supplier.link.link_id)
    config_check = check_document(
        supplier.link.tenant_id,
        tenants.stored_document(supplier.stored_config),
        supplier.parts,
        input_name=checked_input.name,
        waits=True,
    )
    vendor_check = None
    if config_check.valid and config_check.vendors:
        vendor_check = config_check.vendors[0]
    return _supplier_page(supplier, checked_input, vendor_check)


def _supplier_page(
    supplier: Supplier,
    checked_input: Input | None = None,
    check: VendorCheck | None = None,
) -> Response:
    link = supplier.link
    platform = supplier.parts.platform
    inputs = list(supplier.inputs.values())
    name = uploads.next_name_of_link(platform, inputs, link)
    last_uploads = uploads.last_uploads(platform, link.tenant_id, inputs)
    places = []
    for tenant_input in inputs:
        check_path = f"/s/{supplier.request.path_params['token']}/check"
        if tenant_input.part.part_id is not None:
            check_path += f"/{tenant_input.part.part_id}"
        form = None
        if name is not None:
            form = uploads.upload_form(
                supplier.request,
                platform,
                tenant_input,
                redirect_path=check_path,
                name=name,
            )
        places.append(
            uploads.UploadPlace(
                part_id=tenant_input.part.part_id,
                changes=tenant_input.part.changes,
                form=form,
                latest=last_uploads[tenant_input.name],
                check_path=check_path,
                is_checked=tenant_input is checked_input and check is not None,
            )
        )
    difference = ""
    if checked_input is not None and check is not None:
        difference = _difference(checked_input.part.parser, check)
    return frame.page(
        "supplier.html.jinja",
        form_target=uploads.target_of(places),
        shop=supplier.shop,
        name=link.name,
        until=link.expires_at,
        places=places,
        checked=_title_of(checked_input) if len(places) > 1 else None,
        found=check,
        verdict=None if check is None else verdict_of(check),
        difference=difference,
    )


def _title_of(tenant_input: Input | None) -> str | None:
    """Return the name of an input on a page with several of them."""
    if tenant_input is None:
        return None
    return tenant_input.part.part_id or "main file"


def _difference(parser: ParserConfig, check: VendorCheck) -> str:
    """Return the difference between a text file and the expected format.

    The result is empty if the difference is unknown.
    """
    guesses = check.guesses
    if guesses is None or guesses.format != "csv" or parser.format != "csv":
        return ""
    if guesses.delimiter != parser.delimiter:
        separator = _SEPARATORS.get(guesses.delimiter, guesses.delimiter)
        expected = _SEPARATORS.get(parser.delimiter, parser.delimiter)
        return (
            f"This file separates its columns with {separator}, but {expected} are "
            "expected."
        )
    if guesses.encoding != parser.encoding:
        encoding = _ENCODINGS.get(guesses.encoding, guesses.encoding)
        expected = _ENCODINGS.get(parser.encoding, parser.encoding)
        return f"The text encoding of this file is {encoding}, but {expected} is expected."
    return ""


def verdict_of(check: VendorCheck) -> words.Verdict:
    """Return the result of a check in sentences for the supplier of the file."""
    if check.status == "missing":
        return words.Verdict("idle", "You have not uploaded a file yet.")
    reading = check.as_sent
    if reading is None or not reading.usable:
        return words.Verdict(
            "bad", f"Your file cannot be used: {_cause(check)}."
        )
    if not reading.rows:
        return words.Verdict("bad", "Your file cannot be used: it has no rows.")
    if check.message.startswith(NO_AMOUNTS):
        return words.Verdict(
            "bad",
            "Your file cannot be used: no row has a cost or a price. If the file has "
            "formulas, save it in a spreadsheet program, and upload it again.",
        )
    return _verdict_of_usable(reading, is_whole=bool(check.whole))


def _verdict_of_usable(
    reading: HeadReading, *, is_whole: bool
) -> words.Verdict:
    if not reading.refused_rows:
        all_valid = words.all_valid(reading.rows, is_whole=is_whole)
        return words.Verdict("good", f"Your file can be used. {all_valid}")
    rejected = words.number(reading.refused_rows)
    rows = words.rows_read(reading.rows, is_whole=is_whole)
    return words.Verdict(
        "warn", f"Your file can be used, except for {rejected} of {rows}."
    )


def _cause(check: VendorCheck) -> str:
    """Return the reason why a run cannot use a file, as a clause."""
    reading = check.as_sent
    if reading is None:
        message = check.message
        code = ""
    else:
        message = reading.error_message or ""
        code = reading.error_code or ""
    file_kind = _FILE_KIND.search(message)
    if file_kind is not None:
        return f"the file is {file_kind[1]}"
    cause = error_words.file_error(code)
    if (
        code != FailureCode.MISSING_REQUIRED_COLUMNS
        or not check.missing_headers
    ):
        return cause
    columns = [
        words.COLUMNS.get(missing.column, missing.column)
        for missing in check.missing_headers
    ]
    return f"{cause}: {', '.join(columns)}"
