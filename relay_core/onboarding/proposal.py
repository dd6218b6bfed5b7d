"""The proposal of a parser for a feed: all guesses, each made on top of those before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from relay_core.config import ParserConfig, TenantConfig, parser_changes
from relay_core.config.column_forms import is_text_column
from relay_core.config.parser import EVERY_COLUMN
from relay_core.domain import columns as canonical
from relay_core.domain.codes import RowFault
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.formats import WORKBOOK_FORMATS
from relay_core.domain.run_faults import counted
from relay_core.onboarding import (
    column_guess,
    dry_run,
    header_guess,
    header_rows,
    layout_guess,
    number_guess,
    record_guess,
    sample_reader,
    timestamp_guess,
    word_guess,
)
from relay_core.onboarding.check_results import (
    Certainty,
    FeedCheck,
    Guess,
    Reading,
)
from relay_core.onboarding.container_guess import has_padded_formats
from relay_core.onboarding.feed_sample import FeedSample

_MAX_HEADERS = 200
_PRICE_SOURCES = frozenset(("cost", "price"))
_MIN_STOCK_SHARE = 0.9
"""The share of the cells of warehouses that must be quantities; the others may be slips."""


class Proposer:
    """Proposes parser changes for one feed."""

    def __init__(
        self,
        feed: FeedSample,
        parser: ParserConfig,
        config: TenantConfig,
    ) -> None:
        self._feed = feed
        self._parser = parser
        self._config = config

    def propose(self, container_changes: Mapping[str, Any]) -> FeedCheck:
        """Return a check with all guesses and no readings.

        Args:
            container_changes: The changes of format and compression to start from.
        """
        check = self._with_layout(container_changes)
        try:
            headers = sample_reader.read_headers(self._feed, check.parser)
        except FeedUnreadableError:
            return FeedCheck(Reading(), self._parser)
        if headers:
            missing = dry_run.missing_headers(headers, check.parser)
            check = replace(check, missing=missing)
        check = self._with_column_map(check, headers)
        if self._shows_zeros(check.parser):
            check = with_options(check, padded_numbers=True)
        check = self._with_number_style(check)
        check = self._with_words_and_times(check)
        skip_rules = record_guess.guess_skip_rows(self._feed, check.parser)
        if skip_rules:
            rules = check.parser.model_dump(include={"skip_rows"})["skip_rows"]
            check = with_options(check, skip_rows=[*rules, *skip_rules])
        return self._without_rejected_columns(check)

    def with_unknown(self, check: FeedCheck) -> FeedCheck:
        """Return a check with the columns that people have to map, and their candidates.

        If the cost is one of them, the amounts under unused headers show how the vendor
        writes numbers.
        """
        best = check.best
        unknown_columns = [header.column for header in best.missing]
        if _lacks_price((*best.columns, *unknown_columns), check.parser):
            unknown_columns.append("cost")
        if not best.headers or not unknown_columns:
            return check
        if not check.changes:
            check = replace(check, parser=self._parser)
        unused_headers = [
            header
            for header in dict.fromkeys(best.unused[:_MAX_HEADERS])
            if header
        ]
        if "cost" in unknown_columns:
            check = self._with_style_of_unused(check, unused_headers)
        cells = sample_reader.cells_by_header(
            self._feed,
            check.parser,
            unused_headers,
            with_numbers=True,
        )
        unknown = {
            column: header_guess.candidates(
                column,
                cells,
                check.parser,
                self._config.zone,
            )
            for column in unknown_columns
        }
        return replace(check, unknown=unknown)

    # --- the guesses, in their order ----------------------------------------------------

    def _with_layout(self, container_changes: Mapping[str, Any]) -> FeedCheck:
        """Return a check with the guesses of encoding, delimiter, sheet and header."""
        changes = dict(container_changes)
        parser = (
            parser_changes.changed_parser(self._parser, changes) or self._parser
        )
        changes |= layout_guess.layout_changes(self._feed, parser)
        parser = parser_changes.changed_parser(parser, changes) or parser
        check = FeedCheck(Reading(), parser, changes)
        if parser.format in WORKBOOK_FORMATS:
            sheets = layout_guess.guess_sheet(self._feed.data, parser)
            check = _with_sheets(check, sheets)
            parser = check.parser
        record_ends = record_guess.guess_record_ends(
            self._feed, parser, self._config
        )
        return with_options(check, **record_ends)

    def _with_column_map(
        self, check: FeedCheck, headers: Sequence[str]
    ) -> FeedCheck:
        """Return a check with the headers of columns that the config does not find."""
        parser = check.parser
        wanted_columns = {
            *canonical.REQUIRED_COLUMNS,
            *self._config.reads,
        }
        wanted_columns.discard("price")
        columns = (*parser.column_map, *parser.defaults, *headers)
        if _lacks_price(columns, parser):
            wanted_columns.add("cost")
        column_map: dict[str, Any] = {
            **header_guess.match_headers(headers, parser, wanted_columns)
        }
        matched = with_options(check, column_map=column_map)
        warehouses = self._warehouse_headers(headers, matched.parser)
        if warehouses:
            column_map["quantity_available"] = {"sum": warehouses}
        missing_columns = {
            header.column for header in dry_run.missing_headers(headers, parser)
        }
        if _lacks_price(columns, parser):
            missing_columns.add("cost")
        return self._with_choices(check, headers, missing_columns, column_map)

    def _with_choices(
        self,
        check: FeedCheck,
        headers: Sequence[str],
        missing_columns: set[str],
        matches: Mapping[str, Any],
    ) -> FeedCheck:
        """Return a check with the likeliest columns of SKU, price and quantity.

        Args:
            check: The check with the layout.
            headers: The headers of the file.
            missing_columns: The columns that the config does not find.
            matches: The headers that are certain by their names.
        """
        parser = check.parser
        column_map = dict(matches)
        columns = column_guess.describe_columns(
            *sample_reader.record_columns(self._feed, parser)
        )
        choices = column_guess.choose_columns(
            columns, parser, missing_columns, matches
        )
        if not all(choice.column.is_named for choice in choices):
            names = header_rows.unique_names(headers)
            rows_start = sample_reader.rows_start(self._feed, parser)
            check = with_options(
                check, skip_lines=rows_start - 1, columns=names
            )
        chosen = {choice.canonical for choice in choices}
        for canonical_column in missing_columns & {"sku", "cost"} - chosen:
            column_map.pop(canonical_column, None)
        for choice in choices:
            column_map[choice.canonical] = choice.column.header
        if column_map:
            check = with_options(check, column_map=column_map)
        guesses = [*check.guesses, *(choice.guess for choice in choices)]
        notes = [*check.notes]
        if "cost" in missing_columns and "cost" not in column_map:
            notes.extend(column_guess.range_notes(columns))
        is_mapped = "quantity_available" in {*column_map, *parser.column_map}
        if "quantity_available" in missing_columns and not is_mapped:
            check = with_options(
                check,
                defaults={**parser.defaults, "quantity_available": "1"},
            )
            guesses.append(column_guess.default_quantity(columns))
        return replace(check, guesses=tuple(guesses), notes=tuple(notes))

    def _with_number_style(self, check: FeedCheck) -> FeedCheck:
        cells = sample_reader.cells_by_column(
            self._feed,
            check.parser,
            canonical.NUMBER_COLUMNS,
        )
        numbers = number_guess.guess_numbers(cells, check.parser)
        check = replace(check, currencies=numbers.currencies)
        check = _with_numbers(check, numbers)
        ambiguous_text = None
        if check.parser.thousands_separator is None:
            ambiguous_text = number_guess.ambiguous_decimals(
                cells.get("cost", ())
            )
        if ambiguous_text is None or check.parser.decimal_separator != ".":
            return check
        return self._without_cost(check, ambiguous_text)

    def _without_cost(self, check: FeedCheck, ambiguous_text: str) -> FeedCheck:
        """Return a check that proposes no cost, because its amounts may mean others."""
        if "cost" not in check.changes.get("column_map", {}):
            return check
        column_map = {
            column: header
            for column, header in check.changes["column_map"].items()
            if column != "cost"
        }
        changes = {**check.changes, "column_map": column_map}
        guesses = [
            guess
            for guess in check.guesses
            if guess.option != "column_map.cost"
        ]
        return replace(
            check,
            changes=changes,
            parser=parser_changes.changed_parser(self._parser, changes)
            or self._parser,
            guesses=tuple(guesses),
            notes=(
                *check.notes,
                number_guess.either_separator(ambiguous_text),
            ),
        )

    def _with_words_and_times(self, check: FeedCheck) -> FeedCheck:
        """Return a check with quantity symbols, timestamp formats and null values."""
        zone = self._config.zone
        cells = sample_reader.cells_by_column(
            self._feed,
            check.parser,
            word_guess.WORDED_COLUMNS,
        )
        symbols = word_guess.guess_quantity_symbols(cells, check.parser, zone)
        if symbols:
            all_symbols = [*check.parser.quantity_symbols, *symbols]
            check = with_options(check, quantity_symbols=all_symbols)
        times = sample_reader.cells_by_column(
            self._feed,
            check.parser,
            ("updated_at",),
            with_numbers=True,
        )
        formats, time_note = timestamp_guess.guess_timestamps(
            times.get("updated_at", ()),
            check.parser,
            zone,
        )
        if formats:
            all_formats = [*check.parser.timestamp_formats, *formats]
            check = with_options(check, timestamp_formats=all_formats)
        words = word_guess.guess_null_values(cells, check.parser, zone)
        if words:
            check = with_options(
                check, null_values=_null_values(check.parser, words)
            )
        notes = [*check.notes]
        if time_note:
            notes.append(time_note)
        notes.extend(word_guess.quantity_word_notes(cells, check.parser, zone))
        return replace(check, notes=tuple(notes))

    def _without_rejected_columns(self, check: FeedCheck) -> FeedCheck:
        """Return a check without headers of optional columns with rejected cells.

        If quantities are negative, they are read as 0.
        """
        reading = dry_run.read_sample(self._feed, check.parser, self._config)
        fault_codes = {cells.error_code for cells in reading.rejected_cells}
        if RowFault.NEGATIVE_QUANTITY in fault_codes:
            check = with_options(check, negative_quantity="zero")
        rejected_columns = {cells.column for cells in reading.rejected_cells}
        needed_columns = {
            *canonical.REQUIRED_COLUMNS,
            *self._parser.column_map,
            "cost",
        }
        removable_columns = rejected_columns - needed_columns
        column_map = check.changes.get("column_map", {})
        if removable_columns.isdisjoint(column_map):
            return check
        remaining_map = {
            column: header
            for column, header in column_map.items()
            if column not in removable_columns
        }
        changes = {**check.changes, "column_map": remaining_map}
        if not remaining_map:
            del changes["column_map"]
        parser = (
            parser_changes.changed_parser(self._parser, changes) or self._parser
        )
        return replace(check, changes=changes, parser=parser)

    # --- single guesses -----------------------------------------------------------------

    def _warehouse_headers(
        self,
        headers: Sequence[str],
        parser: ParserConfig,
    ) -> list[str]:
        """Return the headers of several warehouses, if the file has no other quantity."""
        if not isinstance(parser.column_map.get("quantity_available", ""), str):
            return []
        missing = dry_run.missing_headers(headers, parser)
        if "quantity_available" not in {header.column for header in missing}:
            return []
        names = dict.fromkeys(
            header.strip() for header in headers[:_MAX_HEADERS]
        )
        warehouses = header_guess.warehouse_headers(
            [name for name in names if name]
        )
        cells = sample_reader.cells_by_header(
            self._feed,
            parser,
            warehouses,
            with_numbers=True,
        )
        texts = [
            text for column_texts in cells.values() for text in column_texts
        ]
        if not texts:
            return []
        valid = sum(
            word_guess.is_valid_cell(
                "quantity_available",
                text,
                parser,
                self._config.zone,
            )
            for text in texts
        )
        return [*warehouses] if valid >= _MIN_STOCK_SHARE * len(texts) else []

    def _shows_zeros(self, parser: ParserConfig) -> bool:
        """Return whether a workbook shows leading zeros of numbers in a text column."""
        padded_parser = parser_changes.changed_parser(
            parser, {"padded_numbers": True}
        )
        if (
            parser.format != "xlsx"
            or parser.padded_numbers
            or not has_padded_formats(self._feed.data)
            or padded_parser is None
        ):
            return False
        all_columns = (*canonical.INPUT_COLUMNS, *parser.extra_columns)
        columns = [column for column in all_columns if is_text_column(column)]
        plain_cells = sample_reader.cells_by_column(
            self._feed,
            parser,
            columns,
            with_numbers=True,
        )
        padded_cells = sample_reader.cells_by_column(
            self._feed,
            padded_parser,
            columns,
            with_numbers=True,
        )
        return plain_cells != padded_cells

    def _with_style_of_unused(
        self,
        check: FeedCheck,
        unused_headers: Sequence[str],
    ) -> FeedCheck:
        """Return a check with the number style of amounts under unused headers."""
        cells = sample_reader.cells_by_header(
            self._feed, check.parser, unused_headers
        )
        amounts: list[str] = []
        for texts in cells.values():
            if number_guess.are_amounts(texts):
                amounts.extend(texts)
        numbers = number_guess.guess_numbers({"cost": amounts}, check.parser)
        styled = _with_numbers(check, numbers)
        reading = check.best
        if numbers.changes:
            reading = dry_run.read_sample(
                self._feed, styled.parser, self._config
            )
        if reading.rank < check.best.rank:
            return check
        return replace(
            styled,
            with_changes=reading if styled.changes else None,
            currencies=check.currencies | numbers.currencies,
        )


def with_options(check: FeedCheck, **options: Any) -> FeedCheck:
    """Return a check with more parser changes, if they fit the parser's other options."""
    parser = parser_changes.changed_parser(check.parser, options)
    if parser is None:
        return check
    return replace(check, parser=parser, changes={**check.changes, **options})


