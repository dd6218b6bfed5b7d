"""The groups of options that each settings page shows.

Every section of a config is on one of the pages, or `WITHOUT_PAGE` has the reason why it
is on none; a test reads both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams

from relay_dagster.web.settings.editing import put_section, section_at
from relay_dagster.web.settings.fields import (
    Field,
    FieldErrors,
    fields_of,
)
from relay_dagster.web.settings.form_values import read_section
from relay_dagster.web.settings.options import Option, options_of

WITHOUT_PAGE: Mapping[str, str] = {
    "schema_version": "there is one version only",
    "tenant_id": "a tenant keeps its ID",
    "vendors": "each vendor has a page",
    "channels": "each channel has a page",
}
"""The options of a config that no page of `PAGES` shows, each with the reason."""


@dataclass(frozen=True, slots=True)
class Group:
    """Some options of one section of the config, under a heading."""

    title: str
    section: str = "TenantConfig"
    path: tuple[str | int, ...] = ()
    names: tuple[str, ...] = ()  # the options to show; all if it is empty
    without: tuple[str, ...] = ()  # the options to leave out
    intro: str = ""
    is_folded: bool = False  # the group is closed at first

    @property
    def options(self) -> Sequence[Option]:
        """The options that the group shows."""
        return [
            option
            for option in options_of(self.section)
            if option.name not in self.without
            and (not self.names or option.name in self.names)
        ]


@dataclass(frozen=True, slots=True)
class SettingsPage:
    """A page of settings."""

    slug: str
    title: str
    intro: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """A group with its fields."""

    group: Group
    fields: Sequence[Field]

    @property
    def has_errors(self) -> bool:
        """True if a field of the group has an error."""
        return any(map(_has_error, self.fields))


def _has_error(field: Field) -> bool:
    in_rows = [member for row in field.rows for member in row.fields]
    return field.error is not None or any(
        map(_has_error, [*field.fields, *in_rows])
    )


PRICES = SettingsPage(
    "prices",
    "Prices",
    "How a vendor's cost becomes your price.",
    (
        Group(
            "Every price",
            "PricingConfig",
            ("pricing",),
            names=("base_margin_pct", "min_price", "shipping_handling_flat"),
        ),
        Group(
            "Rounding and limits",
            "PricingConfig",
            ("pricing",),
            names=("rounding", "ending", "map_policy"),
        ),
        Group("Currencies", names=("default_currency", "exchange_rates")),
    ),
)
STOCK = SettingsPage(
    "stock",
    "Stock",
    "How much of your vendors' stock you offer, and whose offer your shop gets.",
    (
        Group("Quantities", "StockConfig", ("stock",)),
        Group(
            "SKUs without an offer",
            "OutputConfig",
            ("output",),
            names=("missing_skus", "missing_sku_days"),
        ),
        Group(
            "The best offer",
            "MergeConfig",
            ("merge",),
            without=("strategy",),
            intro="If several vendors have a SKU, your feed gets the best offer.",
        ),
    ),
)
SAFETY = SettingsPage(
    "safety",
    "Safety",
    "What may change by itself, and what waits for you.",
    (
        Group(
            "Changes from one feed to the next",
            "GuardsConfig",
            ("guards",),
            without=("quarantine",),
        ),
        Group("Single prices", "GuardsConfig", ("guards",), ("quarantine",)),
        Group("Errors in files", "ErrorPolicy", ("error_policy",)),
    ),
)
SCHEDULE = SettingsPage(
    "schedule",
    "When",
    "When a new feed is made.",
    (
        Group("Automatic runs", "TriggersConfig", ("triggers",)),
        Group("Time zone", names=("timezone",)),
    ),
)
FEED = SettingsPage(
    "feed",
    "Feed file",
    "The file that your shop reads.",
    (
        Group(
            "File",
            "OutputConfig",
            ("output",),
            without=("missing_skus", "missing_sku_days"),
        ),
        Group("Further columns", names=("extra_columns",)),
    ),
)
CHANNELS = SettingsPage(
    "channels",
    "Channels",
    "Further files of your feed, one for each shop or marketplace, and the servers that "
    "get each new feed.",
    (
        Group(
            "Deliveries",
            names=("deliveries",),
            intro="The page “Files and deliveries” shows the first rows of each file, "
            "and the state of each delivery.",
        ),
    ),
)
CATALOG = SettingsPage(
    "catalog",
    "Catalog",
    "Your own products, and how your vendors' rows are matched with them.",
    (
        Group("Product catalog", names=("catalog",)),
        Group("Product numbers", names=("gtin_column", "mpn_column")),
    ),
)
PAGES: Mapping[str, SettingsPage] = {
    page.slug: page
    for page in (PRICES, STOCK, SAFETY, SCHEDULE, FEED, CHANNELS, CATALOG)
}
"""The pages whose forms are made of the config's schema, by the end of their address."""


def shown_groups(
    groups: Sequence[Group], document: Mapping[str, Any], errors: FieldErrors
) -> list[ShownGroup]:
    """Return groups with the fields that show a config."""
    form_groups = []
    for group in groups:
        path = ".".join(map(str, group.path))
        section = section_at(document, group.path)
        fields = fields_of(path, group.options, section, errors)
        form_groups.append(ShownGroup(group, fields))
    return form_groups


def apply_groups(
    groups: Sequence[Group],
    form: QueryParams,
    document: dict[str, Any],
    effective: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a stored config with the options of some groups as a form has them.

    ``effective`` is the config with all defaults.
    """
    for group in groups:
        stored = section_at(document, group.path)
        section = read_section(
            form,
            ".".join(map(str, group.path)),
            group.options,
            stored,
            section_at(effective, group.path),
        )
        if section != stored:
            put_section(document, group.path, section)
    return document
