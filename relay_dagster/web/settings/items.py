"""The pages of channels and of vendors' further files, one for each.

One form of all of them would be too large for a config with many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Response
from starlette.datastructures import QueryParams

from relay_core.domain.errors import ConfigFault
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import ProblemError
from relay_dagster.services import tenants
from relay_dagster.web import frame, visits
from relay_dagster.web.settings import editing
from relay_dagster.web.settings.fields import FieldErrors
from relay_dagster.web.settings.form_values import read_section
from relay_dagster.web.settings.groups import (
    Group,
    SettingsPage,
    shown_groups,
)
from relay_dagster.web.settings.options import options_of
from relay_dagster.web.settings.pages import (
    SETTINGS,
    settings_path,
    shown_form,
    vendor_ids_of,
)
from relay_dagster.web.settings.vendors import new_input, vendor_index

routes = frame.page_router()

_CHANNELS = SETTINGS + "/channels/list"
_PARTS = SETTINGS + "/vendors/{vendor_id}/parts"
_NEW = "new"


@dataclass(frozen=True, slots=True)
class ItemList:
    """A list of the config whose items have a page each."""

    slug: str  # the address of the items' pages
    parent_slug: str  # the address of the page that lists the items
    path: tuple[str | int, ...]  # the path of the list in the config
    section: str  # the name of the items' section
    key: str  # the option with an item's ID
    noun: str
    intro: str
    first_values: Mapping[str, Any]  # the values that a new item begins with
    names_vendors: bool = False  # whether an item can name vendors

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """Return the items of a config."""
        parent = editing.section_at(document, self.path[:-1])
        return list(parent.get(str(self.path[-1])) or ())

    def with_items(
        self, document: Mapping[str, Any], items: Sequence[Any]
    ) -> dict[str, Any]:
        """Return a config with other items."""
        changed = dict(document)
        parent = editing.section_at(changed, self.path[:-1])
        if len(self.path) == 1:
            parent = changed
        parent[str(self.path[-1])] = list(items)
        return changed

    def index(self, document: Mapping[str, Any], item_id: str) -> int:
        """Return the index of an item; a new one comes last.

        Raises:
            ProblemError: The config has no such item (404).
        """
        item_ids = [item.get(self.key) for item in self.items(document)]
        if item_id == _NEW:
            return len(item_ids)
        if item_id not in item_ids:
            message = f"the settings do not have this {self.noun}"
            raise ProblemError("NOT_FOUND", message)
        return item_ids.index(item_id)


_CHANNEL_LIST = ItemList(
    slug="channels/list",
    parent_slug="channels",
    path=("channels",),
    section="ChannelConfig",
    key="channel_id",
    noun="channel",
    intro="A further file of your feed, with its own rows, prices, and columns.",
    first_values={},
    names_vendors=True,
)


def _parts(
    visit: visits.Visit, stored: StoredConfig, vendor_id: str
) -> ItemList:
    """Return the further files of a vendor.

    Raises:
        ProblemError: The config has no such vendor (404).
    """
    document = tenants.stored_document(stored)
    index = vendor_index(document, vendor_id)
    number = len(document["vendors"][index].get("parts") or ()) + 2
    return ItemList(
        slug=f"vendors/{vendor_id}/parts",
        parent_slug=f"vendors/{vendor_id}",
        path=("vendors", index, "parts"),
        section="PartConfig",
        key="part_id",
        noun="file",
        intro=f"A further file of {vendor_id}, with more products or more columns.",
        first_values=new_input(visit.tenant_id, f"{vendor_id}_{number}"),
    )


# --- routes -------------------------------------------------------------------------


@routes.get(_CHANNELS + "/{item_id}")
def show_channel(item_id: str, visit: visits.Configuring) -> Response:
    """Show the form of a channel, or of a new one."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    return _show(visit, stored, _CHANNEL_LIST, item_id)


