"""Drafts of vendors: a file, its check, and the parser that the check proposes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay_core.config import TenantConfig, load_config
from relay_core.config.reading.json_patch import apply_patch, parser_patch
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import too_large
from relay_core.mapped_files import InputFile
from relay_core.onboarding.check_results import Candidate, FeedCheck
from relay_core.onboarding.feed_check import check_file
from relay_core.onboarding.header_rows import SYMBOL
from relay_core.onboarding.number_guess import currency_of
from relay_core.samples.starter import starter_config

_MAX_ID = 64
_UNNAMED = "vendor"
_AMOUNTS = ("cost", "price")
_SYMBOLS = re.compile(rf"(?<![A-Za-z]){SYMBOL}(?![A-Za-z])")
_NO_ID_CHARACTERS = re.compile("[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class VendorDraft:
    """A vendor of the new config.

    Attributes:
        vendor_id: The vendor's ID, made of the file's name.
        file: The file.
        path: The path of the file from the config's folder, or None without one.
        result: The check of the file, or the message that says why it cannot be checked.
        parser: The options of the parser, as the config has them.
        is_chosen: Whether a person chose the header of the SKU. It is None if the check
            has proposed the header, and False if it is only the likeliest one.
    """

    vendor_id: str
    file: InputFile
    path: str | None
    result: FeedCheck | str
    parser: dict[str, Any]
    is_chosen: bool | None = None

    @property
    def check(self) -> FeedCheck | None:
        """The check, or None if the file cannot be checked."""
        return None if isinstance(self.result, str) else self.result

    @property
    def is_refused(self) -> bool:
        """True if the check proposes no settings, and a run should not use the file."""
        return isinstance(self.result, str) or bool(self.result.faults)

    @property
    def row_count(self) -> int:
        """The number of rows that the check has read."""
        return 0 if self.check is None else self.check.best.rows

    @property
    def currencies(self) -> Sequence[str]:
        """The currencies that the amounts name, or else those that their headers name."""
        check = self.check
        if check is None:
            return ()
        if check.currencies:
            return sorted(check.currencies)
        column_map = self.parser.get("column_map", {})
        currencies: dict[str, None] = {}
        for column in _AMOUNTS:
            header = column_map.get(column, "")
            for symbol in _SYMBOLS.findall(str(header)):
                currency = currency_of(symbol)
                if currency is not None:
                    currencies[currency] = None
        return list(currencies)

    @property
    def sku_header(self) -> str | None:
        """The header of the SKU, or None if the parser reads none."""
        column_map = self.parser.get("column_map", {})
        if "sku" in column_map:
            return str(column_map["sku"])
        check = self.check
        is_named = check is not None and "sku" in check.best.headers
        return "sku" if is_named else None

    @property
    def sku_candidates(self) -> Sequence[Candidate]:
        """The headers that the SKU may have, the likeliest first."""
        check = self.check
        if check is None or check.faults:
            return ()
        candidates = [
            candidate
            for guess in check.guesses
            if guess.option == "column_map.sku"
            for candidate in guess.candidates
        ]
        candidates += check.unknown.get("sku", ())
        if not candidates:
            candidates = [
                Candidate(missing.nearest, 0.0)
                for missing in check.best.missing
                if missing.column == "sku" and missing.nearest is not None
            ]
        first_header = self.sku_header
        if first_header is None:
            return candidates
        others = [
            candidate
            for candidate in candidates
            if candidate.header != first_header
        ]
        first_candidate = next(
            (
                candidate
                for candidate in candidates
                if candidate.header == first_header
            ),
            Candidate(first_header, 1.0, _samples(check)),
        )
        return [first_candidate, *others]


def _samples(check: FeedCheck) -> tuple[str, ...]:
    """Return the cells that the check shows for the header of the SKU."""
    for guess in check.guesses:
        if guess.option == "column_map.sku":
            return guess.samples
    return ()


def vendor_ids(file_names: Iterable[str]) -> list[str]:
    """Return an ID for each file: its name up to the first period.

    Other characters than an ID's become `_`. The second file with an ID gets `_2`.
    """
    ids: list[str] = []
    for name in file_names:
        stem = _NO_ID_CHARACTERS.sub("_", name.partition(".")[0])
        # An ID begins with a letter or a digit.
        base_id = stem.lstrip("_-")[:_MAX_ID] or _UNNAMED
        vendor_id = base_id
        number = 1
        while vendor_id in ids:
            number += 1
            suffix = f"_{number}"
            vendor_id = base_id[: _MAX_ID - len(suffix)] + suffix
        ids.append(vendor_id)
    return ids


def draft_of(
    vendor_id: str,
    file: InputFile,
    path: str | None,
    limits: Limits,
) -> VendorDraft:
    """Return the draft of a vendor: its file is checked, as `--check` does it.

    Args:
        vendor_id: The ID of the vendor.
        file: The vendor's file.
        path: The path of the file from the config's folder, or None without one.
        limits: The limits of feeds.
    """
    document = vendor_document(vendor_id, {"format": "csv"})
    config_document = {**starter_config(), "vendors": [document]}
    config = load_config(config_document)
    result = _checked(config, file, limits)
    parser: dict[str, Any] = document["parser"]
    if not isinstance(result, str):
        patch = parser_patch(config_document, {("vendors", 0): result.changes})
        (patched_vendor,) = apply_patch(config_document, patch)["vendors"]
        parser = patched_vendor["parser"]
    draft = VendorDraft(vendor_id, file, path, result, parser)
    if draft.sku_header is None and draft.sku_candidates:
        likeliest = draft.sku_candidates[0].header
        return with_sku(draft, likeliest, is_chosen=False)
    return draft


def with_sku(
    draft: VendorDraft,
    header: str,
    *,
    is_chosen: bool = True,
) -> VendorDraft:
    """Return a draft with another header of the SKU, and the reading of its file with it.

    Raises:
        ValueError: The draft's file cannot be checked.
    """
    check = draft.check
    if check is None:
        raise ValueError(f"{draft.file.name} has no headers to choose from.")
    column_map = {**draft.parser.get("column_map", {}), "sku": header}
    parser = {**draft.parser, "column_map": column_map}
    document = vendor_document(draft.vendor_id, parser)
    config = load_config({**starter_config(), "vendors": [document]})
    (vendor,) = config.vendors
    new_check = check_file(draft.file.data, vendor, config)
    unknown = {
        column: candidates
        for column, candidates in check.unknown.items()
        if column != "sku"
    }
    # The guesses are those of the first check: this parser has no options to guess.
    result = replace(
        check,
        with_changes=new_check.as_sent,
        unknown=unknown,
        doubts=new_check.doubts,
        has_amounts=new_check.has_amounts,
    )
    return replace(draft, result=result, parser=parser, is_chosen=is_chosen)


def vendor_document(
    vendor_id: str,
    parser: dict[str, Any],
    path: str | None = None,
) -> dict[str, Any]:
    """Return a vendor's entry of a config; without a path, a command names its file."""
    inbound = {"type": "local"}
    if path is not None:
        inbound["path"] = path
    return {"vendor_id": vendor_id, "inbound": inbound, "parser": parser}


def _checked(
    config: TenantConfig,
    file: InputFile,
    limits: Limits,
) -> FeedCheck | str:
    """Return the check of a file, or the message that says why it cannot be checked."""
    (vendor,) = config.vendors
    size = len(file.data)
    if size > limits.feed_bytes:
        error = too_large(vendor.vendor_id, "feed", size, limits.feed_bytes)
        return error.error_message
    try:
        return check_file(file.data, vendor, config)
    except FeedUnreadableError as error:
        return str(error)
