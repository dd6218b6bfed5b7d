"""changes.csv and its numbers: by example, and byte for byte against a plain reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from reference_changes import HEADER, greatest_moves, reference_changes
from relay_core.config import load_config
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.changes import Changes, PriceMove
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.state import Baseline, read_state
from relay_core.run_stages import RunStages
from relay_core.validation.vendor_failures import VendorInput
from support.builders import (
    REQUESTED_AT,
    config_document,
    feed,
    run_context,
    vendor_document,
)
from support.memory_sink import MemorySink

KEYS = ArtifactKeys("", "")
PUBLISHED = "the-published-run"
VENDORS = (
    vendor_document("v1", required=False),
    vendor_document("v2", required=False),
)
COLUMNS = {"columns": ["sku", "vendor_id", "quantity_available", "price"]}


@dataclass
class Run(MemorySink):
    """A run through the engine: its files, and what it has found out."""

    findings: RunFindings = field(default_factory=RunFindings)

    @property
    def feed(self) -> bytes:
        return self.files[KEYS.merged_inventory("csv")]

    @property
    def changes(self) -> Changes:
        assert self.findings.changes is not None
        return self.findings.changes

    @property
    def baseline(self) -> Baseline:
        return read_state(self.files[KEYS.state], keeps_rows=True)


def run(
    baseline: Baseline | None = None, changes: Any = None, **feeds: bytes
) -> Run:
    """Merge feeds; every price is its cost."""
    forgiving = {"max_invalid_rows": 1_000_000, "max_invalid_row_pct": "1.0"}
    options = {"output": COLUMNS, "error_policy": forgiving, **(changes or {})}
    config = load_config(config_document(*VENDORS, **options))
    result = Run()
    stages = RunStages(
        config,
        config.vendors,
        REQUESTED_AT,
        KEYS,
        result,
        baseline=baseline,
    )
    values = stages.go_through(
        {name: VendorInput.of_one(len(data)) for name, data in feeds.items()},
        lambda inputs: (
            VendorFeed.of_one(config.vendor(name), feeds[name], "f.csv")
            for name in inputs.to_read()
        ),
    )
    result.findings = stages.findings(values)
    if values.merged is not None:
        assert values.compared is not None
        assert values.normalized is not None
        ctx = replace(run_context(), run_id=PUBLISHED)
        stages.write_state(KEYS.state, values.compared, values.normalized, ctx)
    return result


def both(before: Iterable[str], after: Iterable[str], **changes: Any) -> Run:
    """Run one vendor's records against those of the published feed."""
    return run(run(v1=feed(*before)).baseline, changes, v1=feed(*after))


GUARDS_OFF = {"guards": {"mode": "off"}}


def test_each_kind_of_change_is_a_line_and_what_is_the_same_is_none() -> None:
    before = run(
        v1=feed("GONE,1,2", "MORE,1,2", "SAME,1,2", "DEAR,1,2", "OTHER,1,2")
    )
    after = run(
        before.baseline,
        v1=feed("MORE,7,2", "SAME,1,2", "DEAR,1,2.01", '"NEW, ""5""",0,3'),
        v2=feed("OTHER,1,2"),
    )
    assert after.files[KEYS.changes].decode().splitlines() == [
        HEADER,
        "DEAR,changed,v1,v1,1,1,2.00,2.01",
        "GONE,removed,v1,,1,,2.00,",
        "MORE,changed,v1,v1,1,7,2.00,2.00",
        '"NEW, ""5""",added,,v1,,0,,3.00',
        "OTHER,changed,v1,v2,1,1,2.00,2.00",
    ]
    assert after.changes.as_dict() == {
        "baseline_run_id": PUBLISHED,
        "added": 1,
        "removed": 1,
        "changed": 3,
        "unchanged": 1,
        "price_up": 1,
        "price_down": 0,
        "came_in_stock": 0,
        "went_out_of_stock": 0,
        "vendor_changed": 1,
    }


def test_a_sku_counts_in_each_number_that_applies() -> None:
    before = run(v1=feed("A,0,2", "B,3,2"))
    after = run(before.baseline, v1=feed("B,0,1.99"), v2=feed("A,1,3"))
    counts = {
        name: count for name, count in after.changes.counts.items() if count
    }
    assert counts == {
        "changed": 2,
        "price_up": 1,
        "price_down": 1,
        "came_in_stock": 1,
        "went_out_of_stock": 1,
        "vendor_changed": 1,
    }


def test_a_feed_that_changes_nothing_has_a_header_alone() -> None:
    same = both(["A,1,2"], ["A,1,2.001"])
    assert same.files[KEYS.changes] == f"{HEADER}\n".encode()
    assert same.changes.counts["unchanged"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        GUARDS_OFF,
        {"guards": {"min_baseline_skus": 100}},
        {"guards": {"mode": "warn"}},
    ],
    ids=["guards off", "too few SKUs to judge", "guards only warn"],
)
def test_changes_are_told_whatever_the_guards_do(
    changes: dict[str, Any],
) -> None:
    assert both(["A,1,2"], ["B,1,2"], **changes).changes.counts["removed"] == 1


