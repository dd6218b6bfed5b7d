"""The guess of how a vendor writes days and times."""

from collections.abc import Sequence
from datetime import tzinfo
from itertools import product

from relay_core.config import ParserConfig
from relay_core.domain import cell_rules
from relay_core.domain.errors import CellError

_MAX_TEXTS = 200  # the number of texts that a guess is made from
_DAYS = (
    ("%d.%m.%Y", "%d.%m.%y", "%Y.%m.%d"),
    ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d"),
    ("%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y", "%d-%b-%y"),
    ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
    ("%Y%m%d",),
)
_TIMES = (
    "",
    " %H:%M:%S",
    " %H:%M",
    " %I:%M:%S %p",
    " %I:%M %p",
    "T%H:%M:%S",
    "%H%M%S",
)
_FORMATS = (
    *(day + time for days in _DAYS for day, time in product(days, _TIMES)),
    cell_rules.EXCEL,
)
_RECENT_SERIALS = range(30_000, 80_000)
"""The serial numbers of the days from 1982 to 2119. Others are probably not days."""
_MAX_FORMATS = 3  # no feed mixes more formats than this
# A format that reads none of the first few texts is not tried further.
_PROBED_TEXTS = 5


def guess_timestamps(
    cells: Sequence[str],
    parser: ParserConfig,
    zone: tzinfo,
) -> tuple[list[str], str]:
    """Return the timestamp formats that a parser lacks, and a note.

    The note says why no format is proposed although one is needed, if that is known.

    Args:
        cells: The cells of `updated_at`, trimmed and without nulls.
        parser: The vendor's parser.
        zone: The time zone of times without an offset.
    """
    unread_texts = [
        text
        for text in dict.fromkeys(cells)
        if _instant(text, parser, zone) is None
    ][:_MAX_TEXTS]
    formats: list[str] = []
    while unread_texts and len(formats) < _MAX_FORMATS:
        readings = _readings_by_format(unread_texts, parser, zone)
        if not readings:
            break
        counts = {
            form: _count_read(instants) for form, instants in readings.items()
        }
        best = max(counts, key=counts.__getitem__)
        swapped = _with_day_and_month_swapped(best)
        if swapped != best and counts.get(swapped) == counts[best]:
            instants = zip(unread_texts, readings[best], strict=True)
            text = next(
                text for text, instant in instants if instant is not None
            )
            note = (
                f'The date "{text[:40]}" in updated_at could start with the day or the '
                f'month. Set parser.timestamp_formats to ["{best}"] or ["{swapped}"].'
            )
            return [], note
        formats.append(best)
        unread_texts = [
            text
            for text, instant in zip(unread_texts, readings[best], strict=True)
            if instant is None
        ]
    return formats, ""


def _readings_by_format(
    texts: Sequence[str],
    parser: ParserConfig,
    zone: tzinfo,
) -> dict[str, list[int | None]]:
    """Return the instants of the texts for each format that reads some of them."""
    readings = {}
    for form in _FORMATS:
        probe = _instants(form, texts[:_PROBED_TEXTS], parser, zone)
        if _count_read(probe):
            readings[form] = _instants(form, texts, parser, zone)
    return readings


def _with_day_and_month_swapped(form: str) -> str:
    return form.replace("%d", "%-").replace("%m", "%d").replace("%-", "%m")


def _instants(
    form: str,
    texts: Sequence[str],
    parser: ParserConfig,
    zone: tzinfo,
) -> list[int | None]:
    """Return the instant of each text in one format, in microseconds, or None."""
    if form == cell_rules.EXCEL:
        texts = [text if _is_recent_serial(text) else "" for text in texts]
    one_format_parser = parser.model_copy(update={"timestamp_formats": (form,)})
    return [_instant(text, one_format_parser, zone) for text in texts]


def _is_recent_serial(text: str) -> bool:
    days = text.partition(".")[0]
    return len(days) == 5 and days.isdecimal() and int(days) in _RECENT_SERIALS


def _instant(text: str, parser: ParserConfig, zone: tzinfo) -> int | None:
    try:
        return cell_rules.read_timestamp(text, parser, zone)
    except CellError:
        return None


def _count_read(instants: Sequence[int | None]) -> int:
    return len(instants) - instants.count(None)
