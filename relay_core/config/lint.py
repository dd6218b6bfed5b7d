"""Lint warnings: members of a config that are valid, and probably not meant.

Each warning says what will happen. Answers of the API call them ``doubts``, those of rows too;
faults are found where a config is loaded. No frames are loaded: the API's own process asks.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import ROUND_UP, Decimal

from relay_core.config import (
    ErrorPolicy,
    PriceRule,
    PricingConfig,
    RuleConditions,
    StockConfig,
    TenantConfig,
    VendorConfig,
)
from relay_core.domain.cell_rules import LARGEST_WHOLE, MONEY_LIMIT, cut
from relay_core.domain.errors import ConfigFault
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import Doubt

_TOLERANT_SHARE = Decimal("0.5")
_TOLERANT_ROWS = 100
_SHAREABLE = {"sku", "vendor_sku"}


def lint_warnings(
    config: TenantConfig, *, is_published: bool = True
) -> Iterator[ConfigFault]:
    """Yield the lint warnings of a config, each with its path; those of its own rules last.

    With ``is_published`` the tenant has a feed that a run is compared with.
    """
    yield from _of_prefixes(config)
    for place, vendor in enumerate(config.vendors):
        yield from _of_vendor(f"vendors.{place}", vendor)
    if not config.pricing.min_price:
        yield ConfigFault(
            "pricing.min_price",
            "0 is no floor: a cost that a vendor wrote wrong, such as 0.01, is published as it "
            "comes; set the lowest price that you would sell anything at",
        )
    for column, without in (
        ("sku", "nobody can tell which item a row is"),
        ("price", "the prices that are made are not published"),
    ):
        if column not in config.output.reads:
            yield ConfigFault("output.columns", f'has no "{column}": {without}')
    yield from _of_error_policy(config.error_policy)
    yield from _of_price_rules(
        config.pricing, [vendor.vendor_id for vendor in config.vendors]
    )
    yield from _of_stock("stock", config.stock)
    for place, vendor in enumerate(config.vendors):
        if vendor.stock is not None:
            yield from _of_stock(f"vendors.{place}.stock", vendor.stock)
    if config.output.missing_skus == "zero" and not is_published:
        yield ConfigFault(
            "output.missing_skus",
            "zero keeps SKUs of the published feed, and the tenant has none yet: the first run "
            "keeps nothing",
        )


def _plain(number: Decimal) -> str:
    """Return a number as people write it: ``2,000``, ``0.20``."""
    text = f"{number:,f}"
    whole, _, fraction = text.partition(".")
    return (
        f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
        if fraction.strip("0")
        else whole
    )


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
            f"max_invalid_row_pct ({_plain(share)}) says",
        )
    if share >= _TOLERANT_SHARE and rows >= _TOLERANT_ROWS:
        yield ConfigFault(
            "error_policy.max_invalid_row_pct",
            f"{_plain(share)} is {_plain(share * 100)} %: a feed of which so many rows are refused "
            "is still published, and what they offered is gone from it",
        )


def _of_prefixes(config: TenantConfig) -> Iterator[ConfigFault]:
    placed = [
        (
            f"vendors.{place}.inbound.s3_prefix",
            vendor.vendor_id,
            vendor.inbound.s3_prefix,
        )
        for place, vendor in enumerate(config.vendors)
        if vendor.inbound.s3_prefix is not None
    ]
    around: list[tuple[str, str]] = []  # the prefixes that the next one may lie in
    for path, vendor_id, inner in sorted(placed, key=lambda each: each[2]):
        while around and not inner.startswith(around[-1][1]):
            around.pop()
        if around:
            other, outer = around[-1]
            how = "is that" if inner == outer else "lies in that"
            yield ConfigFault(
                path,
                f'"{inner}" {how} of vendor "{other}": an upload of "{vendor_id}" is read as one '
                f'of "{other}", too',
            )
        around.append((vendor_id, inner))
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


def _of_vendor(path: str, vendor: VendorConfig) -> Iterator[ConfigFault]:
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
    columns: dict[str, list[str]] = defaultdict(list)
    for column, source in vendor.parser.column_map.items():
        if isinstance(source, str):
            columns[source].append(column)
    for header, sharing in columns.items():
        if len(sharing) > 1 and not set(sharing) <= _SHAREABLE:
            yield ConfigFault(
                f"{path}.parser.column_map.{sharing[-1]}",
                f'"{header}" is read as {" and ".join(sharing)}; each should have its own header',
            )
    given = {*(vendor.parser.columns or ()), *columns, *vendor.parser.defaults}
    for column, headers in (
        vendor.parser.mapped_headers.items() if vendor.parser.columns else ()
    ):
        for header in set(headers).difference(vendor.parser.columns or ()):
            yield ConfigFault(
                f"{path}.parser.column_map.{column}",
                f'"{header}" is none of the names in columns',
            )
    priced = {"cost", "price"} & {*given, *vendor.parser.column_map}
    if vendor.parser.columns and not priced:
        yield ConfigFault(
            f"{path}.parser.column_map",
            "gives neither cost nor price: no offer of this vendor can be priced",
        )


# --- the tenant's own rules ----------------------------------------------------------------------


def _of_price_rules(
    pricing: PricingConfig, vendor_ids: Sequence[str]
) -> Iterator[ConfigFault]:
    for index, rule in enumerate(pricing.rules):
        path = f"pricing.rules.{index}"
        earlier = next(
            (
                place
                for place, other in enumerate(pricing.rules[:index])
                if _covers(other.when, rule.when, vendor_ids)
            ),
            None,
        )
        if earlier is not None:
            yield ConfigFault(
                path,
                f"is never come to: pricing.rules.{earlier} stands before it, and has every offer "
                "that it is for; the first rule that an offer meets is its only one",
            )
        elif rule.when.cost_below == 0:
            yield ConfigFault(f"{path}.when.cost_below", "0 is met by no cost")
        else:
            yield from _under_cost(path, rule, pricing)


def _under_cost(
    path: str, rule: PriceRule, pricing: PricingConfig
) -> Iterator[ConfigFault]:
    """Yield the doubt of a fixed price below the cost that some of its offers may have."""
    if rule.fixed_price is None:
        return
    least = pricing.min_price if rule.min_price is None else rule.min_price
    price, most = max(rule.fixed_price, least), rule.when.cost_below
    if price < (MONEY_LIMIT if most is None else most):
        costs = "any cost" if most is None else f"costs up to {most:f}"
        yield ConfigFault(
            f"{path}.fixed_price",
            f"is for offers of {costs}, and sells what costs more than {price:f} under its cost; "
            "set when.cost_below, or a min_price",
        )


def _covers(
    outer: RuleConditions, inner: RuleConditions, vendor_ids: Sequence[str]
) -> bool:
    """Return whether every offer that meets the one meets the other, too."""
    return (
        _holds_all(
            outer.vendors, vendor_ids if inner.vendors is None else inner.vendors
        )
        and _holds_all(_folded(outer.brands), _folded(inner.brands))
        and _holds_all(outer.conditions, inner.conditions)
        and _holds_costs(outer, inner)
    )


def _holds_all(outer: Collection[str] | None, inner: Collection[str] | None) -> bool:
    return outer is None or (inner is not None and set(inner) <= set(outer))


def _folded(names: Sequence[str] | None) -> Collection[str] | None:
    return None if names is None else {name.casefold() for name in names}


def _holds_costs(outer: RuleConditions, inner: RuleConditions) -> bool:
    if outer.cost_from is None and outer.cost_below is None:
        return True
    if inner.cost_from is None and inner.cost_below is None:
        return False  # which also has what has no cost
    from_low = (outer.cost_from or 0) <= (inner.cost_from or 0)
    most = Decimal(MONEY_LIMIT)
    to_high = (inner.cost_below or most) <= (
        most if outer.cost_below is None else outer.cost_below
    )
    return from_low and to_high


def _of_stock(path: str, stock: StockConfig) -> Iterator[ConfigFault]:
    left = (LARGEST_WHOLE - stock.hold_back) * stock.pct // 100
    if left < max(stock.zero_below, 1) or stock.cap == 0:
        yield ConfigFault(path, "makes every quantity 0: nothing is in stock")
    elif stock.cap is not None and stock.cap < stock.zero_below:
        yield ConfigFault(
            f"{path}.cap",
            f"is under zero_below, which is {stock.zero_below}: a quantity is 0 or {stock.cap}, "
            "and nothing between them",
        )


MAX_SAMPLES = 5


def config_doubts(
    config: TenantConfig, *, is_published: bool = True, is_local: bool = False
) -> list[Doubt]:
    """Return the doubts of a config; those of its rules last.

    With ``is_local`` its feeds are files of this machine, which is nothing doubtful then.
    """
    doubts = list(margin_doubts(config))
    left_out = {doubt.path for doubt in doubts}
    for fault in lint_warnings(config, is_published=is_published):
        if fault.path not in left_out and not (
            is_local and fault.path.endswith(".inbound.type")
        ):
            doubts.append(of_config(fault))
    return doubts


def margin_doubts(config: TenantConfig) -> Iterator[Doubt]:
    """Yield the doubt of each margin over 100 %."""
    margins = [("pricing.base_margin_pct", config.pricing.base_margin_pct)]
    margins += [
        (f"pricing.rules.{place}.margin_pct", rule.margin_pct)
        for place, rule in enumerate(config.pricing.rules)
        if rule.margin_pct is not None
    ]
    for path, margin in margins:
        if margin > 1:
            share = f"{_plain(margin / 100)} is {_plain(margin)} %"
            means = f"{_plain(margin)} means {_plain(margin * 100)} %; {share}"
            yield Doubt("margin_over_one", path, None, None, None, means)


def of_config(fault: ConfigFault) -> Doubt:
    """Return a lint warning as a doubt."""
    return Doubt("config", fault.path, None, None, None, fault.message)


def policy_doubts(
    config: TenantConfig, refused: int, total: int, samples: Iterable[str]
) -> Iterator[Doubt]:
    """Yield the doubt that limits of 0 fail a run for rows that are rejected, if it is one."""
    policy = config.error_policy
    if not refused or (policy.max_invalid_rows and policy.max_invalid_row_pct):
        return
    share = (Decimal(refused) / total).quantize(Decimal("0.0001"), ROUND_UP)
    yield Doubt(
        "error_policy_zero",
        "error_policy",
        None,
        refused,
        first_samples(samples),
        f"{refused:,} of {total:,} rows are refused, and with a limit of 0 one is enough to fail a "
        f"run; have them put right, or set max_invalid_rows to {refused} or more and "
        f"max_invalid_row_pct to {share.normalize():f} or more",
    )


def first_samples(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the first texts that differ, each cut where it is long."""
    found: dict[str, None] = {}
    for text in texts:
        found[cut(text, MAX_QUOTED)] = None
        if len(found) == MAX_SAMPLES:
            break
    return tuple(found)
