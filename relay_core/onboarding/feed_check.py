"""One vendor's feed held against its config by its first bytes, and what to change in the config.

Guesses come from `ingest.charset`, `guess_layout`, `guess_headers` and `guess_numbers`; here they
are put together, tried on the same bytes, and kept only where the feed reads better with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from relay_core.config import ParserConfig, TenantConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.columns import NUMBER_COLUMNS, REQUIRED_COLUMNS
from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.charset import decode_head, guess_encoding
from relay_core.onboarding.dry_run import (
    column_cells,
    missing_headers,
    read_headers,
    read_rows,
)
from relay_core.onboarding.guess_container import container_changes, unpacked
from relay_core.onboarding.guess_headers import match_headers
from relay_core.onboarding.guess_layout import guess_layout
from relay_core.onboarding.guess_numbers import guess_numbers
from relay_core.onboarding.guess_sheet import guess_sheet
from relay_core.onboarding.head import FeedBytes
from relay_core.onboarding.reading import FeedCheck, Reading


def check_feed(feed: FeedBytes, parser: ParserConfig, config: TenantConfig) -> FeedCheck:
    """Hold the first bytes of a feed, or all of them, against a vendor's parser.

    Raises:
        FeedUnreadableError: they are of no kind that is read; the message says what they are.
    """
    inner = unpacked(feed)
    changes = container_changes(feed, inner, parser)
    as_sent = _other_container(parser, changes) if changes else read_rows(inner, parser, config)
    feed = inner
    proposal = _proposal(feed, parser, config, changes)
    reading = read_rows(feed, proposal.parser, config) if proposal.changes else None
    if reading is None or not _is_better(reading, as_sent, proposal):
        return replace(proposal, as_sent=as_sent, changes={})
    return replace(proposal, as_sent=as_sent, with_changes=reading)


def _other_container(parser: ParserConfig, changes: Mapping[str, Any]) -> Reading:
    """Return what a parser makes of an upload that is in another format or compression."""
    found = changes.get("format", parser.format)
    what = f"it is {found}" if found != parser.format else "it is packed in another way"
    return Reading(
        error_code=FailureCode.DECODE_ERROR,
        error_message=f"the file is not what parser.format and parser.compression say: {what}",
    )


def _proposal(
    feed: FeedBytes, parser: ParserConfig, config: TenantConfig, container: Mapping[str, Any]
) -> FeedCheck:
    """Return the guesses, one on top of the other; its readings are not yet made.

    ``container`` says what the upload is.
    """
    changes = dict(container)
    guessed = changed_parser(parser, changes) or parser
    changes |= _layout_changes(feed, guessed)
    guessed = changed_parser(parser, changes) or guessed
    try:
        headers = read_headers(feed, guessed)
    except FeedUnreadableError:
        return FeedCheck(Reading(), parser)
    missing = missing_headers(headers, guessed) if headers else ()
    mapped = match_headers(headers, guessed, _wanted_columns(guessed, config, headers))
    if mapped and (with_map := changed_parser(guessed, {"column_map": mapped})) is not None:
        guessed, changes = with_map, {**changes, "column_map": mapped}
    numbers = guess_numbers(column_cells(feed, guessed, NUMBER_COLUMNS), guessed)
    note = numbers.note
    styled = changed_parser(guessed, numbers.changes)
    if styled is None:
        note = "the numbers are written in another way than parser.defaults; change both"
    elif numbers.changes:
        guessed, changes = styled, {**changes, **numbers.changes}
    check = FeedCheck(Reading(), guessed, changes, None, missing, numbers.currencies, note)
    return _without_doubtful(check, feed, parser, config)


def _layout_changes(feed: FeedBytes, parser: ParserConfig) -> dict[str, Any]:
    if parser.format == "xlsx":
        return guess_sheet(feed.data, parser)
    encoding = guess_encoding(feed.data, parser.encoding, is_whole=feed.is_whole)
    if encoding is None or parser.format == "parquet":
        return {}
    if parser.format == "jsonl":
        return {} if encoding == parser.encoding else {"encoding": encoding}
    text = decode_head(feed.data, encoding, is_whole=feed.is_whole)
    layout = guess_layout(text, parser, is_whole=feed.is_whole)
    found = {
        "encoding": encoding,
        "delimiter": layout.delimiter,
        "skip_lines": layout.skip_lines,
    }
    return {name: value for name, value in found.items() if value != getattr(parser, name)}


def _wanted_columns(
    parser: ParserConfig, config: TenantConfig, headers: tuple[str, ...]
) -> set[str]:
    """Return the columns to look for: what a run needs, what the feed is to hold, and a price."""
    wanted = {*REQUIRED_COLUMNS, *config.output.reads} - {"price"}
    has_price = {"cost", "price"} & {*parser.column_map, *parser.defaults, *headers}
    return wanted if has_price else wanted | {"cost"}


def _without_doubtful(
    check: FeedCheck, feed: FeedBytes, parser: ParserConfig, config: TenantConfig
) -> FeedCheck:
    """Take back the headers of columns that may be left out and whose cells would be refused."""
    mapped = check.changes.get("column_map", {})
    refused = {each.column for each in read_rows(feed, check.parser, config).refusals}
    keep = {*REQUIRED_COLUMNS, *parser.column_map, "cost"}
    kept = {c: header for c, header in mapped.items() if c in keep or c not in refused}
    if len(kept) == len(mapped):
        return check
    changes = {name: value for name, value in check.changes.items() if name != "column_map"}
    changes |= {"column_map": kept} if kept else {}
    return replace(check, changes=changes, parser=changed_parser(parser, changes) or parser)


def _is_better(reading: Reading, as_sent: Reading, proposal: FeedCheck) -> bool:
    """Tell whether a reading is worth a change; the right characters are, if nothing is lost."""
    if "encoding" in proposal.changes and as_sent.is_usable:
        return reading.rank >= as_sent.rank
    return reading.rank > as_sent.rank or len(reading.missing) < len(as_sent.missing)


def changed_parser(parser: ParserConfig, changes: Mapping[str, Any]) -> ParserConfig | None:
    """Return a parser with some options changed, None where they do not go with the others."""
    own = {name: value for name, value in parser.model_dump().items() if value is not None}
    column_map = {**parser.column_map, **changes.get("column_map", {})}
    try:
        return ParserConfig.model_validate({**own, **changes, "column_map": column_map})
    except ValidationError:
        return None
