"""The channels of a config: further files of the feed, one for each shop."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

import relay_core.config.cross_checks as cross_checks
import relay_core.config.models as models
import relay_core.config.values as values
from relay_core.config.refusals import note_id, refuse
from relay_core.domain.cell_rules import shorten
from relay_core.domain.columns import EXTRA_COLUMN, extra_column
from relay_core.domain.formats import PACKABLE_FORMATS
from relay_core.domain.limits import DEFAULT_LIMITS

STATE = "state"
"""The id that no channel has: the published state of a feed has this name."""
_NO_CHANGE = Decimal(0)
_LARGEST_FLAT = 1_000_000


def _note_channel(channel_id: str, info: ValidationInfo) -> str:
    """Refuse a channel's id that an earlier channel has, or the feed's state."""
    channel_ids = cross_checks.context_of(info).channel_ids
    if channel_id == STATE:
        raise refuse(
            f'"{STATE}" is the name of a file of Relay; choose another id',
        )
    note_id(channel_id, channel_ids, "channel")
    return channel_id


def _check_extra_column(name: str, info: ValidationInfo) -> str:
    """Refuse a name that is none of the tenant's extra columns."""
    extra_columns = cross_checks.context_of(info).extra_columns
    if name not in extra_columns:
        raise refuse(
            f"{shorten(name)} is not an extra column; add it to extra_columns",
        )
    return name


_ExtraColumn = Annotated[str, AfterValidator(_check_extra_column)]
_Texts = Annotated[
    tuple[values.Filled, ...],
    Field(min_length=1, description="Texts in any letter case."),
]


class ChannelConditions(values.Section):
    """The rows of the feed that a channel has: a row must meet every condition."""

    vendors: models.Vendors | None = None
    brands: models.Brands | None = None
    conditions: models.Conditions | None = None
    columns: Annotated[
        dict[_ExtraColumn, _Texts],
        Field(
            description="Texts of extra columns, by column.",
            json_schema_extra={"propertyNames": {"pattern": EXTRA_COLUMN}},
        ),
    ] = Field(default={})
    price_from: values.Money | None = None
    price_below: Annotated[
        values.Money | None,
        cross_checks.above("price_from"),
    ] = None
    in_stock: values.Bool | None = None


class ChannelPriceConfig(values.Section):
    """How the feed's price becomes the channel's price."""

    pct: Annotated[
        Decimal,
        Field(ge=Decimal("-0.90"), le=100, decimal_places=4),
        values.EXACT,
        values.AS_TEXT,
    ] = _NO_CHANGE
    flat: Annotated[
        Decimal,
        Field(ge=-_LARGEST_FLAT, le=_LARGEST_FLAT, decimal_places=4),
        values.EXACT,
        values.AS_TEXT,
    ] = _NO_CHANGE
    min_price: values.Money = _NO_CHANGE
    ending: models.Ending | None = None


class ChannelFileConfig(models.FileConfig):
    """The format and the columns of a channel's file."""

    compression: Annotated[
        Literal["none", "gzip"],
        cross_checks.idle_without(
            "format",
            *PACKABLE_FORMATS,
            default="none",
        ),
    ] = "none"

    @property
    def suffix(self) -> str:
        """The end of the file's name, such as ``csv.gz``."""
        return (
            f"{self.format}.gz" if self.compression == "gzip" else self.format
        )


class ChannelConfig(values.Section):
    """A further file of the feed, with its own rows, prices, stock and columns."""

    channel_id: Annotated[values.Id, AfterValidator(_note_channel)]
    output: ChannelFileConfig = values.empty_section()
    when: ChannelConditions = ChannelConditions()
    price: ChannelPriceConfig = ChannelPriceConfig()
    stock: models.StockConfig | None = None

    @property
    def reads(self) -> set[str]:
        """The columns of a row that the channel's file is made from."""
        # The price is at least the minimum advertised price.
        sources = self.output.reads | {"map_price"}
        if self.when.brands is not None:
            sources.add("brand")
        sources.update(map(extra_column, self.when.columns))
        return sources


def _check_known_channel(channel_id: str, info: ValidationInfo) -> str:
    """Refuse a channel that the config lacks."""
    if channel_id not in cross_checks.context_of(info).channel_ids:
        raise refuse(f"the config has no channel {shorten(channel_id)}")
    return channel_id


KnownChannel = Annotated[values.Id, AfterValidator(_check_known_channel)]
"""The id of a channel of the config; fields with it come after ``channels``."""
Channels = Annotated[
    tuple[ChannelConfig, ...],
    Field(json_schema_extra={"maxItems": DEFAULT_LIMITS.channels}),
    cross_checks.at_most("channels"),
]
