"""What a check says about columns of GTINs."""

from __future__ import annotations

from relay_core.products.gtin_notes import gtin_notes

GTINS = [
    "4006381333931",
    "614141000036",
    "73513537",
    "10614141000033",
    "4006381333948",
]


def notes(
    cells: list[str], header: str = "EAN code", **options: object
) -> list[str]:
    gtin_column = options.get("gtin_column")
    mapped = options.get("mapped", ())
    return list(gtin_notes({header: cells}, gtin_column, mapped))  # type: ignore[arg-type]


def test_a_column_of_gtins_is_proposed() -> None:
    cells = GTINS * 4
    assert notes([*cells[:19], "n/a"]) == [
        '95% of the cells of "EAN code" are GTINs with a right check digit. To find '
        "products by it, add gtin to extra_columns, set gtin_column: gtin, and map "
        'gtin: "EAN code" in parser.column_map.'
    ]
    assert notes([*cells[:18], "n/a", "n/a"]) == []
    assert notes(GTINS[:4]) == []


def test_a_config_that_has_the_column_maps_it() -> None:
    assert notes(GTINS, gtin_column="ean") == [
        '100% of the cells of "EAN code" are GTINs with a right check digit. To find '
        'products by it, map ean: "EAN code" in parser.column_map.'
    ]
    assert notes(GTINS, gtin_column="ean", mapped=("EAN code",)) == []


def test_numbers_that_are_no_gtins_are_not_proposed() -> None:
    assert (
        notes([str(number) for number in range(10_000_000, 10_000_100)]) == []
    )


def test_cells_that_lost_zeros_are_told() -> None:
    cells = [*GTINS, "36000291452"]
    assert notes(cells, gtin_column="ean", mapped=("EAN code",)) == [
        '1 cell of "EAN code" lost zeros in front, for example "36000291452". A '
        "run rejects them unless the file stores them as numbers. Ask for a file with "
        "the column as text."
    ]


def test_cells_in_exponent_are_lost_for_good() -> None:
    expected = (
        'A spreadsheet rounded 2 cells of "EAN code", for example "4.00638E+12". These '
        "digits are lost for good. Ask for a new export with the column as text."
    )
    cells = ["4.00638E+12", "6,14141E+11"]
    assert notes([*cells, *GTINS]) == [expected]
    assert notes(cells) == [expected]
    assert notes(cells, header="Weight") == []


def test_a_shops_own_numbers_are_told() -> None:
    assert notes([*GTINS, "2000000000015"])[1:] == [
        'A shop made up the numbers in 1 cell of "EAN code", for example '
        '"2000000000015". These numbers match no product.'
    ]
