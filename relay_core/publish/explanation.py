"""Why a SKU's row of a run's feed is what it is, from the files that the run has left.

The SKU's rows are read from work files that are sorted by SKU, a few parts of each. They are ranked
and priced by the steps of the merge (`Merge`) and of the pricing, which are not written a second
time here: its offers by rank, what each lost on, its price by steps. Then they become JSON.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from relay_core.columnar import sorted_file
from relay_core.columnar.csv_text import cents_text, instant_text, money_text
from relay_core.columnar.text import Bools, Ints, Rows, flags_of, integers_of
from relay_core.config import Override, TenantConfig, load_overrides, load_stored_config
from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import VendorStatus
from relay_core.domain.errors import ArtifactsExpiredError, SkuNotFoundError
from relay_core.merge.best_offer import Merge
from relay_core.merge.criteria import (
    DUPLICATE,
    LEFT_OUT,
    OVERRIDDEN,
    TIE_BREAKERS,
    Criterion,
    landed_costs,
)
from relay_core.merge.price_explanation import PriceStep, explain_price
from relay_core.merge.price_rules import NO_RULE, rules_of
from relay_core.merge.pricing import PriceInputs
from relay_core.merge.vendor_offers import (
    FED_QUANTITY,
    VENDOR_RANK,
    joins_duplicates,
    own_shipping,
    without_duplicates,
)
from relay_core.normalize.vendor import REJECTED_BY_SKU, WORK_FILE
from relay_core.publish.feed import fields_of, row_texts
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.quarantine import quarantined_schema
from relay_core.publish.state import SUSPECT_SINCE
from relay_core.publish.stored_rows import kept_schema
from relay_core.validation.comparison import SUSPECT_PRICE
from relay_core.validation.contracts import offer_schema

LANDED_COST = "landed_cost"
"""The column that says what an offer is compared by as its cost; null without a cost."""
MAX_OFFERS = 100  # so many offers of a SKU are shown
MAX_REJECTED = 100  # so many rejected rows of a SKU are shown
_MAX_BYTES = (1 << 20) - 1024
"""An explanation is no longer, as JSON; the rest is cut, and stands in the counts alone."""
_MAX_CELL_LENGTH = 1000
_BYTES_AT_ONCE = 8 << 20  # about how many bytes are read at once


class RunFiles(Protocol):
    """The files of a run, where they are to be had."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Return how many bytes each has, by key."""

    def read(
        self, parts: Sequence[tuple[str, sorted_file.ByteRange]]
    ) -> Sequence[bytes]:
        """Return parts of files, megabytes at most; `ArtifactsExpiredError`: a file is gone."""


@dataclass(frozen=True, slots=True, eq=False)
class WorkFile:
    """A work file, sorted by SKU, and the taker of its rows, which come some at a time."""

    key: str
    schema: pa.Schema
    take: Callable[[Iterable[pa.Table]], None]


def size_of(files: RunFiles, key: str) -> int:
    """Return how many bytes a file has; `ArtifactsExpiredError` where it is gone."""
    if key not in files.sizes:
        raise ArtifactsExpiredError(
            f"{key.rpartition('/')[2]} of the run is gone, and with it what explains its feed; "
            "start a new run"
        )
    return files.sizes[key]


def read_rows(files: RunFiles, sources: Sequence[WorkFile], sku: str) -> None:
    """Give each source's rows of a SKU to their taker, in order, some megabytes at a time."""
    for source, parts in groupby(_parts(files, sources, sku), key=itemgetter(0)):
        source.take(rows for _, rows in parts)


def _parts(
    files: RunFiles, sources: Sequence[WorkFile], sku: str
) -> Iterator[tuple[WorkFile, pa.Table]]:
    sizes = {source.key: size_of(files, source.key) for source in sources}
    tails = files.read(
        [(key, sorted_file.tail_range(size)) for key, size in sizes.items()]
    )
    parts: list[tuple[WorkFile, sorted_file.ByteRange]] = []
    for source, tail in zip(sources, tails, strict=True):
        begins = sizes[source.key] - len(tail)
        where = sorted_file.index_range(sizes[source.key], tail)
        index = tail[where.start - begins : where.stop - begins]
        if where.start < begins:
            (index,) = files.read([(source.key, where)])
        some = sorted_file.ranges_with(sku, json.loads(index), _BYTES_AT_ONCE)
        parts += [(source, part) for part in some]
    while parts:
        ends = accumulate(part.stop - part.start for _, part in parts)
        count = max(1, bisect_right(list(ends), _BYTES_AT_ONCE))
        at_once, parts = parts[:count], parts[count:]
        read = files.read([(source.key, part) for source, part in at_once])
        for (source, _), data in zip(at_once, read, strict=True):
            yield source, sorted_file.rows_with(sku, data, source.schema, "sku")


