"""A supplier's page behind a link: its list goes up, is checked; nothing else of the tenant."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response

from relay_core.config import VendorConfig
from relay_core.domain.codes import FailureCode
from relay_core.onboarding.findings import NO_AMOUNTS
from relay_core.publish.report.wording import Tone
from relay_dagster.api.http.middleware import address_of, log_context
from relay_dagster.api.http.problems import ProblemError, unavailable
from relay_dagster.api.limits import DEFAULT_API_LIMITS
from relay_dagster.api.routes.config_checks import check_document
from relay_dagster.api.routes.tenants import find_config, read_stored, stored_document
from relay_dagster.api.security.auth import Parts, PartsDep
from relay_dagster.api.web import words
from relay_dagster.api.web.frame import go_to, page, page_router
from relay_dagster.api.web.vendors import last_uploads, next_name, upload_form
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.tenants.audit import ActorKind
from relay_dagster.wire.config_checks import VendorCheck

routes = page_router()

_KIND = re.compile(
    r"\bthe file is ([^;]+);"
)  # in a message, another kind of file than a list


@dataclass(frozen=True, slots=True)
class Supplier:
    """Who comes by a link: the vendor that the link is of, as the config has it now."""

    link: Link
    stored: StoredConfig
    vendor: VendorConfig
    request: Request
    parts: Parts


def supplier_of(token: str, request: Request, parts: PartsDep) -> Supplier:
    """Return who comes by a link; 404: the link is nobody's, 429: it is used too often."""
    platform = parts.platform
    link = parts.link_readers.link(
        token, address_of(request.scope) or "", LinkKind.SUPPLIER
    )
    gone = ProblemError(
        "NOT_FOUND", "this link is not good any more; ask for a new one"
    )
    if link is None:
        raise gone
    log_context(request.scope)["caller"] = f"{ActorKind.SUPPLIER_LINK}:{link.link_id}"
    platform.links.note_use(link)
    stored = find_config(platform, link.tenant_id)
    config = read_stored(platform, stored)
    if config is None:  # what is wrong with it is not for suppliers
        raise unavailable("DEPENDENCY_UNAVAILABLE", "lists cannot be taken just now")
    vendor = next(
        (each for each in config.vendors if each.vendor_id == link.vendor_id), None
    )
    if vendor is None or vendor.inbound.s3_prefix is None:
        raise gone
    return Supplier(link, stored, vendor, request, parts)


ByLink = Annotated[Supplier, Depends(supplier_of)]


@routes.get("/s/{token}")
def show(supplier: ByLink) -> Response:
    """Take a supplier's next list, and show what became of the last ones."""
    return _supplier_page(supplier)


@routes.get("/s/{token}/check")
def check(supplier: ByLink) -> Response:
    """Check the supplier's latest list, in plain words."""
    request, parts = supplier.request, supplier.parts
    if request.url.query:  # S3 adds what it has stored
        return go_to(request.url.path)
    parts.link_readers.count_check(supplier.link.link_id)
    document = stored_document(supplier.stored)
    found = check_document(
        supplier.link.tenant_id,
        document,
        parts,
        vendor_id=supplier.vendor.vendor_id,
        waits=True,
    )
    shown = found.vendors[0] if found.valid and found.vendors else None
    return _supplier_page(supplier, shown)


def _supplier_page(supplier: Supplier, found: VendorCheck | None = None) -> Response:
    link, vendor, platform = supplier.link, supplier.vendor, supplier.parts.platform
    request, stored = supplier.request, supplier.stored
    most = DEFAULT_API_LIMITS.supplier_uploads_per_hour
    name = next_name(platform, vendor, link.link_id, most)
    back = f"/s/{request.path_params['token']}/check"
    form = name and upload_form(request, platform, stored, vendor.vendor_id, back, name)
    return page(
        "supplier.html.jinja",
        sends_to=form.url if form else None,
        name=link.name,
        until=link.expires_at,
        upload=form,
        uploads=last_uploads(platform, link.tenant_id, vendor),
        check=back,
        found=found,
        verdict=verdict(found) if found else None,
    )


def verdict(found: VendorCheck) -> tuple[Tone, str]:
    """Return in a sentence what was found in a list, for those who have sent it."""
    if found.status == "missing":
        return "idle", "There is no list of yours yet."
    of = found.as_sent
    if of is not None and of.usable and not of.rows:
        return "bad", "Your list cannot be used: it has no rows."
    if of is not None and of.usable and found.message.startswith(NO_AMOUNTS):
        save = "If formulas make them, save it in a spreadsheet program, and send that file."
        return "bad", f"Your list cannot be used: no row has a cost or a price. {save}"
    if of is not None and of.usable:
        first = "" if found.whole else "the first "
        rows = f"{first}{words.counted(of.rows, 'row')}"
        if not of.refused_rows:
            return "good", f"Your list can be used: {words.all_good(of.rows, first)}."
        return (
            "warn",
            f"Your list can be used, but for {words.number(of.refused_rows)} of {rows}.",
        )
    message = found.message if of is None else of.error_message or ""
    if kind := _KIND.search(message):
        return "bad", f"Your list cannot be used: the file is {kind[1]}."
    code = "" if of is None else of.error_code or ""
    why = words.FAILURES.get(code, "it could not be read")
    missing = (
        found.missing_headers if code == FailureCode.MISSING_REQUIRED_COLUMNS else ()
    )
    lacks = ", ".join(words.COLUMNS.get(each.column, each.column) for each in missing)
    return "bad", f"Your list cannot be used: {why}{f' ({lacks})' if lacks else ''}."