def test_a_held_feed_tells_its_changes_too() -> None:
    held = both([f"A{n:02},1,2" for n in range(20)], ["A00,1,2"])
    assert held.findings.is_held
    assert held.changes.counts["removed"] == 19
    assert held.files[KEYS.changes].count(b"removed") == 19


def test_without_a_feed_to_compare_with_nothing_is_told() -> None:
    alone = run(v1=feed("A,1,2"))
    assert alone.findings.changes is None
    assert KEYS.changes not in alone.files


def test_a_feed_in_another_currency_is_none_to_compare_with() -> None:
    run_in_euros = both(["A,1,2"], ["A,1,3"], default_currency="EUR")
    assert run_in_euros.findings.changes is None
    assert KEYS.changes not in run_in_euros.files


def test_a_run_without_a_feed_changes_nothing() -> None:
    failed = both(["A,1,2"], ["A,many,2"])
    assert failed.findings.failure is not None
    assert failed.findings.changes is None


def test_skus_that_are_only_kept_at_0_are_skus_of_the_published_feed() -> None:
    baseline = run(v1=feed("A,0,2", "B,0,2")).baseline
    figures = replace(baseline.figures, kept=baseline.figures.quantities == 0)
    after = run(replace(baseline, figures=figures), v1=feed("A,4,2"))
    assert (
        after.changes.counts["came_in_stock"],
        after.changes.counts["removed"],
    ) == (
        1,
        1,
    )


def test_the_greatest_moves_are_those_of_the_greatest_share_the_first_by_sku_of_equal_ones() -> (
    None
):
    before = ["A,1,100", "B,1,1", "C,1,1", "D,1,10", "E,1,10", "F,1,3", "G,1,5"]
    after = ["A,1,150", "B,1,2", "C,1,2", "D,1,5", "E,1,9.99", "F,1,3", "H,1,5"]
    up, down = both(before, after).changes.greatest_moves(2)
    assert up == [
        PriceMove("B", "1.00", "2.00", "1.0000"),
        PriceMove("C", "1.00", "2.00", "1.0000"),
    ]
    assert down == [
        PriceMove("D", "10.00", "5.00", "-0.5000"),
        PriceMove("E", "10.00", "9.99", "-0.0010"),
    ]
    assert both(before, before).changes.greatest_moves(2) == ([], [])


def test_a_move_of_prices_that_whole_numbers_of_64_bits_do_not_hold_is_exact() -> (
    None
):
    pricing = {"pricing": {"base_margin_pct": "100"}}
    up, _ = both(
        ["A,1,0.01"], ["A,1,999999999.99"], **pricing
    ).changes.greatest_moves(1)
    assert [move.after for move in up] == ["100999999998.99"]
    assert up[0].share == "10099999999898.0000"


# --- a plain reference --------------------------------------------------------------------------

WORDS = ("a", "B", "é", "😀", '"', ",", "\n", "\r", " x", "0", "Z" * 9, "\0")


def catalogue(rng: Random, count: int) -> list[str]:
    skus = {
        "".join(rng.choices(WORDS, k=rng.randint(1, 4))).strip()
        for _ in range(count)
    }
    return sorted(skus - {""})


def records(rng: Random, skus: list[str]) -> list[str]:
    quoted = (
        '"{}"'.format(sku.replace('"', '""'))
        for sku in rng.sample(skus, len(skus) * 2 // 3)
    )
    return [
        f"{sku},{rng.randint(0, 2)},{rng.choice(('', '0', '1', '1.005', '2'))}"
        for sku in quoted
    ]


@pytest.mark.parametrize("seed", range(25))
def test_changes_agree_with_a_plain_reading_of_both_feeds(seed: int) -> None:
    rng = Random(seed)
    skus = catalogue(rng, rng.choice((3, 40, 400)))
    before, after = (
        {name: feed("priced,1,1", *records(rng, skus)) for name in ("v1", "v2")}
        for _ in range(2)
    )
    first = run(**before)
    second = run(first.baseline, **after)
    expected, counts = reference_changes(first.feed, second.feed)
    assert second.files[KEYS.changes] == expected
    assert dict(second.changes.counts) == counts
    assert list(second.changes.counts) == list(counts)
    moved = second.changes.greatest_moves(7)
    assert greatest_moves(first.feed, second.feed, 7) == tuple(
        [f"{move.sku} {move.share}" for move in moves] for moves in moved
    )


def test_changes_of_more_skus_than_a_range_and_a_slice_have_agree_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for size in (
        "merge.best_offer.RANGE_ROWS",
        "validation.comparison._RANGE_ROWS",
    ):
        monkeypatch.setattr(f"relay_core.{size}", 1 << 10)
    monkeypatch.setattr("relay_core.publish.changes._SLICE_ROWS", 1 << 9)
    rng = Random(1)
    before, after = (
        feed(
            *(
                f"S{n:06},{rng.randint(0, 1)},{rng.randint(1, 3)}"
                for n in range(start, 6_000, 2)
            )
        )
        for start in (0, 3_001)
    )
    mixed = feed(*(f"S{n:06},1,2" for n in range(2_000, 4_000)))
    first = run(v1=before, v2=mixed)
    second = run(first.baseline, v1=after, v2=mixed)
    assert (
        second.files[KEYS.changes]
        == reference_changes(first.feed, second.feed)[0]
    )