# --- the ranking ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExplainedOffers:
    """The offers of one SKU as they are shown."""

    # First those that competed, by rank; then the others, by vendor and row; each with its landed
    # cost
    offers: pa.Table
    competed: int  # how many of them competed; the first of these is the winner
    lost_on: Sequence[
        str | None
    ]  # of each the criterion that it lost on; None for the winner
    rules: Sequence[
        int | None
    ]  # of each offer the index of its price rule; None for none
    feed_row: pa.Table  # the winner's row of the feed; none where it comes to no price
    price_steps: Sequence[
        PriceStep
    ]  # the winner's; none where it has nothing to be made of


@dataclass(slots=True)
class OfferRanking:
    """Ranks the offers of one SKU, vendor after vendor, and keeps as many as are shown."""

    merge: Merge  # the tenant's steps
    count: int = 0  # how many offers there are
    _kept: pa.Table | None = None

    def add(
        self, vendor_id: str, status: VendorStatus, parts: Iterable[pa.Table]
    ) -> None:
        """Take a vendor's valid rows: vendors in the order of the config, rows in their own."""
        left_out = status is VendorStatus.LEFT_OUT
        is_last_good = status is VendorStatus.LAST_GOOD
        vendor = self.merge.config.vendor(vendor_id)
        offers_of = partial(self.merge.offers_of, vendor_id)
        schema = offer_schema(self.merge.config.extra_columns)
        standing = (
            schema.empty_table()
        )  # the row that stands for all so far, if one does
        for part in parts:
            self.count += len(part)
            rows = pa.concat_tables([standing, part]).combine_chunks()
            standing, set_aside = without_duplicates(vendor, rows)
            if set_aside.any():
                self._rank(
                    offers_of(rows.filter(pa.array(set_aside))), is_duplicate=True
                )
            if not joins_duplicates(vendor):
                self._rank(
                    offers_of(standing, is_last_good=is_last_good), left_out=left_out
                )
                standing = standing.slice(0, 0)
        self._rank(offers_of(standing, is_last_good=is_last_good), left_out=left_out)

    def explained(self) -> ExplainedOffers | None:
        """Return what came of the offers; None where there is none."""
        if self._kept is None or not len(self._kept):
            return None
        config = self.merge.config
        ranking = _Ranking.of(self._kept, self.merge.criteria)
        offers = self._kept.take(pa.array(ranking.order))
        offers = offers.append_column(LANDED_COST, landed_costs(config, offers))
        competing = self._kept.filter(pa.array(ranking.competes))
        feed_row = self.merge.feed_rows(competing)[0]
        winner = np.arange(min(1, len(competing)))
        pricing, lost_on = config.pricing, ranking.lost_on()
        inputs = PriceInputs.of(offers, winner, pricing, own_shipping(config, offers))
        steps = explain_price(inputs, pricing) if len(winner) else []
        rules = [
            None if rule == NO_RULE or lost == DUPLICATE else rule
            for rule, lost in zip(rules_of(offers).tolist(), lost_on, strict=True)
        ]
        return ExplainedOffers(offers, len(competing), lost_on, rules, feed_row, steps)

    def _rank(
        self, offers: pa.Table, *, is_duplicate: bool = False, left_out: bool = False
    ) -> None:
        """Put offers of a vendor among those that are kept, and keep the first by rank."""
        offers, left_out_by_rule = self.merge.ruled(offers)
        is_left_out = (left_out_by_rule | left_out) & (not is_duplicate)
        offers = offers.append_column(LEFT_OUT, pa.array(is_left_out))
        offers = offers.append_column(
            DUPLICATE, pa.repeat(pa.scalar(is_duplicate), len(offers))
        )
        known = (
            [offers]
            if self._kept is None
            else [self._kept.drop_columns(OVERRIDDEN), offers]
        )
        together = pa.concat_tables(known).combine_chunks()
        out = flags_of(together[LEFT_OUT]) | flags_of(together[DUPLICATE])
        overridden = pa.array(
            self.merge.overrides.outplaced(together, self.merge.config, out)
        )
        together = together.append_column(OVERRIDDEN, overridden)
        shown = _Ranking.of(together, self.merge.criteria).order[:MAX_OFFERS]
        # In the order in which they came, which is what decides last.
        self._kept = together.take(pa.array(np.sort(shown)))


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """Offers by rank."""

    order: Rows  # the offers' rows, the best first; those that do not compete follow the others
    competes: Bools  # of each offer, whether it does
    names: Sequence[str]  # of the criteria
    numbers: Ints  # of each criterion a row, as far as it was come to

    @classmethod
    def of(cls, offers: pa.Table, criteria: Sequence[Criterion]) -> "_Ranking":
        """Rank offers, which stand in the order of vendors and rows."""
        numbers = np.array([each.numbers(offers) for each in criteria], np.int64)
        excludes = np.array([each.excludes for each in criteria])
        is_tie_breaker = np.array([each.name in TIE_BREAKERS for each in criteria])
        competes = ~numbers[excludes].any(axis=0)
        # Where an offer does not compete, nothing is asked but what excludes it, and whose it is.
        numbers[np.ix_(~excludes & ~is_tie_breaker, ~competes)] = 0
        return cls(
            np.lexsort(numbers[::-1]),
            competes,
            [each.name for each in criteria],
            numbers,
        )

    def lost_on(self) -> list[str | None]:
        """Return by rank the first criterion in which each differs from the winner.

        What does not compete has lost on what excludes it, also where nothing competes.
        """
        ranked = self.numbers[:, self.order]
        best = (
            ranked[:, :1]
            if self.competes.any()
            else np.zeros((len(ranked), 1), np.int64)
        )
        differs = ranked != best
        names = np.array(self.names, np.object_)[differs.argmax(axis=0)]
        lost = differs.any(axis=0).tolist()
        return [
            name if has_lost else None
            for name, has_lost in zip(names, lost, strict=True)
        ]