@routes.post(_CHANNELS + "/{item_id}")
def change_channel(
    item_id: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Review the changes of a channel, or save them."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    return _change(visit, stored, form, _CHANNEL_LIST, item_id)


@routes.post(_CHANNELS + "/{item_id}/remove")
def remove_channel(
    item_id: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Review the config without a channel, or save it."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    return _remove(visit, stored, form, _CHANNEL_LIST, item_id)


@routes.get(_PARTS + "/{item_id}")
def show_part(
    vendor_id: str, item_id: str, visit: visits.Configuring
) -> Response:
    """Show the form of a vendor's further file, or of a new one."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    parts = _parts(visit, stored, vendor_id)
    return _show(visit, stored, parts, item_id)


@routes.post(_PARTS + "/{item_id}")
def change_part(
    vendor_id: str,
    item_id: str,
    visit: visits.Configuring,
    form: visits.OwnForm,
) -> Response:
    """Review the changes of a vendor's further file, or save them."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    parts = _parts(visit, stored, vendor_id)
    return _change(visit, stored, form, parts, item_id)


@routes.post(_PARTS + "/{item_id}/remove")
def remove_part(
    vendor_id: str,
    item_id: str,
    visit: visits.Configuring,
    form: visits.OwnForm,
) -> Response:
    """Review the config without a vendor's further file, or save it."""
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    parts = _parts(visit, stored, vendor_id)
    return _remove(visit, stored, form, parts, item_id)


# --- items of any list --------------------------------------------------------------


def _show(
    visit: visits.Visit, stored: StoredConfig, items: ItemList, item_id: str
) -> Response:
    """Return the form of an item as it is stored."""
    document = tenants.config_document(visit.platform, stored)
    if item_id == _NEW:
        new_items = [*items.items(document), items.first_values]
        document = items.with_items(document, new_items)
    return _item_page(visit, stored, items, item_id, document)


def _change(
    visit: visits.Visit,
    stored: StoredConfig,
    form: QueryParams,
    items: ItemList,
    item_id: str,
) -> Response:
    """Return the next page after the form of an item."""
    effective = items.items(tenants.config_document(visit.platform, stored))

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        index = items.index(document, item_id)
        entries = items.items(document)
        stored_item: Mapping[str, Any] = {}
        effective_item: Mapping[str, Any] = {}
        if index < len(entries):
            stored_item = entries[index]
            effective_item = effective[index]
        path = ".".join(map(str, (*items.path, index)))
        options = options_of(items.section)
        item = read_section(form, path, options, stored_item, effective_item)
        return items.with_items(
            document, [*entries[:index], item, *entries[index + 1 :]]
        )

    return _respond(visit, stored, form, items, item_id, change)


def _remove(
    visit: visits.Visit,
    stored: StoredConfig,
    form: QueryParams,
    items: ItemList,
    item_id: str,
) -> Response:
    """Return the next page after the form that removes an item."""

    def change(document: dict[str, Any]) -> Mapping[str, Any]:
        index = items.index(document, item_id)
        entries = items.items(document)
        return items.with_items(
            document, [*entries[:index], *entries[index + 1 :]]
        )

    return _respond(
        visit, stored, form, items, item_id, change, action="/remove"
    )


def _respond(
    visit: visits.Visit,
    stored: StoredConfig,
    form: QueryParams,
    items: ItemList,
    item_id: str,
    change: editing.Change,
    *,
    action: str = "",
) -> Response:
    def show_form(
        document: Mapping[str, Any], faults: Sequence[ConfigFault]
    ) -> Response:
        if action:
            # Another setting may name the item, so it is still there.
            document = tenants.config_document(visit.platform, stored)
        return _item_page(visit, stored, items, item_id, document, faults)

    return editing.respond(
        editing.Edit(
            visit,
            stored,
            form,
            title=f"{items.noun.capitalize()} {item_id}",
            path=f"{settings_path(visit, items.slug, item_id)}{action}",
            change=change,
            show_form=show_form,
            next_path=settings_path(visit, items.parent_slug),
        )
    )


def _item_page(
    visit: visits.Visit,
    stored: StoredConfig,
    items: ItemList,
    item_id: str,
    document: Mapping[str, Any],
    faults: Sequence[ConfigFault] = (),
) -> Response:
    """Return the form of an item of a config, which may not be stored."""
    is_new = item_id == _NEW
    entries = items.items(document)
    index = items.index(document, item_id) - is_new
    if not 0 <= index < len(entries):
        return frame.go_to(settings_path(visit, items.parent_slug))
    errors = FieldErrors(faults)
    path = (*items.path, index)
    group = Group(items.noun.capitalize(), items.section, path)
    title = f"New {items.noun}" if is_new else item_id
    vendor_ids: list[str] = []
    if items.names_vendors:
        vendor_ids = vendor_ids_of(visit, stored)
    return shown_form(
        visit,
        stored,
        SettingsPage(f"{items.slug}/{item_id}", title, items.intro, ()),
        shown_groups([group], document, errors),
        errors,
        template="settings_item.html.jinja",
        noun=items.noun,
        is_new=is_new,
        vendor_ids=vendor_ids,
    )
