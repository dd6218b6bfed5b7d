"""Doubts of rows that are valid and probably not meant, and config patches for rejected cells.

Both are the same in `config:check`, local checks and runs.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import tzinfo
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import Bools, flags_of, integers_of, one_chunk
from relay_core.config import ParserConfig, TenantConfig
from relay_core.config.json_patch import parser_steps
from relay_core.config.lint import MAX_SAMPLES, first_samples
from relay_core.domain.cell_rules import read_cell
from relay_core.domain.columns import NUMBER_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.domain.records import Cause, Doubt
from relay_core.merge.price_rules import PriceRules, rules_of
from relay_core.merge.pricing import has_amount
from relay_core.merge.vendor_offers import offers_of
from relay_core.normalize.result import NormalizedVendor
from relay_core.onboarding.cell_guess import guess_numbers
from relay_core.onboarding.dry_run import changed_parser
from relay_core.validation.contracts import table_of

_MAX_SAME_ROWS, _MAX_SAME_SHARE = 100, 100
"""More rows of a vendor share an SKU than so many, or than one in so many."""
_TOTALS = frozenset(
    ("total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt", "totale")
)
_EXPONENT = r"^[0-9](\.[0-9]+)?[eE]\+?[0-9]+$"
_OF_OFFERS = {
    "zero_cost": (
        "zero_is_null",
        "an amount of 0 is taken as what the item costs, so it is sold for shipping and margin "
        "alone; where 0 means that it is not known, name the column in parser.zero_is_null",
    ),
    "sku_exponent": (
        "column_map",
        "SKUs look like numbers that a spreadsheet has rounded, so that several products are one; "
        "ask for a file whose SKUs are text",
    ),
}
"""The option of the parser, and the sentence, of each doubt of single offers."""


def ruled_offers(config: TenantConfig, vendor: NormalizedVendor) -> pa.Table:
    """Return a vendor's rows as offers, duplicates and all, with their price rules."""
    rows = table_of(vendor.offers)
    return PriceRules.of(config).applied(offers_of(config, vendor.vendor_id, rows))


def row_doubts(
    config: TenantConfig, vendor: NormalizedVendor, offers: pa.Table
) -> Iterator[Doubt]:
    """Yield the doubts, by code, of a vendor and its `ruled_offers`."""
    place = config.place_of(vendor.vendor_id)
    if len(offers):
        exponents = flags_of(
            one_chunk(pc.match_substring_regex(offers["sku"], _EXPONENT))
        )
        flags = {"zero_cost": _no_cost(config, offers), "sku_exponent": exponents}
        for code, which in flags.items():
            option, message = _OF_OFFERS[code]
            if which.any():
                path = f"vendors.{place}.parser.{option}"
                skus = one_chunk(offers["sku"]).take(
                    pa.array(np.flatnonzero(which)[:1000])
                )
                samples = first_samples(skus.to_pylist())
                yield Doubt(
                    code, path, vendor.vendor_id, int(which.sum()), samples, message
                )
        if config.vendors[place].duplicate_skus == "compete":
            yield from _same_sku(vendor, place, offers)
    last = vendor.last_sku
    if last is not None and is_totals(last):
        yield Doubt(
            "totals_line",
            f"vendors.{place}.parser.skip_rows",
            vendor.vendor_id,
            1,
            first_samples([last]),
            "the last record looks like a line of totals, and is read as a product; skip it with "
            "parser.skip_rows",
        )


def is_totals(text: str) -> bool:
    """Return whether a text is the name of a line of totals."""
    return text.casefold().removesuffix(":").strip() in _TOTALS


def has_amounts(config: TenantConfig, offers: pa.Table) -> bool:
    """Return whether a price can be made of any `ruled_offers`; it is so where there is none."""
    return not len(offers) or bool(has_amount(offers, config.pricing).any())


