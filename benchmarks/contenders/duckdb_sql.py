"""DuckDB: SQL with exact decimals, one typed table a vendor, a packed key for the merge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.rules import (
    HEADERS,
    MARGIN,
    MIN_PRICE,
    MOMENT,
    MONEY,
    NEGATIVE,
    REQUESTED_AT,
    SHIPPING,
    WHOLE,
    Reject,
    merged_path,
    normalized_path,
    vendor_ids,
    write_reports,
)

_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_BAD = """own = '' or quantity_available is null
    or (lead_time_days is null and trim(LEAD) <> '') or (cost4 is null and trim(COST) <> '')
    or (map4 is null and trim(MAP) <> '') or (msrp4 is null and trim(MSRP) <> '')
    or (moment is null and trim(UPDATED) <> '')"""
_FAULTS = f"""list_filter([
    case when trim(raw.SKU) = '' then 'sku:missing_sku' end,
    case when quantity_available is not null then null
         when trim(raw.QTY) = '' then 'quantity_available:missing_quantity'
         when regexp_matches(trim(raw.QTY), '{NEGATIVE}')
         then 'quantity_available:negative_quantity'
         else 'quantity_available:invalid_quantity' end,
    case when lead_time_days is null and trim(raw.LEAD) <> ''
         then 'lead_time_days:invalid_lead_time' end,
    case when cost4 is null and trim(raw.COST) <> '' then 'cost:invalid_decimal' end,
    case when map4 is null and trim(raw.MAP) <> '' then 'map_price:invalid_decimal' end,
    case when msrp4 is null and trim(raw.MSRP) <> '' then 'msrp:invalid_decimal' end,
    case when moment is null and trim(raw.UPDATED) <> '' then 'updated_at:invalid_timestamp' end
], lambda fault: fault is not null)"""


def run(folder: Path, out: Path) -> None:
    """Read, judge, write, merge, price and write."""
    rejects: list[Reject] = []
    vendors = vendor_ids(folder)
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'")
        for vendor_id in vendors:
            _read(db, folder, vendor_id)
            rejects += _rejects(db, vendor_id)
            _write_normalized(db, vendor_id, out)
        _write_merged(db, vendors, out)
    write_reports(out, rejects)


def _read(db: duckdb.DuckDBPyConnection, folder: Path, vendor_id: str) -> None:
    columns = ", ".join(f"'{header}': 'VARCHAR'" for header in HEADERS)
    raw = ", ".join(f"'{header}': {header}" for header in HEADERS)
    sku_map = f"read_csv('{folder / f'{vendor_id}.map.csv'}', header = true, all_varchar = true)"
    db.execute(
        f"""create temp table {vendor_id} as
        with feed as (
            select row_number() over () + 1 as n, * from read_csv(
                '{folder / f"{vendor_id}.csv"}', header = true, columns = {{{columns}}},
                auto_detect = false, delim = ',', quote = '"', escape = '"', nullstr = '\x01')),
        typed as (
            select *, trim(SKU) own, {_whole("QTY")} quantity_available,
                {_whole("LEAD")} lead_time_days, {_money("COST")} cost4,
                {_money("MAP")} map4, {_money("MSRP")} msrp4,
                case when regexp_full_match(trim(UPDATED), '{MOMENT}')
                     then try_cast(trim(UPDATED) as timestamp) end moment
            from feed),
        judged as (select *, case when {_BAD} then {{{raw}}} end raw from typed),
        map as (
            select vendor_sku, last(sku) ours from {sku_map} group by vendor_sku)
        select n, coalesce(ours, own) sku, case when ours is not null then own end vendor_sku,
            quantity_available, lead_time_days, cost4, map4, msrp4, moment,
            nullif(trim(BRAND), '') brand, nullif(trim(TITLE), '') title, raw
        from judged left join map on own = map.vendor_sku"""  # noqa: S608
    )


def _money(column: str) -> str:
    text = f"trim({column})"
    return f"case when regexp_full_match({text}, '{MONEY}') then {text}::decimal(13, 4) end"


def _whole(column: str) -> str:
    text = f"trim({column})"
    return f"case when regexp_full_match({text}, '{WHOLE}') then {text}::bigint end"


def _rejects(db: duckdb.DuckDBPyConnection, vendor_id: str) -> Iterator[Reject]:
    bad = db.execute(
        f"select n, {_FAULTS}, raw from {vendor_id} where raw is not null order by n"  # noqa: S608
    )
    for row, faults, raw in bad.fetchall():
        yield Reject(vendor_id, row, faults, list(raw.values()))


def _write_normalized(
    db: duckdb.DuckDBPyConnection, vendor_id: str, out: Path
) -> None:
    db.execute(
        f"""copy (
            select sku, vendor_sku, '{vendor_id}' vendor_id, quantity_available, lead_time_days,
                {_four_places("cost4")} "cost", {_four_places("map4")} map_price, null price,
                {_four_places("msrp4")} msrp, null condition, brand, title,
                coalesce(strftime(moment, '{_STAMP}'), '{REQUESTED_AT}') updated_at
            from {vendor_id} where raw is null order by sku, n
        ) to '{normalized_path(out, vendor_id)}' (header, delimiter ',')"""  # noqa: S608
    )


def _four_places(column: str) -> str:
    text = f"{column}::varchar"
    return (
        f"case when suffix({text}, '00') then left({text}, -2) "
        f"when suffix({text}, '0') then left({text}, -1) else {text} end"
    )


def _write_merged(
    db: duckdb.DuckDBPyConnection, vendors: list[str], out: Path
) -> None:
    offers = " union all ".join(
        f"select sku, quantity_available, cost4, map4, moment, n, {place} vendor "  # noqa: S608
        f"from {vendor_id} where raw is null"
        for place, vendor_id in enumerate(vendors)
    )
    names = ", ".join(f"'{vendor_id}'" for vendor_id in vendors)
    # no cost, out of stock, cost, vendor, row: one whole number an offer, the least is the best
    key = """(((cost4 is null)::hugeint * 2 + (quantity_available = 0)::int) * 10000000000000
        + coalesce((cost4 * 10000)::bigint, 0)) * 100000000000 + vendor * 10000000000 + n"""
    db.execute(
        f"""copy (
            with offers as ({offers}),
            best as (
                select sku, arg_min({{'quantity_available': quantity_available, 'cost4': cost4,
                    'map4': map4, 'moment': moment, 'vendor': vendor}}, {key}) o
                from offers group by sku)
            select sku, o.quantity_available, greatest(
                    round((o.cost4 + {SHIPPING}) * {MARGIN}, 2), {MIN_PRICE},
                    ceil(o.map4 * 100)::bigint / 100)::decimal(13, 2) price,
                [{names}][o.vendor + 1] vendor_id,
                coalesce(strftime(o.moment, '{_STAMP}'), '{REQUESTED_AT}') updated_at
            from best where o.cost4 is not null order by sku
        ) to '{merged_path(out)}' (header, delimiter ',')"""  # noqa: S608
    )
