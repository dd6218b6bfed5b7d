"""The pages of vendors' settings: add a vendor, change its options, and remove it."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import ProblemError
from relay_dagster.services import pulls, tenants
from relay_dagster.web import frame, visits
from relay_dagster.web.overview import vendor_path
from relay_dagster.web.settings import editing
from relay_dagster.web.settings.fields import FieldErrors
from relay_dagster.web.settings.form_values import read_section
from relay_dagster.web.settings.groups import (
    Group,
    SettingsPage,
    apply_groups,
    shown_groups,
)
from relay_dagster.web.settings.pages import (
    SETTINGS,
    Saved,
    settings_path,
    shown_form,
)

routes = frame.page_router()

_VENDOR = SETTINGS + "/vendors/{vendor_id}"
_SECTION = "VendorConfig"
_NEW_VENDOR = SettingsPage(
    "new-vendor",
    "New vendor",
    "Give the vendor a name. Then you upload its file, and Relay finds its columns.",
    (),
)
_NEW_OPTIONS = ("vendor_id", "required", "currency")
_GENERAL = ("required", "currency", "shipping_handling_flat")
_TROUBLE = (
    "on_trouble",
    "last_good",
    "max_feed_age_hours",
    "max_invalid_row_pct",
    "duplicate_skus",
)
_PLACED = (
    "vendor_id",
    *_GENERAL,
    *_TROUBLE,
    "inbound",
    "stock",
    "parser",
    # Each part has a page.
    "parts",
)


def vendor_groups(index: int) -> tuple[Group, ...]:
    """Return the groups of options of the vendor at an index of the config."""
    path = ("vendors", index)
    return (
        Group("General", _SECTION, path, _GENERAL),
        Group("If a file cannot be used", _SECTION, path, _TROUBLE),
        Group("Stock", _SECTION, path, ("stock",)),
        Group("Where the files come from", _SECTION, path, ("inbound",)),
        Group(
            "How the files are read",
            _SECTION,
            path,
            ("parser",),
            intro="You rarely need these settings: the check of a file proposes them.",
            is_folded=True,
        ),
        # Options that no other group has
        Group("More", _SECTION, path, without=_PLACED, is_folded=True),
    )


def vendor_index(document: Mapping[str, Any], vendor_id: str) -> int:
    """Return the index of a vendor in a config.

    Raises:
        ProblemError: The config has no such vendor (404).
    """
    vendor_ids = [vendor.get("vendor_id") for vendor in document["vendors"]]
    if vendor_id not in vendor_ids:
        raise ProblemError("NOT_FOUND", "the settings do not have this vendor")
    return vendor_ids.index(vendor_id)


def new_input(tenant_id: str, folder: str) -> dict[str, Any]:
    """Return the options that a new file of a vendor begins with."""
    prefix = f"tenants/{tenant_id}/inbound/{folder}/"
    return {
        "inbound": {"type": "s3", "s3_prefix": prefix},
        "parser": {"format": "csv"},
    }


# --- new vendors --------------------------------------------------------------------


@routes.get(SETTINGS + "/new-vendor")
def show_new_vendor(visit: visits.Configuring) -> Response:
    """Show the form of a new vendor."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    document = tenants.stored_document(stored)
    return _new_vendor_page(visit, stored, document)


@routes.post(SETTINGS + "/new-vendor")
def add_vendor(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Review a new vendor, or save it. Its file can be uploaded after that."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        vendors = list(document.get("vendors") or [])
        path = f"vendors.{len(vendors)}"
        options = _new_vendor_group(len(vendors)).options
        vendor = read_section(form, path, options, {}, {})
        vendor |= new_input(visit.tenant_id, str(vendor.get("vendor_id")))
        return {**document, "vendors": [*vendors, vendor]}

    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        return _new_vendor_page(
            visit, stored, document, faults, is_in_document=True
        )

    vendor_id = _new_vendor_id(form)
    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title=_NEW_VENDOR.title,
            path=settings_path(visit, "new-vendor"),
            change=change,
            show_form=show_form,
            next_path=vendor_path(visit.tenant_id, vendor_id),
        )
    )


def _new_vendor_group(index: int) -> Group:
    return Group("Vendor", _SECTION, ("vendors", index), _NEW_OPTIONS)


