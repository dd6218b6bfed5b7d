"""Why a SKU's row of a run's feed is what it is, from the files that the run has left.

The work files are sorted by SKU: of each a few small parts are read, whatever the run's size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from relay_core.columnar.csv_text import instant_text, money_text
from relay_core.columnar.sorted_file import (
    Index,
    Part,
    index_part,
    parts_with,
    rows_with,
    tail_part,
)
from relay_core.columnar.text import integers_of, one_chunk
from relay_core.config import TenantConfig, load_stored_config
from relay_core.domain.errors import ArtifactsExpiredError, SkuNotFoundError
from relay_core.merge.criteria import VENDOR_RANK
from relay_core.merge.explain import LANDED_COST, Contest, ExplainedOffers
from relay_core.normalize.work_file import REFUSED_SCHEMA, WORK_FILE
from relay_core.publish.feed_csv import feed_cells
from relay_core.publish.keys import ArtifactKeys
from relay_core.validation.contracts import OFFER_SCHEMA
from relay_core.validation.trouble import VendorStatus

MOST_REFUSED = 100
"""So many refused rows of a SKU are told."""
_BYTES_AT_ONCE = 4 << 20
_MOST_BYTES = (1 << 20) - 1024
"""An explanation is no longer, as JSON; what does not fit is cut, and told in the counts."""
_LONGEST_CELL = 1000
_USED = (VendorStatus.FOUND, VendorStatus.LAST_GOOD)


class RunFiles(Protocol):
    """The files of a run, where they are to be had."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Return how many bytes each has, by key."""

    def read(self, parts: Sequence[tuple[str, Part]]) -> Sequence[bytes]:
        """Return parts of files; they are not more than some megabytes.

        Raises:
            ArtifactsExpiredError: one of the files is gone.
        """


@dataclass(slots=True)
class _RefusedRows:
    """The refused rows of one SKU, as many as are told."""

    count: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, rows: pa.Table) -> None:
        self.count += len(rows)
        told = rows.select(["vendor_id", "row_number", "error_codes"])
        self.rows += told.slice(0, MOST_REFUSED - len(self.rows)).to_pylist()


@dataclass(frozen=True, slots=True)
class _Source:
    """A work file, and who takes its rows."""

    key: str
    schema: pa.Schema
    take: Callable[[pa.Table], None]


def explain_sku(files: RunFiles, keys: ArtifactKeys, run_id: str, sku: str) -> dict[str, Any]:
    """Return what the run made of a SKU, as JSON values.

    Args:
        files: those of a run that has merged.
        keys: where they lie.
        run_id: the run.
        sku: as the feed has it, after the SKU map; white space around it does not count.

    Raises:
        SkuNotFoundError: no row of the run has the SKU.
        ArtifactsExpiredError: files of the run are gone.
    """
    sku = sku.strip()
    config, statuses = _described(files, keys)
    contest, refused = Contest(config), _RefusedRows()
    sources = list(_sources(files, keys, config, statuses, contest))
    if keys.invalid_rows in files.sizes:
        sources.append(_Source(keys.refused_rows, REFUSED_SCHEMA, refused.add))
    if _is_text(sku):
        _read(files, sources, sku)
    explained = contest.explained()
    if explained is None and not refused.count:
        raise SkuNotFoundError(
            f"no row of run {run_id} has the SKU {sku[:200]!r}, after the SKU maps; write it as "
            "the merged feed does"
        )
    return _fitting(
        {
            "run_id": run_id,
            "sku": sku,
            **_outcome(config, explained),
            "offers_count": contest.count,
            "offers": [] if explained is None else _offers(config, explained),
            "refused_count": refused.count,
            "refused": refused.rows,
        }
    )


def _described(
    files: RunFiles, keys: ArtifactKeys
) -> tuple[TenantConfig, Mapping[str, VendorStatus]]:
    """Return the run's config, and what it has used of each vendor."""
    wanted = (keys.config_snapshot, keys.input_manifest)
    snapshot, manifest = files.read([(key, Part(0, _size(files, key))) for key in wanted])
    config = load_stored_config(json.dumps(json.loads(snapshot)["tenant_config"]))
    vendors = json.loads(manifest)["vendors"]
    return config, {name: VendorStatus(entry["status"]) for name, entry in vendors.items()}


def _sources(
    files: RunFiles,
    keys: ArtifactKeys,
    config: TenantConfig,
    statuses: Mapping[str, VendorStatus],
    contest: Contest,
) -> Iterator[_Source]:
    """Yield the work files of vendors, in the order of the config."""
    for vendor_id in (vendor.vendor_id for vendor in config.vendors):
        status, key = statuses.get(vendor_id), keys.work(vendor_id, WORK_FILE)
        if status in _USED or (status is VendorStatus.LEFT_OUT and key in files.sizes):
            take = partial(
                contest.add,
                vendor_id,
                is_last_good=status is VendorStatus.LAST_GOOD,
                left_out=status is VendorStatus.LEFT_OUT,
            )
            yield _Source(key, OFFER_SCHEMA, take)


