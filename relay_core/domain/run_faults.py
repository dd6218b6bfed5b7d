"""The faults of a run, in words: each message ends with its fix."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from relay_core.domain.codes import (
    CATALOG,
    INVALID_CONFIG,
    FailureClass,
    FailureCode,
    Stage,
    WarningCode,
)
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import MAX_LISTED
from relay_core.domain.records import CatalogFault, ReportEntry, RunFailure
from relay_core.domain.run_codes import NAMED_SENTENCES, RUN_CODES, code_of

_VENDOR = "vendor {vendor!r}"
"""The words for a vendor in sentences, which those about a part name the part before."""
_OTHER_KIND = re.compile(
    r": the file is (?!not ).+?\. [A-Z]|: the workbook has a password\. "
)
"""Finds messages about a file of another kind, which no option of a parser can fix."""
_ACTION_FOR_OTHER_KIND = (
    "Replace or convert the file of {vendors}, as error_message says"
)


def fault_of(
    code: str,
    vendor_id: str | None = None,
    *,
    part_id: str | None = None,
    **facts: object,
) -> ReportEntry:
    """Return the entry of a fault or a warning.

    Args:
        code: The code, or the name of one of its sentences.
        vendor_id: The vendor that it is about.
        part_id: The part of the vendor's input that it is about; None for the base.
        facts: The values of the places in the sentence.
    """
    error_code, sentence = _sentence_of(code)
    if part_id is not None:
        sentence = sentence.replace(_VENDOR, f"part {{part!r}} of {_VENDOR}")
    message = sentence.format(vendor=vendor_id, part=part_id, **facts)
    return ReportEntry(error_code, message, vendor_id)


def _sentence_of(name: str) -> tuple[str, str]:
    """Return the code and the text of a sentence, by its name or its code.

    Raises:
        KeyError: The code has no sentence, because each cause has a message of its own.
    """
    if name in NAMED_SENTENCES:
        code, sentence = NAMED_SENTENCES[name]
        return str(code), sentence
    sentence = RUN_CODES[name].sentence
    if not sentence:
        raise KeyError(name)
    return str(name), sentence


def too_large(
    vendor_id: str,
    noun: str,
    size: int,
    limit: int,
    *,
    part_id: str | None = None,
) -> ReportEntry:
    """Return the fault of a vendor's feed or SKU map of too many bytes."""
    return fault_of(
        FailureCode.FEED_TOO_LARGE,
        vendor_id,
        part_id=part_id,
        noun=noun,
        size=size,
        limit=limit,
    )


def failure_of(
    faults: Sequence[ReportEntry], stage: Stage
) -> RunFailure | None:
    """Return the failure for some faults, or None if there are none.

    It has the code of the first fault, the vendors of all faults with that code, and
    all messages.
    """
    if not faults:
        return None
    code = faults[0].error_code
    vendor_ids: dict[str, None] = {}
    for fault in faults:
        if fault.error_code == code and fault.vendor_id:
            vendor_ids[fault.vendor_id] = None
    messages = [fault.error_message for fault in faults]
    message = listed(messages, " | ", len(messages))
    return RunFailure(
        code,
        message,
        stage,
        tuple(vendor_ids),
        of_catalog=isinstance(faults[0], CatalogFault),
    )


def of_catalog(fault: ReportEntry) -> CatalogFault:
    """Return a fault of the catalog, which was judged as a vendor, as its own."""
    catalog = f"vendor {fault.vendor_id!r}"
    message = fault.error_message.replace(catalog, "the catalog", 1)
    return CatalogFault(fault.error_code, message, fault.vendor_id)


def missing_catalog(vendor_id: str, location: str) -> CatalogFault:
    """Return the fault of a run whose catalog has no file."""
    fault = fault_of(
        FailureCode.MISSING_CATALOG,
        vendor_id,
        location=location,
    )
    return of_catalog(fault)


def no_earlier_catalog() -> CatalogFault:
    """Return the fault of a run that uses the rows of a run without a catalog."""
    return CatalogFault(
        str(FailureCode.MISSING_CATALOG),
        "missing catalog: the earlier run whose rows are used again had no catalog. Start "
        "a run of all assets, or remove catalog from the config.",
        CATALOG,
    )


def no_catalog_rows(total: int) -> CatalogFault:
    """Return the fault of a catalog without a valid row."""
    reason = "the file of the catalog has no row"
    fix = "Upload a file with rows below its header."
    if total:
        reason = "the only row of the catalog is not valid"
        if total > 1:
            reason = f"none of the {total} rows of the catalog is valid"
        fix = "Fix the rows listed in errors.json."
    return CatalogFault(
        str(FailureCode.NO_ROWS_PARSED),
        f"no rows parsed: {reason}. {fix}",
        CATALOG,
    )


def counted(count: int, noun: str) -> str:
    """Return a count of things: ``1 row``, ``2,000 rows``."""
    plural = "" if count == 1 else "s"
    return f"{count:,} {noun}{plural}"


def listed(items: Iterable[str], separator: str, count: int) -> str:
    """Return the first of ``count`` items as a text, with the number of the others."""
    first_items = list(islice(items, MAX_LISTED))
    if count > MAX_LISTED:
        first_items.append(f"and {count - MAX_LISTED} more")
    return separator.join(first_items)