def _no_cost(config: TenantConfig, offers: pa.Table) -> Bools:
    """Return which offers have an amount of 0 that a price is made of."""
    fixed = np.array(
        [rule.fixed_price is not None for rule in config.pricing.rules] + [False]
    )
    amounts = {name: integers_of(offers[name]) for name in ("cost", "price")}
    (cost, no_cost), (price, no_price) = amounts["cost"], amounts["price"]
    is_zero: Bools = np.where(no_cost, (price == 0) & ~no_price, cost == 0)
    is_zero &= ~(PriceRules.of(config).leaves_out(offers) | fixed[rules_of(offers)])
    return is_zero


def _same_sku(
    vendor: NormalizedVendor, place: int, offers: pa.Table
) -> Iterator[Doubt]:
    """Yield the doubt that many rows share an SKU, and are no copies of each other."""
    skus = one_chunk(offers["sku"])
    same = flags_of(pc.equal(skus[1:], skus[:-1]))
    if not same.any():
        return
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    differs = np.zeros(len(offers), np.bool_)
    for name in ("cost", "price", "quantity_available"):
        values, nulls = integers_of(offers[name])
        differs[1:] |= (nulls[1:] != nulls[:-1]) | (
            ~nulls[1:] & (values[1:] != values[:-1])
        )
    differs[1:] &= same
    sizes = np.diff(starts, append=len(offers))
    is_doubtful = np.logical_or.reduceat(differs, starts)
    count, total = int(sizes[is_doubtful].sum()), vendor.total_rows
    if count > _MAX_SAME_ROWS or count * _MAX_SAME_SHARE > total:
        lost = count - int(is_doubtful.sum())
        samples = skus.take(pa.array(starts[is_doubtful][:MAX_SAMPLES])).to_pylist()
        yield Doubt(
            "same_sku",
            f"vendors.{place}.parser.column_map.sku",
            vendor.vendor_id,
            count,
            first_samples(samples),
            f"{count:,} of {total:,} rows share an SKU with another row and differ from it in "
            f"cost, price or quantity: {lost:,} of them are not in the feed; map the column that "
            "tells products apart to sku, or say with duplicate_skus which row counts",
        )


# --- patches ------------------------------------------------------------------------------------


def with_patches(config: TenantConfig, vendor: NormalizedVendor) -> NormalizedVendor:
    """Return a vendor whose causes of refusal have a patch, where one is known to mend them.

    It is guessed from the samples and from numbers that hold: no other style reads more of them.
    """
    cells: Mapping[str, list[str]] = defaultdict(list)
    for cause in vendor.causes:
        if cause.column in NUMBER_COLUMNS:
            cells[cause.column] += filter(
                None, (each.value.strip() for each in cause.samples)
            )
    if not cells:
        return vendor
    for name, samples in vendor.valid_samples.items():
        cells[name] += samples
    place = config.place_of(vendor.vendor_id)
    parser = config.vendors[place].parser
    changes = guess_numbers(cells, parser).changes
    # Added members stand in for those that are there: it does for a config with and without.
    bare: dict[str, Any] = {"vendors": [{"parser": {}}] * (place + 1)}
    causes: list[Cause] = []
    for cause in vendor.causes:
        needed = (
            dict(changes)
            if changes and _reads(cause, parser, changes, config.zone)
            else {}
        )
        for name in [*needed]:
            fewer = {each: value for each, value in needed.items() if each != name}
            needed = fewer if _reads(cause, parser, fewer, config.zone) else needed
        if needed:
            settings = (
                f"parser.{k} to {json.dumps(needed[k], ensure_ascii=False)}"
                for k in needed
            )
            steps = tuple(asdict(step) for step in parser_steps(bare, place, needed))
            cause = replace(
                cause, what_to_do=f"set {' and '.join(settings)}", patch=steps
            )
        causes.append(cause)
    return replace(vendor, causes=tuple(causes))


def _reads(
    cause: Cause, parser: ParserConfig, changes: Mapping[str, Any], zone: tzinfo
) -> bool:
    """Return whether all samples of a cause are read with some changes of the parser."""
    changed = changed_parser(parser, changes)
    if changed is None or cause.column not in NUMBER_COLUMNS:
        return False
    try:
        for sample in cause.samples:
            read_cell(cause.column, sample.value, changed, zone)
    except CellError:
        return False
    return True