def _read(files: RunFiles, sources: Sequence[_Source], sku: str) -> None:
    """Give each source's rows of a SKU to who takes them, in order, some megabytes at a time."""
    indexes = _indexes(files, [source.key for source in sources])
    parts = [
        (source, part)
        for source, index in zip(sources, indexes, strict=True)
        for part in parts_with(sku, index)
    ]
    for some in _rounds(parts):
        batches = files.read([(source.key, part) for source, part in some])
        for (source, _), batch in zip(some, batches, strict=True):
            source.take(rows_with(sku, batch, source.schema, "sku"))


def _indexes(files: RunFiles, keys: Sequence[str]) -> list[Index]:
    sizes = [_size(files, key) for key in keys]
    tails = files.read([(key, tail_part(size)) for key, size in zip(keys, sizes, strict=True)])
    indexes = []
    for key, size, tail in zip(keys, sizes, tails, strict=True):
        part, begins = index_part(size, tail), size - len(tail)
        if part.start >= begins:
            data = tail[part.start - begins : part.stop - begins]
        else:
            (data,) = files.read([(key, part)])
        indexes.append(json.loads(data))
    return indexes


def _rounds(parts: Sequence[tuple[_Source, Part]]) -> Iterator[list[tuple[_Source, Part]]]:
    """Yield as many parts as are read at once."""
    some: list[tuple[_Source, Part]] = []
    size = 0
    for source, part in parts:
        if some and size + part.stop - part.start > _BYTES_AT_ONCE:
            yield some
            some, size = [], 0
        some.append((source, part))
        size += part.stop - part.start
    if some:
        yield some


def _size(files: RunFiles, key: str) -> int:
    if key not in files.sizes:
        raise ArtifactsExpiredError(
            f"{key.rpartition('/')[2]} of the run is gone, and with it what explains its feed; "
            "start a new run"
        )
    return files.sizes[key]


def _is_text(sku: str) -> bool:
    """Return whether a feed can hold a text: what is no Unicode stands in none."""
    try:
        return bool(sku.encode())
    except UnicodeEncodeError:
        return False


# --- as JSON ------------------------------------------------------------------------------------


def _outcome(config: TenantConfig, explained: ExplainedOffers | None) -> dict[str, Any]:
    told: dict[str, Any] = {"winner": None, "feed_row": None, "reason": None, "price_steps": None}
    if explained is None:
        return {**told, "reason": "refused"}
    if not explained.competed:
        return {**told, "reason": "left_out"}
    (best,) = explained.offers.slice(0, 1).select([VENDOR_RANK, "row_number"]).to_pylist()
    told["winner"] = {
        "vendor_id": config.vendors[best[VENDOR_RANK]].vendor_id,
        "row_number": best["row_number"],
    }
    told["feed_row"] = next(iter(feed_cells(config.output.columns, explained.feed_row)), None)
    told["reason"] = None if told["feed_row"] is not None else "unpriced"
    told["price_steps"] = [step._asdict() for step in explained.price_steps] or None
    return told


def _offers(config: TenantConfig, explained: ExplainedOffers) -> list[dict[str, Any]]:
    offers, size = explained.offers, len(explained.offers)
    quantities = offers["quantity_available"].to_pylist()
    columns = {
        "vendor_id": [config.vendors[rank].vendor_id for rank in offers[VENDOR_RANK].to_pylist()],
        "vendor_sku": offers["vendor_sku"].to_pylist(),
        "row_number": offers["row_number"].to_pylist(),
        "quantity_available": quantities,
        "stock_quantity": [
            quantity if place < explained.competed else None
            for place, quantity in enumerate(quantities)
        ],
        "cost": _money(offers["cost"]),
        "price": _money(offers["price"]),
        "landed_cost": _money(offers[LANDED_COST]),
        "lead_time_days": offers["lead_time_days"].to_pylist(),
        "updated_at": instant_text(integers_of(one_chunk(offers["updated_at"]))[0]).to_pylist(),
        "rule": [None] * size,
        "lost_on": explained.lost_on,
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _money(amounts: pa.ChunkedArray) -> list[str | None]:
    values, nulls = integers_of(one_chunk(amounts))
    texts = money_text(values).to_pylist()
    return [None if null else text for text, null in zip(texts, nulls.tolist(), strict=True)]


def _fitting(told: dict[str, Any]) -> dict[str, Any]:
    """Return an explanation that is not too long: long cells are cut, then the last offers."""
    if _length(told) <= _MOST_BYTES:
        return told
    for offer in told["offers"]:
        offer["vendor_sku"] = _cut(offer["vendor_sku"])
    if told["feed_row"] is not None:
        told["feed_row"] = {name: _cut(cell) for name, cell in told["feed_row"].items()}
    while told["offers"] and _length(told) > _MOST_BYTES:
        told["offers"] = told["offers"][: len(told["offers"]) // 2]
    return told


def _length(told: Mapping[str, Any]) -> int:
    return len(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode())


def _cut(cell: str | None) -> str | None:
    return cell if cell is None or len(cell) <= _LONGEST_CELL else f"{cell[:_LONGEST_CELL]}…"