def too_little_memory(megabytes: int, stage: Stage) -> RunFailure:
    """Return the failure of a run whose feeds need more memory than it may use."""
    return RunFailure(
        str(FailureCode.FEED_TOO_LARGE),
        f"feed too large: the run needs more memory than {megabytes} MiB, which is its limit. "
        "Upload smaller files with only the columns and rows that are needed.",
        stage,
    )


def out_of_time(seconds: float, stage: Stage) -> RunFailure:
    """Return the failure of a run that took too long."""
    return RunFailure(
        str(FailureCode.RUN_TIMEOUT),
        f"run timeout: the attempt was stopped after {seconds:g} seconds, which is the limit. "
        "Upload smaller files, or use fewer parser.timestamp_formats.",
        stage,
    )


def unreadable_feed(
    vendor_id: str,
    file_name: str,
    error: FeedUnreadableError,
    part_id: str | None = None,
) -> ReportEntry:
    """Return the entry of a file that cannot be used; a part's file names the part."""
    title = code_of(error.error_code).title
    part = "" if part_id is None else f", part {part_id!r}"
    message = f"{title}vendor {vendor_id!r}{part}, file {file_name!r}: {error}"
    return ReportEntry(str(error.error_code), message, vendor_id)


def no_rows(
    vendor_id: str | None,
    part_id: str | None = None,
) -> ReportEntry:
    """Return the entry of a feed, or of all feeds, without a row."""
    reason = "no file has a row"
    if vendor_id is not None:
        part = "" if part_id is None else f"part {part_id!r} of "
        reason = f"the file of {part}vendor {vendor_id!r} has no row"
    return fault_of(FailureCode.NO_ROWS_PARSED, vendor_id, reason=reason)


def part_left_out(failure: ReportEntry, part_id: str) -> ReportEntry:
    """Return the warning about a part that a vendor is used without."""
    return fault_of(
        WarningCode.PART_LEFT_OUT,
        failure.vendor_id,
        part_id=part_id,
        failure=failure,
    )


def no_vendors() -> ReportEntry:
    """Return the entry of a run whose config has no vendors."""
    return ReportEntry(
        str(FailureCode.NO_ROWS_PARSED),
        "no rows parsed: the config has no vendors. Add a vendor to the config.",
    )


def no_valid_rows(total: int) -> ReportEntry:
    """Return the entry of rows that are all rejected, although within the limits."""
    reason = "the only row is not valid"
    if total > 1:
        reason = f"none of the {total} rows is valid"
    return ReportEntry(
        str(FailureCode.NO_ROWS_PARSED),
        f"no rows parsed: {reason}. Fix the rows listed in errors.json.",
    )


def nothing_priced(skus: int, free: int, unmatched: int) -> ReportEntry:
    """Return the entry of a run without a priced SKU.

    ``free`` of the ``skus`` have a price of 0.00; the others have no amount.
    ``unmatched`` is the number of rows that are taken out, because nothing matches them.
    """
    reason = f"none of the {skus} SKUs can be priced"
    if not skus and unmatched:
        rows = f"the {unmatched} rows that match nothing"
        if unmatched == 1:
            rows = "the row that matches nothing"
        reason = f"no offer is left without {rows}"
        fix = (
            "Check that the files have the same SKUs or other keys, or keep "
            "unmatched rows."
        )
    elif not skus:
        reason = "price rules or overrides leave out every offer"
        fix = (
            "Narrow when in pricing.rules, or remove overrides with leave_out."
        )
    elif not free:
        fix = "Map a cost or a price column."
    elif free < skus:
        fix = "Map a cost or a price column, or set pricing.min_price."
    else:
        fix = "Set pricing.min_price."
    message = (
        f"empty output: {reason}, and an empty feed is never published. {fix}"
    )
    return ReportEntry(str(FailureCode.EMPTY_OUTPUT), message)


def next_action(failure: RunFailure) -> str:
    """Return the next action for a failure as a sentence that names the vendors."""
    code = code_of(failure.error_code)
    if failure.attempt_code == INVALID_CONFIG:
        action = RUN_CODES[INVALID_CONFIG].next_action
    elif failure.remedy:
        action = f"Fix the most frequent cause, {failure.remedy}"
    elif code.failure_class is FailureClass.PLATFORM:
        return code.next_action
    else:
        template = code.next_action or "Follow error_message"
        if _names_other_kind(failure):
            template = _ACTION_FOR_OTHER_KIND
        action = template.format(vendors=_at_fault(failure))
    return f"{action}, then start a new run."


def _names_other_kind(failure: RunFailure) -> bool:
    """Return whether a failure's message names another kind of file than configured."""
    kind_tells = code_of(failure.error_code).kind_tells
    return kind_tells and bool(_OTHER_KIND.search(failure.error_message))


def _at_fault(failure: RunFailure) -> str:
    """Return the catalog or the vendors that caused a failure."""
    return (
        "the catalog"
        if failure.of_catalog
        else _vendors_in_words(failure.vendors)
    )


def _vendors_in_words(vendor_ids: Sequence[str]) -> str:
    if not vendor_ids:
        return "the vendors"
    noun = "vendor" if len(vendor_ids) == 1 else "vendors"
    names = listed(vendor_ids, ", ", len(vendor_ids))
    return f"{noun} {names}"
