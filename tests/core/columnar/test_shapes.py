"""Shapes of texts."""

from __future__ import annotations

import pyarrow as pa
import pytest

from relay_core.columnar.text import shapes_of

SHAPES = {
    "": "",
    "12,50": "9,9",
    "1.234,50 USD": "9.9,9 A",
    "N/A": "A/A",
    "2024-01-02T03:04:05Z": "9-9-9A9:9:9A",
    "AB12cd": "A9A",
    "---": "-",
    "a  \t b": "A A",
    "€ 4": "€ 9",
    "€€": "€€",
    "été": "A",
    "ausverkauft größer": "A A",
    "有货 5": "A 9",
    "e\u0301te\u0301": "A",
    "₂₂": "₂₂",
    "١٢": "١٢",
}


@pytest.mark.parametrize(("text", "shape"), SHAPES.items())
def test_digits_are_one_9_letters_one_a_and_all_else_stands(
    text: str, shape: str
) -> None:
    assert shapes_of(pa.array([text])).to_pylist() == [shape]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_texts_beside_each_other_do_not_run_together(kind: pa.DataType) -> None:
    texts = pa.array(["x", "", *SHAPES, "", "", "12", "34"], kind)
    shapes = shapes_of(texts.slice(1))
    assert shapes.to_pylist() == ["", *SHAPES.values(), "", "", "9", "9"]
    shapes.validate(full=True)


def test_no_texts_have_no_shapes() -> None:
    assert shapes_of(pa.array([], pa.string())).to_pylist() == []
