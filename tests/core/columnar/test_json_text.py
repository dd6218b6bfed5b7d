"""Texts that are written by columns have the bytes that the encoder would give them."""

from __future__ import annotations

import json

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from relay_core.columnar.json_text import json_texts

ODD = st.text(
    st.one_of(
        st.sampled_from(
            "\"'\\/ab \t\n\r\x00\x1b\x1f\x7f\x80é\u2028\ufeff\U0001f600"
        ),
        st.characters(codec="utf-8"),
    ),
    max_size=6,
)


@given(st.lists(ODD, max_size=6), st.integers(0, 2))
@example(["it's", 'said "no"', "both ' and \"", "back\\slash", "plain"], 0)
def test_texts_are_shown_as_json_shows_them(
    texts: list[str], skipped: int
) -> None:
    column = pa.array(texts, pa.large_string())[skipped:]

    assert json_texts(column).to_pylist() == [
        json.dumps(text, ensure_ascii=False) for text in texts[skipped:]
    ]