def _with_sheets(
    check: FeedCheck, sheets: layout_guess.SheetGuess
) -> FeedCheck:
    """Return a check that reads the best sheet of a workbook, and names the others."""
    if sheets.changes:
        check = with_options(check, **sheets.changes)
    if not sheets.row_counts:
        return check
    counts = ", ".join(
        f'"{name}" ({counted(rows, "row")})'
        for name, rows in sheets.row_counts.items()
    )
    note = (
        f'The workbook has {len(sheets.row_counts)} sheets: {counts}. The sheet "{sheets.name}" '
        "is read. To read another one, set parser.sheet."
    )
    guesses = check.guesses
    rivals = sheets.rivals
    if (rivals and check.parser.sheet is None) or "sheet" in sheets.changes:
        certainty = Certainty.UNSURE if rivals else Certainty.LIKELY
        guess = Guess(
            "sheet",
            sheets.name,
            certainty,
            "it has the most rows that look like a table",
            alternatives=tuple(rivals),
        )
        guesses = (*guesses, guess)
    return replace(check, guesses=guesses, notes=(*check.notes, note))


def _with_numbers(
    check: FeedCheck, numbers: number_guess.NumberGuess
) -> FeedCheck:
    """Return a check with a number style, and with the note that belongs to it."""
    parser = parser_changes.changed_parser(check.parser, numbers.changes)
    if parser is None:
        note = (
            "The numbers of the file use other separators than those in parser.defaults. "
            "Change the separators of the parser and the defaults together."
        )
        return replace(check, notes=(*check.notes, note))
    notes = check.notes
    if numbers.note:
        notes = (*notes, numbers.note)
    changes = {**check.changes, **numbers.changes}
    return replace(check, parser=parser, changes=changes, notes=notes)


def _null_values(parser: ParserConfig, words: Sequence[str]) -> Any:
    """Return the parser's null values with more words for all columns."""
    if not isinstance(parser.null_values, Mapping):
        return [*parser.null_values, *words]
    words_of_all = [*parser.null_values.get(EVERY_COLUMN, ()), *words]
    return {**parser.null_values, EVERY_COLUMN: words_of_all}


def _lacks_price(columns: Iterable[str], parser: ParserConfig) -> bool:
    """Return True if a file that may have a cost has neither a cost nor a price."""
    return "cost" in parser.readable_columns and _PRICE_SOURCES.isdisjoint(
        columns
    )