# --- the explanation ------------------------------------------------------------------------------


@dataclass(slots=True)
class _RejectedRows:
    """The rejected rows of one SKU, as many as are shown."""

    count: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, parts: Iterable[pa.Table]) -> None:
        for rows in parts:
            self.count += len(rows)
            shown = rows.select(["vendor_id", "row_number", "error_codes"])
            self.rows += shown.slice(0, MAX_REJECTED - len(self.rows)).to_pylist()


def explain_sku(
    files: RunFiles, keys: ArtifactKeys, run_id: str, sku: str
) -> dict[str, Any]:
    """Return what the run made of a SKU, as JSON values.

    The SKU is as the feed has it, after the SKU map; white space around it does not count.
    `SkuNotFoundError`: no row of the run has it; `ArtifactsExpiredError`: files are gone.
    """
    sku = sku.strip()
    config, statuses, overrides = _described(files, keys)
    own = [one for one in overrides if one.sku == sku]
    ranking, refused = OfferRanking(Merge.of(config, own)), _RejectedRows()
    sources = list(_sources(files, keys, statuses, ranking))
    if keys.invalid_rows in files.sizes:
        sources.append(WorkFile(keys.rejected_rows, REJECTED_BY_SKU, refused.add))
    kept: list[pa.Table] = []
    if keys.kept_skus in files.sizes:
        sources.append(WorkFile(keys.kept_skus, kept_schema(config), kept.extend))
    quarantined: list[pa.Table] = []
    if keys.quarantined_skus in files.sizes:
        schema = quarantined_schema(config)
        sources.append(WorkFile(keys.quarantined_skus, schema, quarantined.extend))
    if (
        sku and sku == sku.encode(errors="ignore").decode()
    ):  # what is no Unicode stands in no feed
        read_rows(files, sources, sku)
    explained, kept = ranking.explained(), [rows for rows in kept if len(rows)]
    quarantined = [rows for rows in quarantined if len(rows)]
    if explained is None and not refused.count and not kept:
        raise SkuNotFoundError(
            f"no row of run {run_id} has the SKU {sku[:200]!r}, after the SKU maps; write it as "
            "the merged feed does"
        )
    return _fitting(
        {
            "run_id": run_id,
            "sku": sku,
            **_outcome(
                config, explained, kept, quarantined, own[0].as_dict() if own else None
            ),
            "offers_count": ranking.count,
            "offers": [] if explained is None else _offers(config, explained),
            "refused_count": refused.count,
            "refused": refused.rows,
        }
    )


def _described(
    files: RunFiles, keys: ArtifactKeys
) -> tuple[TenantConfig, Mapping[str, VendorStatus], Sequence[Override]]:
    """Return the run's config, what it has used of each vendor, and the overrides it has used."""
    wanted = [keys.config_snapshot, keys.input_manifest]
    wanted += [key for key in (keys.overrides,) if key in files.sizes]
    read = files.read(
        [(key, sorted_file.ByteRange(0, size_of(files, key))) for key in wanted]
    )
    config = load_stored_config(json.dumps(json.loads(read[0])["tenant_config"]))
    vendors = json.loads(read[1])["vendors"]
    said = json.loads(read[2], parse_float=str) if read[2:] else []
    statuses = {name: VendorStatus(entry["status"]) for name, entry in vendors.items()}
    return config, statuses, load_overrides(said, ())


