"""All that is doubtful in a config.

Only what a merchant would want to be asked about; faults are found where a config is loaded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from relay_core.config import ErrorPolicy, PricingConfig, TenantConfig, VendorConfig
from relay_core.config.doubts.rules import rule_doubts
from relay_core.domain.errors import ConfigFault

_DOUBTFUL_MARGIN = Decimal(1)
_TOLERANT_SHARE = Decimal("0.5")
_TOLERANT_ROWS = 100
_SHAREABLE = {"sku", "vendor_sku"}


def config_doubts(config: TenantConfig, *, is_published: bool = True) -> list[ConfigFault]:
    """Return what is probably not meant, with its path; that of the tenant's own rules last.

    Args:
        config: the tenant's.
        is_published: whether the tenant has a feed that a run is compared with.
    """
    return [
        *_of_prefixes(config),
        *(
            doubt
            for place, vendor in enumerate(config.vendors)
            for doubt in _of_vendor(place, vendor)
        ),
        *_of_pricing(config.pricing),
        *_of_output(config),
        *_of_error_policy(config.error_policy),
        *rule_doubts(config, is_published=is_published),
    ]


def plain(number: Decimal) -> str:
    """Return a number as people write it: ``2,000``, ``0.20``."""
    text = f"{number:,f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}" if fraction.strip("0") else whole


def _of_pricing(pricing: PricingConfig) -> Iterator[ConfigFault]:
    margin = pricing.base_margin_pct
    if margin >= _DOUBTFUL_MARGIN:
        percent, meant = plain(margin * 100), plain(margin / 100)
        yield ConfigFault(
            "pricing.base_margin_pct",
            f"{plain(margin)} means {percent} %; {meant} is {plain(margin)} %",
        )
    if not pricing.min_price:
        yield ConfigFault(
            "pricing.min_price",
            "0 is no floor: a cost that a vendor wrote wrong, such as 0.01, is published as it "
            "comes; set the lowest price that you would sell anything at",
        )


def _of_output(config: TenantConfig) -> Iterator[ConfigFault]:
    for column, without in (
        ("sku", "nobody can tell which item a row is"),
        ("price", "the prices that are made are not published"),
    ):
        if column not in config.output.reads:
            yield ConfigFault("output.columns", f'has no "{column}": {without}')


def _of_error_policy(policy: ErrorPolicy) -> Iterator[ConfigFault]:
    rows, share = policy.max_invalid_rows, policy.max_invalid_row_pct
    if rows and not share:
        yield ConfigFault(
            "error_policy.max_invalid_row_pct",
            f"is 0, and both limits hold: one invalid row fails a run, whatever max_invalid_rows "
            f"({rows}) says",
        )
    if share and not rows:
        yield ConfigFault(
            "error_policy.max_invalid_rows",
            f"is 0, and both limits hold: one invalid row fails a run, whatever "
            f"max_invalid_row_pct ({plain(share)}) says",
        )
    if share >= _TOLERANT_SHARE and rows >= _TOLERANT_ROWS:
        yield ConfigFault(
            "error_policy.max_invalid_row_pct",
            f"{plain(share)} is {plain(share * 100)} %: a feed of which so many rows are refused "
            "is still published, and what they offered is gone from it",
        )


def _of_prefixes(config: TenantConfig) -> Iterator[ConfigFault]:
    placed = [
        (f"vendors.{place}.inbound.s3_prefix", vendor.vendor_id, vendor.inbound.s3_prefix)
        for place, vendor in enumerate(config.vendors)
        if vendor.inbound.s3_prefix is not None
    ]
    ordered = sorted(placed, key=lambda each: each[2])
    for (_, other, outer), (path, vendor_id, inner) in _nested(ordered):
        how = "is that" if inner == outer else "lies in that"
        yield ConfigFault(
            path,
            f'"{inner}" {how} of vendor "{other}": an upload of "{vendor_id}" is read as one of '
            f'"{other}", too',
        )
    owners = {prefix: vendor_id for _, vendor_id, prefix in placed}
    for place, vendor in enumerate(config.vendors):
        key = (vendor.sku_map.s3_key if vendor.sku_map else None) or ""
        folders = (key[: at + 1] for at, char in enumerate(key) if char == "/")
        owner = next((owners[folder] for folder in folders if folder in owners), None)
        if owner is not None:
            yield ConfigFault(
                f"vendors.{place}.sku_map.s3_key",
                f'lies in the prefix of vendor "{owner}": when it is the newest file there, it is '
                "read as the feed; keep maps elsewhere",
            )


_Placed = tuple[str, str, str]


def _nested(ordered: list[_Placed]) -> Iterator[tuple[_Placed, _Placed]]:
    """Yield each prefix that lies in another one with it; prefixes in order of code points."""
    open_prefixes: list[_Placed] = []
    for each in ordered:
        while open_prefixes and not each[2].startswith(open_prefixes[-1][2]):
            open_prefixes.pop()
        if open_prefixes:
            yield open_prefixes[-1], each
        open_prefixes.append(each)


def _of_vendor(place: int, vendor: VendorConfig) -> Iterator[ConfigFault]:
    path = f"vendors.{place}"
    if vendor.inbound.type == "local":
        yield ConfigFault(
            f"{path}.inbound.type",
            "local is for the local runner; runs that the API starts find no feed of this vendor",
        )
    if vendor.sku_map is not None and vendor.sku_map.type == "file":
        yield ConfigFault(
            f"{path}.sku_map.type",
            "file is for the local runner; runs that the API starts find no map",
        )
    yield from _of_column_map(f"{path}.parser", vendor)


def _of_column_map(path: str, vendor: VendorConfig) -> Iterator[ConfigFault]:
    columns: dict[str, list[str]] = defaultdict(list)
    for column, header in vendor.parser.column_map.items():
        columns[header].append(column)
    for header, sharing in columns.items():
        if len(sharing) > 1 and not set(sharing) <= _SHAREABLE:
            yield ConfigFault(
                f"{path}.column_map.{sharing[-1]}",
                f'"{header}" is read as {" and ".join(sharing)}; each should have its own header',
            )
    given = {*(vendor.parser.columns or ()), *columns, *vendor.parser.defaults}
    for column, header in vendor.parser.column_map.items() if vendor.parser.columns else ():
        if header not in (vendor.parser.columns or ()):
            yield ConfigFault(
                f"{path}.column_map.{column}", f'"{header}" is none of the names in columns'
            )
    priced = {"cost", "price"} & {*given, *vendor.parser.column_map}
    if vendor.parser.columns and not priced:
        yield ConfigFault(
            f"{path}.column_map",
            "gives neither cost nor price: no offer of this vendor can be priced",
        )
