"""How people read values: numbers, percentages, times, and cells of tables.

Every renderer of a report formats its values here, and the pages of the API do, too. The
module needs only plain values, so a process can load it without the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from relay_core.domain.run_faults import counted
from relay_core.report.blocks import (
    Bar,
    Bars,
    Cell,
    Figure,
    Heading,
    Kind,
    Value,
)

NOTHING = "\N{EN DASH}"
"""What a cell without a value shows."""
NUMERIC_KINDS = ("count", "money", "share", "change")
"""The kinds whose values are compared, so columns of them line up at the right."""


# --- numbers, shares, times, and sentences ---------------------------------------------


def number(count: int) -> str:
    """Return a count: ``12,345``."""
    return f"{count:,}"


def percent(share: str) -> str:
    """Return a share, written as a decimal, as a percentage: ``50%``, ``0.25%``."""
    percentage = (Decimal(share) * 100).normalize()
    return f"{percentage:,f}%"


def signed_percent(share: str) -> str:
    """Return a signed share as a percentage with one place: ``+12.5%``."""
    percentage = (Decimal(share) * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{percentage:+,f}%".replace("-", "\N{MINUS SIGN}")


def part(count: int, total: int) -> str:
    """Return a part of a total as a percentage with one place, rounded half up.

    Only a count of 0 becomes ``0%``; a smaller part than 0.1% becomes ``<0.1%``.
    """
    if not total:
        return "0%"
    tenths = (2 * 1000 * count + total) // (2 * total)
    if count and not tenths:
        return "<0.1%"
    whole, tenth = divmod(tenths, 10)
    return f"{whole}.{tenth}%" if tenth else f"{whole}%"


def amount(text: str) -> str:
    """Return an amount or a quantity with thousands separators: ``9,491.99``."""
    return f"{Decimal(text):,}"


def age(since: timedelta) -> str:
    """Return an age in whole hours or days."""
    hours = max(0, since // timedelta(hours=1))
    if not hours:
        return "less than 1 hour"
    return counted(hours, "hour") if hours < 48 else counted(hours // 24, "day")


def moment(instant: datetime, zone: tzinfo = UTC) -> str:
    """Return an aware time with its zone: ``Mar 1, 2026, 1:00 PM (Europe/Berlin)``."""
    return f"{local_time(instant, zone)} ({zone})"


def local_time(instant: datetime, zone: tzinfo) -> str:
    """Return an aware time in a zone, to the minute: ``Mar 1, 2026, 1:00 PM``."""
    local = instant.astimezone(zone)
    return f"{day(local)}, {clock(local)}"


def day(moment: datetime) -> str:
    """Return the date of a moment: ``Mar 1, 2026``."""
    return f"{moment:%b} {moment.day}, {moment.year}"


def clock(moment: datetime) -> str:
    """Return the time of day of a moment: ``1:00 PM``."""
    hour = moment.hour % 12 or 12
    half = "AM" if moment.hour < 12 else "PM"
    return f"{hour}:{moment:%M} {half}"


def instant(moment: datetime) -> str:
    """Return an aware time as ``YYYY-MM-DDTHH:MM:SS[.ffffff]Z`` in UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def listed_counts(counts: Mapping[str, int]) -> str:
    """Return counts by name behind a colon: ``: a 1, b 2``; empty without counts."""
    if not counts:
        return ""
    texts = [f"{name} {count:,}" for name, count in sorted(counts.items())]
    return f": {', '.join(texts)}"


def sentence(text: str) -> str:
    """Return a text of the engine as a sentence; an empty text stays empty."""
    if not text:
        return ""
    capitalized = f"{text[0].upper()}{text[1:]}"
    return (
        capitalized
        if capitalized.endswith((".", "!", "?"))
        else f"{capitalized}."
    )


# --- blocks ---------------------------------------------------------------------------


def share_of(count: int, total: int) -> str:
    """Return a part of a total as the exact text of a share."""
    return f"{count}/{total}" if total else "0"


def share(text: str) -> str:
    """Return a share as a percentage: a decimal exactly, a fraction with one place."""
    count, slash, total = text.partition("/")
    return part(int(count), int(total)) if slash else percent(text)


def value(content: Value, kind: Kind, zone: tzinfo = UTC) -> str:
    """Return a value of a kind. A value that is not of its kind is shown unchanged."""
    if content is None:
        return ""
    text = str(content)
    try:
        match kind:
            case "count":
                return number(int(text))
            case "money":
                return amount(text)
            case "time":
                at = datetime.fromisoformat(text)
                return moment(at, zone) if at.tzinfo else text
            case "share":
                return share(text)
            case "change":
                return signed_percent(text)
            case "hours":
                return age(timedelta(hours=int(text)))
            case _:
                return text
    except (ValueError, InvalidOperation):
        return text


def cell(content: Cell, kind: Kind, zone: tzinfo = UTC) -> str:
    """Return a cell without its note: ``1 (25%)``, ``17 of 20``; a dash if it is empty."""
    text = value(content.value, kind, zone)
    if content.of is not None:
        text = f"{text} of {number(content.of)}"
    if content.share:
        text = f"{text} ({share(content.share)})"
    return text or NOTHING


def figure(content: Figure, zone: tzinfo = UTC) -> str:
    """Return the value of a figure without its share."""
    return value(content.value, content.kind, zone) or NOTHING


def bar_label(bar: Bar, bars: Bars, zone: tzinfo = UTC) -> str:
    """Return the label of a bar, with its note. A time has no zone, to fit beside a number."""
    label = bar.label
    if bars.label_kind == "time":
        with suppress(ValueError):
            label = local_time(datetime.fromisoformat(bar.label), zone)
    return f"{label}, {bar.note}" if bar.note else label


def bar_value(bar: Bar, bars: Bars) -> str:
    """Return the number of a bar, with its unit and its share."""
    text = counted(bar.value, bars.unit) if bars.unit else number(bar.value)
    return f"{text} ({share(bar.share)})" if bar.share else text


def bars_in_words(bars: Bars, zone: tzinfo = UTC) -> str:
    """Return what bars show, as a text."""
    return "; ".join(
        f"{bar_label(bar, bars, zone)}: {bar_value(bar, bars)}"
        for bar in bars.bars
    )


def heading_total(heading: Heading) -> str:
    """Return the number of things below a heading; empty if it has none."""
    if heading.total is None:
        return ""
    if not heading.unit:
        return number(heading.total)
    return counted(heading.total, heading.unit)


def caption(text: str, kinds: Sequence[Kind], currency: str) -> str:
    """Return the caption of a table, with the currency if it has amounts."""
    if currency and "money" in kinds:
        return f"{text}, in {currency}"
    return text
