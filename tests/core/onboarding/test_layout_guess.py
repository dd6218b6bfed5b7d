"""A text without a header is told from one whose headers are not known."""

from __future__ import annotations

import pytest

from relay_core.onboarding.layout_guess import Layout, guess_layout
from support.builders import tenant_config, vendor_document


def layout_of(text: str, **parser: object) -> Layout:
    options = tenant_config(vendor_document(parser=parser)).vendors[0].parser
    return guess_layout(text, options, is_whole=True)


@pytest.mark.parametrize(
    ("text", "is_without"),
    [
        ("A-1,1,2.50\nB-2,5,3\n", True),
        ("7;$ 4,588.85 ;2022-08-28 00:00\n8;$485.00 ;2022-08-29 00:00\n", True),
        ("A;;1\nB;2;3\n", True),
        ("foo,bar,baz\nA-1,1,2.50\nB-2,5,3\n", False),
        ("2025,2026\n1,2\nsku,qty\n", False),
        ("Part,2025,2026\nA,1,2\nB,3,4\n", False),
        ("bolt,steel\nnut,brass\n", False),
        ("A-1,1,2.50\n", False),
        (",1\n,2\n", True),
    ],
)
def test_the_columns_of_a_text_without_a_header_are_numbered(
    text: str, is_without: bool
) -> None:
    columns = layout_of(text).columns
    assert (columns is not None) == is_without
    assert columns is None or columns[:2] == ("column 1", "column 2")


def test_lines_before_the_first_row_are_skipped_without_a_header_too() -> None:
    layout = layout_of("ACME prices\n\nA;1;2,50\nB;5;3,00\n")
    assert layout == Layout(";", 2, ("column 1", "column 2", "column 3"))


def test_columns_that_the_config_names_stay() -> None:
    layout = layout_of("A,1\nB,2\n", columns=["sku", "quantity_available"])
    assert layout == Layout(",", 0, ("sku", "quantity_available"))