def _sources(
    files: RunFiles,
    keys: ArtifactKeys,
    statuses: Mapping[str, VendorStatus],
    ranking: OfferRanking,
) -> Iterator[WorkFile]:
    """Yield the work files of vendors, in the order of the config."""
    config = ranking.merge.config
    for vendor_id in (vendor.vendor_id for vendor in config.vendors):
        status, key = statuses.get(vendor_id), keys.work(vendor_id, WORK_FILE)
        is_left_out = status is VendorStatus.LEFT_OUT
        if status and (status.is_used or (is_left_out and key in files.sizes)):
            take = partial(ranking.add, vendor_id, status)
            yield WorkFile(key, offer_schema(config.extra_columns), take)


# --- as JSON ------------------------------------------------------------------------------------


def _outcome(
    config: TenantConfig,
    explained: ExplainedOffers | None,
    kept: Sequence[pa.Table],
    quarantined: Sequence[pa.Table],
    override: Mapping[str, Any] | None,
) -> dict[str, Any]:
    names = ("winner", "feed_row", "reason", "override", "quarantine", "price_steps")
    shown: dict[str, Any] = dict.fromkeys(names)
    shown["override"] = override
    rows = [*kept, *quarantined]
    if explained is None:
        shown["reason"] = "refused"
    elif not explained.competed:
        shown["reason"] = "left_out"
    else:
        (best,) = (
            explained.offers.slice(0, 1).select([VENDOR_RANK, "row_number"]).to_pylist()
        )
        shown["winner"] = {
            "vendor_id": config.vendors[best[VENDOR_RANK]].vendor_id,
            "row_number": best["row_number"],
        }
        shown["price_steps"] = [
            step._asdict() for step in explained.price_steps
        ] or None
        shown["reason"] = None if len(explained.feed_row) else "unpriced"
        rows.append(explained.feed_row)
    if kept:
        shown["reason"] = "kept_at_0"
    if quarantined:
        shown["reason"] = "quarantined"
        row = quarantined[0]
        published, computed = (
            cents_text(integers_of(row[name])[0])[0].as_py()
            for name in ("price", SUSPECT_PRICE)
        )
        shown["quarantine"] = {
            "action": config.guards.quarantine and config.guards.quarantine.action,
            "price_published": published,
            "price_computed": computed,
            "suspect_since": instant_text(integers_of(row[SUSPECT_SINCE])[0])[
                0
            ].as_py(),
        }
    cells = (each for some in rows for each in row_texts(fields_of(config), some))
    return {**shown, "feed_row": next(cells, None)}


def _offers(config: TenantConfig, explained: ExplainedOffers) -> list[dict[str, Any]]:
    offers = explained.offers
    stock = offers["quantity_available"].to_pylist()
    columns = {
        "vendor_id": [
            config.vendors[rank].vendor_id for rank in offers[VENDOR_RANK].to_pylist()
        ],
        "vendor_sku": offers["vendor_sku"].to_pylist(),
        "row_number": offers["row_number"].to_pylist(),
        "quantity_available": offers[FED_QUANTITY].to_pylist(),
        "stock_quantity": [
            quantity if place < explained.competed else None
            for place, quantity in enumerate(stock)
        ],
        "cost": _money(offers["cost"]),
        "price": _money(offers["price"]),
        "landed_cost": _money(offers[LANDED_COST]),
        "lead_time_days": offers["lead_time_days"].to_pylist(),
        "updated_at": instant_text(integers_of(offers["updated_at"])[0]).to_pylist(),
        "rule": explained.rules,
        "lost_on": explained.lost_on,
    }
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def _money(amounts: pa.ChunkedArray) -> list[str | None]:
    values, nulls = integers_of(amounts)
    texts = money_text(values).to_pylist()
    return [
        None if null else text for text, null in zip(texts, nulls.tolist(), strict=True)
    ]


def _fitting(shown: dict[str, Any]) -> dict[str, Any]:
    """Return an explanation that is not too long: long cells are cut, then the last offers."""
    if _length(shown) <= _MAX_BYTES:
        return shown
    for offer in shown["offers"]:
        offer["vendor_sku"] = offer["vendor_sku"] and cut(
            offer["vendor_sku"], _MAX_CELL_LENGTH
        )
    if shown["feed_row"] is not None:
        shown["feed_row"] = {
            name: cell and cut(cell, _MAX_CELL_LENGTH)
            for name, cell in shown["feed_row"].items()
        }
    while shown["offers"] and _length(shown) > _MAX_BYTES:
        shown["offers"] = shown["offers"][: len(shown["offers"]) // 2]
    return shown


def _length(shown: Mapping[str, Any]) -> int:
    return len(json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode())
