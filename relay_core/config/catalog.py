"""The section ``catalog`` of a config: the merchant's own list of products."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

import relay_core.config.cross_checks as cross_checks
import relay_core.config.values as values
from relay_core.config.inputs.checks import Misfit, refuse_all
from relay_core.config.inputs.parts import InboundConfig
from relay_core.config.models import VendorConfig
from relay_core.config.parser import ParserConfig
from relay_core.config.refusals import refuse
from relay_core.domain.codes import CATALOG

Key = Literal["gtin", "mpn", "sku"]
_COLUMN_OPTIONS: dict[str, str] = {"gtin": "gtin_column", "mpn": "mpn_column"}
"""The option of the config that names the column of a key."""


def _default_keys(value: Any, info: ValidationInfo) -> Any:
    """Return the keys whose columns the config has, if none are named."""
    if value is not None:
        return value
    return [key for key in ("gtin", "mpn", "sku") if _has_column(key, info)]


def _has_column(key: str, info: ValidationInfo) -> bool:
    option = _COLUMN_OPTIONS.get(key)
    context = cross_checks.context_of(info)
    return option is None or getattr(context, option) is not None


def _check_key(
    key: Key,
    entry: cross_checks.Entry,
    info: ValidationInfo,
) -> None:
    """Refuse a key that is listed twice, or whose column the config lacks."""
    cross_checks.refuse_repeated(key, entry.seen)
    if not _has_column(key, info):
        raise refuse(
            f'"{key}" needs the option {_COLUMN_OPTIONS[key]}, which names its '
            "extra column; set the option or remove the key",
        )


def _check_unmatched(value: str, info: ValidationInfo) -> str:
    """Refuse to keep rows by their SKU if their SKU is not a key."""
    keys = info.data.get("match")
    if value == "keep" and keys is not None and "sku" not in keys:
        raise refuse(
            'must be "leave_out" if match lacks "sku", because a row that is kept has '
            "its own SKU",
        )
    return value


def _check_given(
    column: str,
    entry: cross_checks.Entry,
    info: ValidationInfo,
) -> None:
    """Refuse a column that the catalog cannot give, or that is named twice."""
    extra_columns = cross_checks.context_of(info).extra_columns
    givable_columns = ("brand", "title", *extra_columns)
    if column not in givable_columns:
        raise refuse(f'"{column}" must be one of {", ".join(givable_columns)}')
    cross_checks.refuse_repeated(column, entry.seen)


_Keys = Annotated[
    tuple[Annotated[Key, cross_checks.judged(_check_key)], ...],
    Field(min_length=1),
    cross_checks.ENTRIES,
    BeforeValidator(_default_keys),
]
_Given = Annotated[
    tuple[
        Annotated[
            str,
            WithJsonSchema(
                {
                    "anyOf": [
                        {"enum": ["brand", "title"]},
                        cross_checks.ANY_EXTRA,
                    ]
                },
            ),
            cross_checks.judged(_check_given),
        ],
        ...,
    ],
    cross_checks.ENTRIES,
]


class CatalogConfig(values.Section):
    """The merchant's own list of products: its file, and how vendors' rows match it."""

    inbound: InboundConfig = values.empty_section()
    parser: ParserConfig = values.empty_section()
    match: _Keys = Field(
        default=None,
        validate_default=True,
        description="The keys that find a row's product, in order. By default, `gtin` "
        "and `mpn` if their columns are set, and then `sku`.",
    )
    unmatched: Annotated[
        Literal["keep", "leave_out"],
        AfterValidator(_check_unmatched),
    ] = Field(default="keep", validate_default=True)
    gives: _Given = ()
    max_feed_age_hours: values.HoursOfYear | None = None
    _identifier_columns: tuple[str, ...] = ()

    def model_post_init(self, context: Any, /) -> None:
        """Keep the names of the tenant's columns of identifiers."""
        columns = (
            getattr(context, "gtin_column", None),
            getattr(context, "mpn_column", None),
        )
        self._identifier_columns = tuple(filter(None, columns))

    def as_vendor(self) -> VendorConfig:
        """Return the catalog as a vendor whose rows have only the catalog's columns."""
        return VendorConfig.model_construct(
            vendor_id=CATALOG,
            inbound=self.inbound,
            parser=self.parser.reading(only=self.columns),
            max_feed_age_hours=self.max_feed_age_hours,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read of the catalog."""
        names = (
            "sku",
            "brand",
            "title",
            *self._identifier_columns,
            *self.gives,
        )
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _reads_what_it_maps(self) -> "CatalogConfig":
        refuse_all("CatalogConfig", _misfits(self.parser, self.columns))
        return self


def _misfits(
    parser: ParserConfig,
    columns: tuple[str, ...],
) -> Iterator[Misfit]:
    """Yield the columns that a parser maps or defaults, and that are not read."""
    for option in ("column_map", "defaults"):
        for column in getattr(parser, option):
            if column not in columns:
                refusal = refuse(
                    "is not read from the catalog; remove it, because only "
                    f"{', '.join(columns)} are read",
                )
                yield Misfit(("parser", option, column), refusal)


Catalog = CatalogConfig | None
"""The section, or None for a tenant without a catalog."""
