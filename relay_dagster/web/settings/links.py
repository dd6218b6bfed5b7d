"""The pages of links: to the feed, and to suppliers' pages.

A link's address appears only on the page that answers its form.
"""

from typing import Annotated

from fastapi import Response

from relay_dagster.services import links as service
from relay_dagster.services import tenants
from relay_dagster.tenants.scopes import Scope
from relay_dagster.web import frame, visits
from relay_dagster.web.settings import plain_forms
from relay_dagster.web.settings.pages import (
    SETTINGS,
    settings_path,
    vendor_ids_of,
)
from relay_dagster.web.settings.plain_forms import (
    NO_FORM,
    FormKind,
    SentForm,
)
from relay_dagster.wire import access as wire

routes = frame.page_router()

_FEED_LINK = FormKind("link", wire.FeedLinkRequest)
_SUPPLIER_LINK = FormKind("link", wire.SupplierLinkRequest)
_MAX_LINKS = 100
Uploading = Annotated[
    visits.Visit, visits.with_scopes(Scope.CONFIG, Scope.UPLOAD)
]


# --- links to the feed --------------------------------------------------------------


@routes.get(SETTINGS + "/links")
def show_links(visit: visits.Configuring) -> Response:
    """Show the links to the feed."""
    return _links_page(visit)


@routes.post(SETTINGS + "/links")
def add_link(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Create a link to the feed, and show its address."""
    fields = {"name": form.get("name", "")}
    if form.get("channel_id"):
        fields["channel_id"] = form["channel_id"]
    link, sent = plain_forms.create(
        visit, form, _FEED_LINK, fields, service.create_feed_link
    )
    return _links_page(visit, sent, url=link.url if link else "")


@routes.post(SETTINGS + "/links/{link_id}/delete")
def delete_link(
    link_id: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Delete a link to the feed."""
    service.delete_feed_link(visit.tenant_id, link_id, visit)
    return frame.go_to(settings_path(visit, "links"))


def _links_page(
    visit: visits.Visit, sent: SentForm = NO_FORM, *, url: str = ""
) -> Response:
    links = service.list_feed_links(visit.tenant_id, visit).feed_links
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    config = tenants.config_document(visit.platform, stored)
    channels = config.get("channels") or ()
    return plain_forms.shown_page(
        "settings_links.html.jinja",
        visit,
        stored,
        sent,
        path=settings_path(visit, "links"),
        links=links[-_MAX_LINKS:],
        channel_ids=[str(channel["channel_id"]) for channel in channels],
        has_public_url=visit.platform.settings.public_url is not None,
        url=url,
    )


# --- links to suppliers' pages ------------------------------------------------------


@routes.get(SETTINGS + "/suppliers")
def show_suppliers(visit: visits.Configuring) -> Response:
    """Show the links to suppliers' pages."""
    return _suppliers_page(visit)


@routes.post(SETTINGS + "/suppliers")
def add_supplier_link(visit: Uploading, form: visits.OwnForm) -> Response:
    """Create a link to a supplier's page, and show its address."""
    fields = {name: form.get(name, "") for name in ("name", "vendor_id")}
    link, sent = plain_forms.create(
        visit, form, _SUPPLIER_LINK, fields, service.create_supplier_link
    )
    return _suppliers_page(visit, sent, url=link.url if link else "")


@routes.post(SETTINGS + "/suppliers/{link_id}/delete")
def delete_supplier_link(
    link_id: str, visit: Uploading, form: visits.OwnForm
) -> Response:
    """Delete a link to a supplier's page."""
    service.delete_supplier_link(visit.tenant_id, link_id, visit)
    return frame.go_to(settings_path(visit, "suppliers"))


def _suppliers_page(
    visit: visits.Visit, sent: SentForm = NO_FORM, *, url: str = ""
) -> Response:
    links = service.list_supplier_links(
        visit.tenant_id, visit, limit=_MAX_LINKS
    ).supplier_links
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    return plain_forms.shown_page(
        "settings_suppliers.html.jinja",
        visit,
        stored,
        sent,
        path=settings_path(visit, "suppliers"),
        links=links,
        vendor_ids=vendor_ids_of(visit, stored),
        has_public_url=visit.platform.settings.public_url is not None,
        url=url,
    )