def _new_vendor_id(form: Mapping[str, str]) -> str:
    """Return the name that a form gives the new vendor."""
    for name, text in form.items():
        if name.endswith(".vendor_id"):
            return text
    return ""


def _new_vendor_page(
    visit: visits.Visit,
    stored: StoredConfig,
    document: Mapping[str, Any],
    faults: Sequence[ConfigFault] = (),
    *,
    is_in_document: bool = False,
) -> Response:
    """Return the form of a new vendor, which may be the last one of the config."""
    count = len(tenants.stored_document(stored).get("vendors") or [])
    if not is_in_document:
        document = {**document, "vendors": [*document.get("vendors", []), {}]}
    # A name that is not valid makes the folder of the uploads invalid, too.
    name_path = f"vendors.{count}.vendor_id"
    if any(fault.path == name_path for fault in faults):
        faults = [fault for fault in faults if fault.path == name_path]
    errors = FieldErrors(faults)
    groups = shown_groups([_new_vendor_group(count)], document, errors)
    return shown_form(visit, stored, _NEW_VENDOR, groups, errors)


# --- options ------------------------------------------------------------------------


@routes.get(_VENDOR)
def show_vendor_settings(
    vendor_id: str, visit: visits.Configuring, saved: Saved = None
) -> Response:
    """Show the options of a vendor."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    document = tenants.config_document(visit.platform, stored)
    return _vendor_page(visit, stored, vendor_id, document, saved=saved)


@routes.post(_VENDOR)
def change_vendor(
    vendor_id: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Review the changes of a vendor's options, or save them."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    effective = tenants.config_document(visit.platform, stored)

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        groups = vendor_groups(vendor_index(document, vendor_id))
        return apply_groups(groups, form, document, effective)

    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        return _vendor_page(visit, stored, vendor_id, document, faults)

    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title=f"Vendor {vendor_id}",
            path=settings_path(visit, "vendors", vendor_id),
            change=change,
            show_form=show_form,
        )
    )


@routes.post(_VENDOR + "/remove")
def remove_vendor(
    vendor_id: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Review the config without a vendor, or save it. Its files stay."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        index = vendor_index(document, vendor_id)
        vendors = document["vendors"]
        return {
            **document,
            "vendors": [*vendors[:index], *vendors[index + 1 :]],
        }

    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        # Other settings may name the vendor.
        effective = tenants.config_document(visit.platform, stored)
        return _vendor_page(visit, stored, vendor_id, effective, faults)

    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title=f"Remove vendor {vendor_id}",
            path=settings_path(visit, "vendors", vendor_id, "remove"),
            change=change,
            show_form=show_form,
            next_path=settings_path(visit),
        )
    )


@routes.post(_VENDOR + "/pull")
def pull_now(
    vendor_id: str, visit: visits.Running, form: visits.OwnForm
) -> Response:
    """Fetch a vendor's file from its server now."""
    pulls.request_pull(visit.tenant_id, vendor_id, visit)
    return frame.go_to(vendor_path(visit.tenant_id, vendor_id))


def _vendor_page(
    visit: visits.Visit,
    stored: StoredConfig,
    vendor_id: str,
    document: Mapping[str, Any],
    faults: Sequence[ConfigFault] = (),
    *,
    saved: int | None = None,
) -> Response:
    """Return the form of a vendor's options with a config, which may not be stored."""
    errors = FieldErrors(faults)
    index = vendor_index(document, vendor_id)
    groups = shown_groups(vendor_groups(index), document, errors)
    config = tenants.read_stored(visit.platform, stored)
    has_pull = config is not None and any(
        vendor.vendor_id == vendor_id and vendor.inbound.pull is not None
        for vendor in config.vendors
    )
    page = SettingsPage(
        f"vendors/{vendor_id}",
        vendor_id,
        "How Relay gets this vendor's files, reads them, and uses them.",
        (),
    )
    return shown_form(
        visit,
        stored,
        page,
        [group for group in groups if group.fields],
        errors,
        template="settings_vendor.html.jinja",
        vendor_path=vendor_path(visit.tenant_id, vendor_id),
        part_ids=[
            str(part.get("part_id", ""))
            for part in document["vendors"][index].get("parts") or ()
        ],
        saved=saved,
        has_pull=has_pull,
        secrets=visit.platform.secrets.of_tenant(visit.tenant_id),
    )
