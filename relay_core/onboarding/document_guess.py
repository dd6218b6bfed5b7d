"""The guess of the path of records in a JSON document or in XML."""

from relay_core.config import ParserConfig
from relay_core.domain.document_paths import ROOT
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.formats import DOCUMENT_FORMATS, FORMATS
from relay_core.ingest.charset import guess_encoding
from relay_core.ingest.documents.json_document import survey_json
from relay_core.ingest.documents.survey import Survey, SurveyedPath
from relay_core.ingest.documents.xml_document import survey_xml
from relay_core.ingest.documents.xml_events import encoding_of
from relay_core.ingest.feed import decode_feed
from relay_core.normalize.file_kinds import kind_of
from relay_core.onboarding.feed_sample import FeedSample, unreadable
from relay_core.onboarding.header_names import joined_words, ranks_of
from relay_core.onboarding.sample_reader import open_sample

_CERTAIN = 0
"""The rank of the header `sku`, and of the one that the config maps to it."""


def guess_document(
    feed: FeedSample,
    parser: ParserConfig,
) -> tuple[str, str | None] | None:
    """Return the format and the path of records of a feed that is a document.

    The path is the one with most records of two or more headers, then the shortest, then
    the first, or one around it that has the SKU. It is the configured path if that has
    records, or if the document is broken. Return None for a feed that is not a document.

    Raises:
        FeedUnreadableError: The document is too large to be checked.
    """
    is_one_line = _is_one_line(feed)
    format = _document_format(feed, parser, is_one_line=is_one_line)
    if format is None:
        return None
    if not feed.is_whole:
        raise unreadable(
            "the file is too large to be checked. A run can read it."
        )
    if parser.format == format and _has_records(feed, parser):
        return format, parser.record
    survey = _survey(feed, format, parser)
    if survey is None:
        return (format, parser.record) if parser.format == format else None
    best = _path_of_sku(survey.paths()[0], parser)
    if FORMATS[parser.format].has_lines and is_one_line:
        # One line with an object is a line of JSON Lines, unless it has a list of records.
        return (format, best.path) if best.record_count > 1 else None
    if parser.format == format and survey.has_values_at(parser.record_path):
        # The records cannot be read, and the reading says why.
        return format, parser.record
    if format == "json" and best.path == ROOT:
        return format, None
    return format, best.path


def _path_of_sku(best: SurveyedPath, parser: ParserConfig) -> SurveyedPath:
    """Return a path, or the one around it that has the SKU under a more certain name.

    So a product is the record, even though each product has several stocks.
    """
    ranks = dict(ranks_of("sku"))
    for header in parser.mapped_headers.get("sku", ()):
        ranks[joined_words(header)] = _CERTAIN
    unknown = max(ranks.values()) + 1

    def rank_of(place: SurveyedPath) -> int:
        names = [
            name
            for name, cell in place.within()
            if _is_one_each(cell, place) and not cell.children
        ]
        rank = min(
            (ranks.get(joined_words(name), unknown) for name in names),
            default=unknown,
        )
        # A value that is there once may have an id of its own, such as a shop.
        is_single = place.record_count <= 1
        return unknown if is_single and rank > _CERTAIN else rank

    return min(best.and_parents(), key=rank_of)


def _is_one_each(cell: SurveyedPath, place: SurveyedPath) -> bool:
    """Return True if most values of a path have one value of another path within it."""
    return place.value_count < 2 * cell.value_count <= 2 * place.value_count


def _document_format(
    feed: FeedSample,
    parser: ParserConfig,
    *,
    is_one_line: bool,
) -> str | None:
    if parser.format in DOCUMENT_FORMATS and not kind_of(
        feed.data, parser.format
    ):
        return parser.format
    kind = kind_of(feed.data, "json" if is_one_line else "csv")
    if kind is not None and kind.format in DOCUMENT_FORMATS:
        return kind.format
    return "json" if kind is None and is_one_line else None


def _has_records(feed: FeedSample, parser: ParserConfig) -> bool:
    """Return True if the configured path has records; the check reads the same ones."""
    try:
        parsed_feed, _ = open_sample(feed, parser)
    except FeedUnreadableError:
        return False
    return parsed_feed.headers is not None


def _is_one_line(feed: FeedSample) -> bool:
    """Return True if a feed is one line that begins like a JSON object."""
    text = feed.data.strip()
    return text.startswith(b"{") and b"\n" not in text


def _survey(
    feed: FeedSample,
    format: str,
    parser: ParserConfig,
) -> Survey | None:
    """Return the survey of a document; None if it is broken."""
    try:
        if format == "xml":
            encoding = encoding_of(feed.data, parser.encoding)
            return survey_xml(decode_feed(feed.data, encoding))
        guessed = guess_encoding(feed.data, parser.encoding, is_whole=True)
        text = decode_feed(feed.data, guessed or parser.encoding)
        return survey_json(text)
    except FeedUnreadableError:
        return None
