"""The check of a vendor's feed against its config, with a proposal of config changes.

Modules with names that end in `_guess` make the guesses, and `proposal` combines them.
The check tries the combination on the same bytes. It keeps the combination only if the
feed reads better with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from relay_core.config import ParserConfig, TenantConfig, VendorConfig
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import CATALOG, FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.run_codes import code_of
from relay_core.ingest.charset import decode_head
from relay_core.ingest.csv_records import release_mapped
from relay_core.ingest.sku_map import SkuMap
from relay_core.normalize.file_kinds import kind_of
from relay_core.onboarding import doubts, dry_run, record_guess
from relay_core.onboarding.check_results import FeedCheck, Reading
from relay_core.onboarding.container_guess import container_changes, unpacked
from relay_core.onboarding.feed_sample import FeedSample, is_read_whole
from relay_core.onboarding.layout_guess import is_aligned
from relay_core.onboarding.proposal import Proposer, with_options
from relay_core.onboarding.sample_reader import (
    MAX_WHOLE_BYTES,
    cells_by_header,
)
from relay_core.products.gtin_notes import gtin_notes

_MAX_SAMPLED_HEADERS = 200
_SAMPLED_ROWS = 200
_SAMPLES = 5
_HARMLESS_OPTIONS = frozenset(
    ("encoding", "padded_numbers", "quoting", "skip_rows")
)
"""Options that are worth a change even if the reading only stays as good."""
_HEAD_BYTES = 4 << 20
"""The size of the sample of a file that is not checked as a whole."""


def check_file(
    data: bytes | memoryview,
    vendor: VendorConfig,
    config: TenantConfig,
    sku_map: SkuMap | None = None,
) -> FeedCheck:
    """Check a vendor's file: guess from its head, and read it whole if it is not too large.

    Args:
        data: The bytes of the file, which may be mapped into memory.
        vendor: The vendor.
        config: The tenant's config.
        sku_map: The vendor's SKU map.

    Raises:
        FeedUnreadableError: The bytes are of a kind that is not supported. The message
            names the kind.
    """
    is_whole = len(data) <= MAX_WHOLE_BYTES
    upload_data = bytes(data if is_whole else data[:_HEAD_BYTES])
    upload = FeedSample(upload_data, is_whole=is_whole)
    is_short = len(data) <= _HEAD_BYTES
    release_mapped(data)
    head = FeedSample(upload_data[:_HEAD_BYTES], is_whole=is_short)
    sample = upload if is_read_whole(head.data) else head
    check = check_feed(sample, vendor.parser, config)
    check = with_samples(check, sample, vendor)
    return with_rows(check, upload, vendor, config, sku_map)


def check_feed(
    feed: FeedSample,
    parser: ParserConfig,
    config: TenantConfig,
) -> FeedCheck:
    """Compare the first bytes of a feed, or all of them, with a vendor's parser.

    Raises:
        FeedUnreadableError: The bytes are of a kind that is not supported. The message
            names the kind.
    """
    inner_feed = unpacked(feed)
    kind = kind_of(inner_feed.data, parser.format)
    is_unsupported = kind is not None and kind.format is None
    if kind is not None and is_unsupported and not kind.is_text:
        raise FeedUnreadableError(FailureCode.DECODE_ERROR, str(kind))
    changes = container_changes(feed, inner_feed, parser)
    if changes.keys() - {"record"}:
        as_sent = _wrong_container(changes, parser)
    else:
        as_sent = dry_run.read_sample(inner_feed, parser, config)
    if is_unsupported and code_of(as_sent.error_code).kind_tells:
        raise FeedUnreadableError(
            FailureCode(as_sent.error_code or ""), str(kind)
        )
    proposer = Proposer(inner_feed, parser, config)
    check = replace(proposer.propose(changes), as_sent=as_sent)
    if check.changes:
        reading = dry_run.read_sample(inner_feed, check.parser, config)
        if _is_better(reading, check):
            check = replace(check, with_changes=reading)
        else:
            check = replace(check, changes={}, guesses=())
    tried_check = _with_trial(check, inner_feed, parser)
    fault = _no_table(check, inner_feed)
    if fault:
        return _refused(check, parser, fault)
    check = tried_check
    if check.faults:
        return check
    return proposer.with_unknown(check)


def with_rows(
    check: FeedCheck,
    upload: FeedSample,
    vendor: VendorConfig,
    config: TenantConfig,
    sku_map: SkuMap | None = None,
) -> FeedCheck:
    """Return a check with its best reading of the whole upload, and the doubts about rows.

    If the upload is not at hand as a whole, or unpacks to too much, the reading is of its
    first rows.
    """
    parser = check.parser if check.changes else vendor.parser
    read = partial(
        dry_run.read_vendor,
        config=config,
        vendor=vendor,
        sku_map=sku_map,
    )
    whole_upload = replace(upload, rows=0)
    is_whole = upload.is_whole and len(upload.data) <= MAX_WHOLE_BYTES
    if is_whole:
        reading, rows = read(whole_upload, parser)
        is_whole = reading.error_code != FailureCode.FEED_TOO_LARGE
    if not is_whole:
        reading, rows = read(unpacked(upload), parser)
    if is_whole and check.changes:
        check = _with_trial(check, whole_upload, vendor.parser)
        if not check.changes:
            return with_rows(check, upload, vendor, config, sku_map)
    check = replace(check, is_whole=is_whole, doubts=())
    is_catalog = config.catalog is not None and vendor.vendor_id == CATALOG
    if rows is not None and reading.is_usable and not is_catalog:
        offers = doubts.ruled_offers(config, rows)
        check = replace(
            check,
            doubts=tuple(doubts.row_doubts(config, rows, offers)),
            has_amounts=doubts.has_amounts(config, offers),
        )
    last_sku = None if rows is None else rows.last_sku
    if is_whole and last_sku and doubts.is_totals(last_sku):
        without_totals = _without_totals(check, parser, last_sku)
        shorter_reading, _ = read(whole_upload, without_totals.parser)
        if shorter_reading.is_usable and shorter_reading.rows < reading.rows:
            if not check.changes:
                without_totals = replace(without_totals, as_sent=reading)
            return replace(without_totals, with_changes=shorter_reading)
    if check.changes:
        return replace(check, with_changes=reading)
    return replace(check, as_sent=reading)


def with_samples(
    check: FeedCheck, upload: FeedSample, vendor: VendorConfig
) -> FeedCheck:
    """Return a check with the first different cells under each header of the file.

    It has notes about the headers whose cells are GTINs.
    """
    parser = check.parser if check.changes else vendor.parser
    headers = [
        header
        for header in dict.fromkeys(check.best.headers[:_MAX_SAMPLED_HEADERS])
        if header
    ]
    feed = replace(unpacked(upload), rows=_SAMPLED_ROWS)
    try:
        cells = cells_by_header(feed, parser, headers, with_numbers=True)
    except FeedUnreadableError:
        return check
    samples = {
        header: tuple(dict.fromkeys(cells[header]))[:_SAMPLES]
        for header in headers
    }
    notes: Iterable[str] = ()
    if check.best.is_usable and not check.faults:
        name = parser.gtin_column
        mapped = parser.mapped_headers.get(name or "", (name or "",))
        notes = gtin_notes(cells, name, mapped)
    return replace(check, samples=samples, notes=(*check.notes, *notes))


def _with_trial(
    check: FeedCheck, feed: FeedSample, parser: ParserConfig
) -> FeedCheck:
    """Return a check without its changes, if they would cut amounts of the feed."""
    if not check.best.headers:
        return check
    tried_parser = check.parser if check.changes else parser
    broken = record_guess.broken_amounts(feed, tried_parser)
    if broken is None:
        return check
    if not broken.is_fatal:
        notes = (*check.notes, f"{broken} These rows would be rejected.")
        return replace(check, notes=notes)
    fault = f"{broken} No settings are proposed for this file."
    return _refused(check, parser, fault)


def _refused(check: FeedCheck, parser: ParserConfig, fault: str) -> FeedCheck:
    """Return a check that proposes nothing, and says why."""
    return replace(
        check,
        parser=parser,
        changes={},
        with_changes=None,
        guesses=(),
        notes=(),
        faults=(fault,),
    )


def _no_table(check: FeedCheck, feed: FeedSample) -> str:
    """Return the reason why a file is not a table, or an empty text."""
    best = check.best
    if check.as_sent.is_usable or not best.headers:
        return ""
    if check.parser.format == "csv" and is_aligned(
        decode_head(feed.data, check.parser.encoding, is_whole=feed.is_whole)
    ):
        return (
            "The columns of the file are aligned with spaces, and no delimiter separates "
            "them. Ask the vendor for a CSV file or a workbook."
        )
    if not best.rows:
        headers = ", ".join(map(shorten, best.headers[:5]))
        return (
            f"The file has no rows below its first record ({headers}). Ask the vendor for "
            "a file with rows."
        )
    if check.parser.format != "csv" or len(best.headers) > 1:
        return ""
    return (
        "The file has one column, and no delimiter separates others. A price list has at "
        "least a column of products and one of prices. Ask the vendor for a CSV file or a "
        "workbook."
    )


def _wrong_container(
    changes: Mapping[str, Any], parser: ParserConfig
) -> Reading:
    """Return the reading of a file that is not of the parser's format or compression."""
    actual_format = changes.get("format", parser.format)
    message = (
        f"the file's compression is not parser.compression ({parser.compression}). "
        "Set the option to match the file."
    )
    if actual_format != parser.format:
        message = (
            f"the format of the file is {actual_format}, but parser.format is "
            f"{parser.format}. Set the option to match the file."
        )
    return Reading(error_code=FailureCode.DECODE_ERROR, error_message=message)


def _without_totals(
    check: FeedCheck, parser: ParserConfig, last_sku: str
) -> FeedCheck:
    """Return a check with a rule that skips the line of totals at the end of the file."""
    rules = parser.model_dump(include={"skip_rows"})["skip_rows"]
    rule = {"column": parser.column_map.get("sku", "sku"), "is": [last_sku]}
    return with_options(replace(check, parser=parser), skip_rows=[*rules, rule])


def _is_better(reading: Reading, check: FeedCheck) -> bool:
    """Return True if a reading is good enough for the changes of a check."""
    as_sent = check.as_sent
    if as_sent.is_usable and not _HARMLESS_OPTIONS.isdisjoint(check.changes):
        return reading.rank >= as_sent.rank
    return reading.rank > as_sent.rank or len(reading.missing) < len(
        as_sent.missing
    )
