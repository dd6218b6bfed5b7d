"""Check the lists in `tests/data/check_lists`, and print how many proposals are right.

Each list is checked with a config that only names its vendor. The proposal is applied as it
is, and every SKU's price is compared with `expected.json`. A list that no settings can read
has to be refused with the right reason. The exit status is 0 if every list is right.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay_core.config import TenantConfig, load_config
from relay_core.domain.errors import FeedUnreadableError
from relay_core.normalize.result import NormalizedVendor
from relay_core.onboarding import dry_run
from relay_core.onboarding.check_results import Certainty, FeedCheck
from relay_core.onboarding.feed_check import check_feed, with_rows
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.findings import sentences_of

LISTS = (
    Path(__file__).resolve().parent.parent / "tests" / "data" / "check_lists"
)
"""The lists, with their expected results."""
RIGHT = "right as proposed, or clearly refused"
ASKED = "asked, or not proposed"
WRONG = "wrong and unsaid"


@dataclass(frozen=True)
class Result:
    """The result of the check of one list.

    Attributes:
        name: The name of the file.
        verdict: `RIGHT`, `ASKED`, or `WRONG`.
        reason: The difference from the expected result; empty if there is none.
        cpu_seconds: The processor time of the check.
    """

    name: str
    verdict: str
    reason: str
    cpu_seconds: float


def main() -> int:
    """Check all lists, print the figures, and return the exit status."""
    results = [checked(name) for name in expectations()]
    for result in results:
        if result.verdict != RIGHT:
            print(f"{result.name}: {result.verdict}: {result.reason}")
    for verdict in (RIGHT, ASKED, WRONG):
        count = sum(result.verdict == verdict for result in results)
        print(f"{verdict:<40} {count:>4} of {len(results)}")
    median = statistics.median(result.cpu_seconds for result in results)
    print(f"{'CPU of a check, median':<40} {median:>6.3f} s")
    return 0 if all(result.verdict == RIGHT for result in results) else 1


def expectations() -> Mapping[str, Mapping[str, Any]]:
    """Return the expected result of each list, by the name of its file."""
    text = (LISTS / "expected.json").read_text("utf-8")
    expected: Mapping[str, Mapping[str, Any]] = json.loads(text)
    return expected


def checked(name: str) -> Result:
    """Return the result of the check of a list."""
    expected = expectations()[name]
    upload = FeedSample((LISTS / name).read_bytes(), is_whole=True)
    config = bare_config()
    vendor = config.vendors[0]
    started = time.process_time()
    check: FeedCheck | str
    try:
        check = check_feed(upload, vendor.parser, config)
        check = with_rows(check, upload, vendor, config)
    except FeedUnreadableError as error:
        check = str(error)
    cpu_seconds = time.process_time() - started
    if "refused" in expected:
        verdict, reason = _judge_refusal(check, expected["refused"])
    else:
        verdict, reason = _judge_proposal(check, upload, config, expected)
    return Result(name, verdict, reason, cpu_seconds)


def bare_config(**parser: Any) -> TenantConfig:
    """Return a config that says nothing about its vendor's file but some options."""
    document = {
        "schema_version": 1,
        "tenant_id": "corpus",
        "timezone": "UTC",
        "default_currency": "USD",
        "vendors": [
            {
                "vendor_id": "vendor",
                "inbound": {"type": "local"},
                "parser": {"format": "csv", **parser},
            }
        ],
        "pricing": {
            "base_margin_pct": "0.20",
            "min_price": "0.01",
            "shipping_handling_flat": 0,
        },
        "merge": {"strategy": "best_offer"},
        "output": {"columns": ["sku", "quantity_available", "cost", "price"]},
    }
    return load_config(document)


def prices_read(
    check: FeedCheck, upload: FeedSample, config: TenantConfig
) -> tuple[dict[str, str | None], NormalizedVendor | None]:
    """Return the cost of each SKU with the proposed parser, and the vendor's rows."""
    vendor = config.vendors[0].model_copy(update={"parser": check.parser})
    proposed = config.model_copy(update={"vendors": (vendor,)})
    whole_upload = FeedSample(upload.data, is_whole=True, rows=0)
    reading, rows = dry_run.read_vendor(
        whole_upload, check.parser, proposed, vendor
    )
    if rows is None or not reading.is_usable:
        return {}, None
    offers = rows.offers.table(["sku", "cost"])
    skus = offers["sku"].to_pylist()
    costs = offers["cost"].to_pylist()
    return {
        sku: None if cost is None else f"{cost:.4f}"
        for sku, cost in zip(skus, costs, strict=True)
    }, rows


def _judge_refusal(check: FeedCheck | str, words: str) -> tuple[str, str]:
    """Return the verdict on a list that no settings can read, and the reason."""
    if isinstance(check, str):
        told = check
    else:
        reading = check.with_changes
        if reading is not None and "cost" in reading.columns:
            return WRONG, "settings are proposed"
        told = " ".join(sentences_of(check))
    if words.casefold() not in told.casefold():
        return ASKED, f"the reason does not name {words!r}: {told}"
    return RIGHT, ""


def _judge_proposal(
    check: FeedCheck | str,
    upload: FeedSample,
    config: TenantConfig,
    expected: Mapping[str, Any],
) -> tuple[str, str]:
    """Return the verdict on the proposal for a list, and the reason."""
    if isinstance(check, str):
        return ASKED, check
    if check.unknown or not check.changes:
        return ASKED, " ".join(sentences_of(check))
    prices, rows = prices_read(check, upload, config)
    if rows is None:
        return ASKED, " ".join(sentences_of(check))
    differences = [*_differences(prices, rows, expected)]
    if differences:
        return WRONG, "; ".join(differences)
    doubtful_options = {
        guess.option
        for guess in check.guesses
        if guess.certainty != Certainty.CERTAIN
    }
    missing_doubts = {*expected.get("doubts", ())} - doubtful_options
    if missing_doubts:
        return WRONG, f"no doubt about {', '.join(sorted(missing_doubts))}"
    return RIGHT, ""


def _differences(
    prices: Mapping[str, str | None],
    rows: NormalizedVendor,
    expected: Mapping[str, Any],
) -> Iterator[str]:
    """Yield the differences between a proposal's rows and the right ones."""
    right_prices: Mapping[str, str | None] = expected["prices"]
    for sku in _first({*right_prices, *prices}, right_prices, prices):
        yield f"{sku}: {prices.get(sku)}, not {right_prices.get(sku)}"
    if rows.invalid_rows != expected["rejected"]:
        yield f"{rows.invalid_rows} rows are rejected, not {expected['rejected']}"
    offers = rows.offers.table(["sku", "quantity_available"])
    quantities = dict(
        zip(
            offers["sku"].to_pylist(),
            offers["quantity_available"].to_pylist(),
            strict=True,
        )
    )
    right_quantities = expected.get("quantities", quantities)
    for sku in _first({*quantities}, right_quantities, quantities):
        yield f"{sku}: quantity {quantities[sku]}"


def _first(
    skus: set[str], right: Mapping[str, Any], actual: Mapping[str, Any]
) -> Sequence[str]:
    """Return the first three SKUs whose values differ."""
    differing = [
        sku
        for sku in sorted(skus)
        if sku not in right or sku not in actual or right[sku] != actual[sku]
    ]
    return differing[:3]


if __name__ == "__main__":
    sys.exit(main())
