"""The list of a tenant's overrides in effect, on the page that looks up SKUs."""

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from relay_core.config.overrides import EFFECTS
from relay_dagster.services import overrides
from relay_dagster.web import visits, words


class OverrideLine(NamedTuple):
    """The changes that a merchant made to a SKU, or the new price that one accepted."""

    sku: str
    effects: str
    until: str
    note: str = ""


class Overrides(NamedTuple):
    """A page of the overrides in effect; ``summary`` says how many it lists."""

    summary: str
    lines: list[OverrideLine]
    is_first: bool
    next_cursor: str | None


def overrides_of(visit: visits.Visit, zone: tzinfo, cursor: str) -> Overrides:
    """Return the overrides in effect whose SKUs follow a cursor, sorted by SKU.

    An empty cursor means the first page.
    """
    page = overrides.list_overrides(
        visit.tenant_id, visit, cursor=cursor or None
    )
    summary = words.counted(page.count, "SKU")
    if len(page.overrides) < page.count:
        summary = f"{words.number(len(page.overrides))} of {summary}"
    lines: list[OverrideLine] = []
    for override in page.overrides:
        lines.extend(_lines_of(override, zone))
    return Overrides(summary, lines, not cursor, page.next_cursor)


def _lines_of(
    override: Mapping[str, Any], zone: tzinfo
) -> Iterator[OverrideLine]:
    """Yield a line for the changes of a SKU, and one for an accepted price.

    The two are separate, because each ends at a time of its own.
    """
    sku = override["sku"]
    effects = [_effect(name, override) for name in EFFECTS if name in override]
    if effects:
        until = _until(override.get("expires_at"), zone)
        note = override.get("note", "")
        yield OverrideLine(sku, "; ".join(effects), until, note)
    if "accept_price" in override:
        until = _until(override.get("accept_until"), zone)
        yield OverrideLine(sku, _effect("accept_price", override), until)


def _effect(name: str, override: Mapping[str, Any]) -> str:
    """Return an effect in words: ``Left out of the feed``, or ``Price 9.90``."""
    label = words.OVERRIDES[name]
    value = override[name]
    if value is True:
        return label
    text = words.number(value) if isinstance(value, int) else value
    return f"{label} {text}"


def _until(moment: str | None, zone: tzinfo) -> str:
    if moment is None:
        return "No end date"
    return words.moment(datetime.fromisoformat(moment), zone)
