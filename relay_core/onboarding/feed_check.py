"""The check of a vendor's feed: its sample is compared with the config, and a patch is proposed.

Modules that end in ``_guess`` make the guesses. They are combined here, tried on the same bytes,
and kept only where the feed reads better with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from relay_core.config import ParserConfig, TenantConfig, VendorConfig
from relay_core.config.parser import EVERY_COLUMN, is_text_column
from relay_core.domain.codes import WORKBOOK_FORMATS, FailureCode, RowFault
from relay_core.domain.columns import INPUT_COLUMNS, NUMBER_COLUMNS, REQUIRED_COLUMNS
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.records import Doubt
from relay_core.ingest.charset import decode_head, guess_encoding
from relay_core.ingest.sku_map import SkuMap
from relay_core.normalize.file_kinds import KINDS_TELL, kind_of
from relay_core.onboarding import cell_guess, dry_run, layout_guess
from relay_core.onboarding.check_results import FeedCheck, Reading
from relay_core.onboarding.doubts import (
    has_amounts,
    is_totals,
    row_doubts,
    ruled_offers,
)
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.header_guess import (
    candidates,
    match_headers,
    warehouse_headers,
)
from relay_core.onboarding.layout_guess import container_changes, unpacked

_MAX_HEADERS = 200
_WORTHWHILE = {"encoding", "padded_numbers", "quoting", "skip_rows"}
_FIT = 0.9
"""So great a share of the cells of warehouses must be quantities; the others may be slips."""


def check_feed(
    feed: FeedSample, parser: ParserConfig, config: TenantConfig
) -> FeedCheck:
    """Hold the first bytes of a feed, or all of them, against a vendor's parser.

    `FeedUnreadableError`: they are of no kind that is read; the message says what they are.
    """
    inner = unpacked(feed)
    kind = kind_of(inner.data, parser.format)
    if kind is not None and not kind.is_text and kind.format is None:
        raise FeedUnreadableError(FailureCode.DECODE_ERROR, str(kind))
    changes = container_changes(feed, inner, parser)
    if changes:
        found = changes.get("format", parser.format)
        what = (
            f"it is {found}"
            if found != parser.format
            else "it is packed in another way"
        )
        message = (
            f"the file is not what parser.format and parser.compression say: {what}"
        )
        as_sent = Reading(error_code=FailureCode.DECODE_ERROR, error_message=message)
    else:
        as_sent = dry_run.read_rows(inner, parser, config)
    if kind is not None and kind.format is None and as_sent.error_code in KINDS_TELL:
        raise FeedUnreadableError(FailureCode(as_sent.error_code or ""), str(kind))
    checker = _Checker(inner, parser, config)
    check = checker.proposal(changes)
    reading = dry_run.read_rows(inner, check.parser, config) if check.changes else None
    if reading is None or not _is_better(reading, as_sent, check):
        check = replace(check, as_sent=as_sent, changes={})
    else:
        check = replace(check, as_sent=as_sent, with_changes=reading)
    return checker.with_unknown(check)


def with_rows(
    check: FeedCheck,
    upload: FeedSample,
    vendor: VendorConfig,
    config: TenantConfig,
    sku_map: SkuMap | None = None,
) -> FeedCheck:
    """Return a check with its best reading of the whole upload, and the doubts of the rows.

    Where there is less of the upload, or it unpacks to too much, the first rows have to do.
    """
    parser = check.parser if check.changes else vendor.parser
    is_whole = upload.is_whole and len(upload.data) <= dry_run.MAX_WHOLE_BYTES
    if is_whole:
        whole = replace(upload, rows=0)
        reading, read = dry_run.read_vendor(whole, parser, config, vendor, sku_map)
        is_whole = reading.error_code != FailureCode.FEED_TOO_LARGE
    if not is_whole:
        reading, read = dry_run.read_vendor(
            unpacked(upload), parser, config, vendor, sku_map
        )
    doubts: tuple[Doubt, ...] = ()
    if read is not None and reading.is_usable:
        offers = ruled_offers(config, read)
        doubts = tuple(row_doubts(config, read, offers))
        check = replace(check, has_amounts=has_amounts(config, offers))
    if is_whole and read is not None and read.last_sku and is_totals(read.last_sku):
        own = parser.model_dump(include={"skip_rows"})["skip_rows"]
        rule = {"column": parser.column_map.get("sku", "sku"), "is": [read.last_sku]}
        changed = _with(replace(check, parser=parser), skip_rows=[*own, rule])
        without, _ = dry_run.read_vendor(whole, changed.parser, config, vendor, sku_map)
        if without.is_usable and without.rows < reading.rows:
            check = replace(
                changed, as_sent=check.as_sent if check.changes else reading
            )
            reading = without
    if check.changes:
        return replace(check, whole=is_whole, doubts=doubts, with_changes=reading)
    return replace(check, whole=is_whole, doubts=doubts, as_sent=reading)


class _Checker:
    """One check: a feed, its vendor's parser and the tenant's config."""

    def __init__(
        self, feed: FeedSample, parser: ParserConfig, config: TenantConfig
    ) -> None:
        self._feed = feed
        self._parser = parser
        self._config = config

    def proposal(self, container: Mapping[str, Any]) -> FeedCheck:
        """Return the guesses on what ``container`` says, one on top of the other; no readings."""
        feed, config, changes = self._feed, self._config, dict(container)
        guessed = dry_run.changed_parser(self._parser, changes) or self._parser
        changes |= _layout_changes(feed, guessed)
        check = FeedCheck(
            Reading(), dry_run.changed_parser(guessed, changes) or guessed, changes
        )
        check = _with(
            check, **layout_guess.guess_record_ends(feed, check.parser, config)
        )
        try:
            headers = dry_run.read_headers(feed, check.parser)
        except FeedUnreadableError:
            return FeedCheck(Reading(), self._parser)
        missing = dry_run.missing_headers(headers, check.parser) if headers else ()
        wanted = {*REQUIRED_COLUMNS, *config.output.reads} - {"price"}
        if not {"cost", "price"} & {
            *check.parser.column_map,
            *check.parser.defaults,
            *headers,
        }:
            wanted.add("cost")
        if mapped := match_headers(headers, check.parser, wanted):
            check = _with(check, column_map=mapped)
        if warehouses := self._warehouses(headers, check.parser):
            found = {**mapped, "quantity_available": {"sum": warehouses}}
            check = _with(check, column_map=found)
        if _shows_zeros(feed, check.parser):
            check = _with(check, padded_numbers=True)
        amounts = dry_run.cell_texts(feed, check.parser, NUMBER_COLUMNS)
        numbers = cell_guess.guess_numbers(amounts, check.parser)
        check = _styled(
            replace(check, missing=missing, currencies=numbers.currencies), numbers
        )
        cells = dry_run.cell_texts(feed, check.parser, cell_guess.WORDED_COLUMNS)
        if symbols := cell_guess.guess_quantity_symbols(
            cells, check.parser, config.zone
        ):
            check = _with(
                check, quantity_symbols=[*check.parser.quantity_symbols, *symbols]
            )
        moments = dry_run.cell_texts(
            feed, check.parser, ("updated_at",), with_numbers=True
        )
        times = moments.get("updated_at", ())
        formats, note = cell_guess.guess_timestamps(times, check.parser, config.zone)
        if formats:
            check = _with(
                check, timestamp_formats=[*check.parser.timestamp_formats, *formats]
            )
        if words := cell_guess.guess_null_values(cells, check.parser, config.zone):
            check = _with(check, null_values=_with_words(check.parser, words))
        unknown = cell_guess.quantity_word_notes(cells, check.parser, config.zone)
        check = replace(check, notes=(*check.notes, *filter(None, [note]), *unknown))
        if rules := layout_guess.guess_skip_rows(feed, check.parser):
            own = check.parser.model_dump(include={"skip_rows"})["skip_rows"]
            check = _with(check, skip_rows=[*own, *rules])
        return self._without_rejected(check)

    def _warehouses(self, headers: Sequence[str], parser: ParserConfig) -> list[str]:
        """Return the headers of several warehouses, where nothing else is the quantity."""
        lacking = {each.column for each in dry_run.missing_headers(headers, parser)}
        if not isinstance(parser.column_map.get("quantity_available", ""), str):
            return []
        names = [*filter(None, dict.fromkeys(map(str.strip, headers[:_MAX_HEADERS])))]
        found = warehouse_headers(names) if "quantity_available" in lacking else ()
        cells = dry_run.cell_texts(
            self._feed, parser, found, are_headers=True, with_numbers=True
        )
        texts = [text for each in cells.values() for text in each]
        read = [
            cell_guess.is_read("quantity_available", each, parser, self._config.zone)
            for each in texts
        ]
        return [*found] if texts and sum(read) >= _FIT * len(read) else []

    def with_unknown(self, check: FeedCheck) -> FeedCheck:
        """Return a check with the columns that people have to name, and their candidates.

        Amounts under headers that nothing is read from yet show how the vendor writes numbers.
        """
        best = check.best
        lacking = [each.column for each in best.missing]
        lacking += [] if {"cost", "price"} & {*best.columns, *lacking} else ["cost"]
        if not best.headers or not lacking:
            return check
        parser = check.parser if check.changes else self._parser
        free = [name for name in dict.fromkeys(best.unused[:_MAX_HEADERS]) if name]
        if "cost" in lacking:
            cells = dry_run.cell_texts(self._feed, parser, free, are_headers=True)
            amounts = [
                text
                for texts in cells.values()
                if cell_guess.are_amounts(texts)
                for text in texts
            ]
            numbers = cell_guess.guess_numbers({"cost": amounts}, parser)
            new = _styled(replace(check, parser=parser), numbers)
            reading = (
                dry_run.read_rows(self._feed, new.parser, self._config)
                if numbers.changes
                else best
            )
            if reading.rank >= best.rank:
                parser, currencies = new.parser, check.currencies | numbers.currencies
                with_changes = reading if new.changes else None
                check = replace(new, with_changes=with_changes, currencies=currencies)
        cells = dry_run.cell_texts(
            self._feed, parser, free, are_headers=True, with_numbers=True
        )
        zone = self._config.zone
        unknown = {
            column: candidates(column, cells, parser, zone) for column in lacking
        }
        return replace(check, unknown=unknown)

    def _without_rejected(self, check: FeedCheck) -> FeedCheck:
        """Take back headers of optional columns with rejected cells; below zero becomes 0."""
        mapped = check.changes.get("column_map", {})
        reading = dry_run.read_rows(self._feed, check.parser, self._config)
        if any(
            each.error_code == RowFault.NEGATIVE_QUANTITY for each in reading.refusals
        ):
            check = _with(check, negative_quantity="zero")
        rejected = {each.column for each in reading.refusals}
        keep = {*REQUIRED_COLUMNS, *self._parser.column_map, "cost"}
        kept = {
            c: header for c, header in mapped.items() if c in keep or c not in rejected
        }
        if len(kept) == len(mapped):
            return check
        changes = {
            name: value for name, value in check.changes.items() if name != "column_map"
        }
        changes |= {"column_map": kept} if kept else {}
        parser = dry_run.changed_parser(self._parser, changes) or self._parser
        return replace(check, changes=changes, parser=parser)


def _shows_zeros(feed: FeedSample, parser: ParserConfig) -> bool:
    """Return whether a workbook shows whole numbers of a text column with zeros in front."""
    padded = dry_run.changed_parser(parser, {"padded_numbers": True})
    if parser.format != "xlsx" or parser.padded_numbers or padded is None:
        return False
    columns = [*filter(is_text_column, (*INPUT_COLUMNS, *parser.extra_columns))]
    plain, shown = (
        dry_run.cell_texts(feed, p, columns, with_numbers=True)
        for p in (parser, padded)
    )
    return plain != shown


def _layout_changes(feed: FeedSample, parser: ParserConfig) -> dict[str, Any]:
    if parser.format in WORKBOOK_FORMATS:
        return layout_guess.guess_sheet(feed.data, parser)
    encoding = guess_encoding(feed.data, parser.encoding, is_whole=feed.is_whole)
    if encoding is None or parser.format == "parquet":
        return {}
    if parser.format == "jsonl":
        return {} if encoding == parser.encoding else {"encoding": encoding}
    text = decode_head(feed.data, encoding, is_whole=feed.is_whole)
    layout = layout_guess.guess_layout(text, parser, is_whole=feed.is_whole)
    found: dict[str, Any] = {"encoding": encoding, **asdict(layout)}
    changes = {
        name: value for name, value in found.items() if value != getattr(parser, name)
    }
    return (
        changes | {"columns": [*changes["columns"]]}
        if changes.get("columns")
        else changes
    )


def _styled(check: FeedCheck, numbers: cell_guess.NumberGuess) -> FeedCheck:
    """Return a check with how numbers are written, and with what is left to people."""
    styled = dry_run.changed_parser(check.parser, numbers.changes)
    if styled is None:
        note = (
            "the numbers are written in another way than parser.defaults; change both"
        )
        return replace(check, notes=(*check.notes, note))
    notes = (*check.notes, *filter(None, [numbers.note]))
    return replace(
        check, parser=styled, changes={**check.changes, **numbers.changes}, notes=notes
    )


def _with_words(parser: ParserConfig, words: Sequence[str]) -> Any:
    """Return the words that mean null with more of them, for all columns."""
    if not isinstance(parser.null_values, Mapping):
        return [*parser.null_values, *words]
    of_all = [*parser.null_values.get(EVERY_COLUMN, ()), *words]
    return {**parser.null_values, EVERY_COLUMN: of_all}


def _with(check: FeedCheck, **more: Any) -> FeedCheck:
    """Return a check with more changes, where they go with the parser's other options."""
    changed = dry_run.changed_parser(check.parser, more)
    own = {**check.changes, **more}
    return check if changed is None else replace(check, parser=changed, changes=own)


def _is_better(reading: Reading, as_sent: Reading, proposal: FeedCheck) -> bool:
    """Return whether a reading is worth a change; some are if nothing is lost by them."""
    if _WORTHWHILE & {*proposal.changes} and as_sent.is_usable:
        return reading.rank >= as_sent.rank
    return reading.rank > as_sent.rank or len(reading.missing) < len(as_sent.missing)
