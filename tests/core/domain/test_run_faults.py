"""Messages of a run's faults, for one thing and for several."""

from __future__ import annotations

from relay_core.domain import run_faults


def test_one_thing_is_counted_without_a_plural() -> None:
    counts = [run_faults.counted(count, "SKU") for count in (0, 1, 2, 1_000)]
    assert counts == ["0 SKUs", "1 SKU", "2 SKUs", "1,000 SKUs"]


def test_a_run_without_a_valid_row_tells_one_row_from_several() -> None:
    messages = [
        run_faults.no_valid_rows(total).error_message for total in (1, 2)
    ]
    assert messages == [
        "no rows parsed: the only row is not valid. Fix the rows listed in errors.json.",
        "no rows parsed: none of the 2 rows is valid. Fix the rows listed in errors.json.",
    ]


def test_a_catalog_without_a_valid_row_tells_one_row_from_several() -> None:
    messages = [
        run_faults.no_catalog_rows(total).error_message for total in (0, 1, 2)
    ]
    fix = "Fix the rows listed in errors.json."
    assert messages == [
        "no rows parsed: the file of the catalog has no row. "
        "Upload a file with rows below its header.",
        f"no rows parsed: the only row of the catalog is not valid. {fix}",
        f"no rows parsed: none of the 2 rows of the catalog is valid. {fix}",
    ]
