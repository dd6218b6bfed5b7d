"""SKU maps: which row counts, and look-ups held against a dict."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay_core.ingest.sku_map import SkuMap, read_sku_map
from support.builders import feed

LONG = "x" * 64
TEXTS = st.one_of(
    st.sampled_from(
        [
            "a",
            "a\x00",
            "ab",
            "\u00e4",
            "12345678",
            "123456789",
            LONG + "1",
            LONG + "2",
        ]
    ),
    st.text(
        st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]),
        min_size=1,
    ),
).filter(lambda text: text == text.strip() != "")


def read(*records: str, header: str = "vendor_sku,sku") -> dict[str, str]:
    sku_map = read_sku_map(feed(*records, header=header))
    return {} if sku_map is None else as_dict(sku_map)


def as_dict(sku_map: SkuMap) -> dict[str, str]:
    keys = sku_map.vendor_skus.to_pylist()
    values = sku_map.skus.to_pylist()
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, values, strict=True))


@pytest.mark.parametrize("same_hash", [False, True])
def test_the_last_row_of_a_vendor_sku_counts(same_hash: bool) -> None:
    same_hash_rows = [f"{LONG}1,P", f"{LONG}2,Q"] if same_hash else []

    assert read("a,1", *same_hash_rows, "b,2", " a , 3 ")["a"] == "3"


def test_rows_that_lack_a_value_are_left_out() -> None:
    assert read("a,", ",1", '" ",2', "", "b") == {}


def test_rows_of_too_many_or_too_few_fields_count_in_their_order_where_they_have_both_values() -> (
    None
):
    read_map = read(
        "a,1,x",
        "a,2,x,y",
        "b,3",
        "b,4,x",
        "c,5,x",
        "c",
        header="vendor_sku,sku,note",
    )

    assert read_map == {"a": "2", "b": "4", "c": "5"}


@given(
    st.lists(st.tuples(TEXTS, TEXTS), max_size=12),
    st.lists(st.one_of(st.just(""), TEXTS), min_size=1, max_size=12),
)
@example(
    [(LONG + "1", "P"), (LONG + "2", "Q")], [LONG + "2", LONG + "3", LONG + "1"]
)
def test_cells_become_what_a_dict_says(
    pairs: list[tuple[str, str]], cells: list[str]
) -> None:
    mapping = dict(pairs)
    cells += [pair[0] for pair in pairs]
    sku_map = read_sku_map(written(pairs))
    if sku_map is None:
        assert not mapping
        return

    text, mapped = sku_map.apply(pa.array(["before", *cells]).slice(1))

    assert as_dict(sku_map) == mapping
    assert text.to_pylist() == [mapping.get(cell, cell) for cell in cells]
    assert mapped.tolist() == [cell in mapping for cell in cells]


def written(pairs: list[tuple[str, str]]) -> bytes:
    quoted = (
        ",".join('"' + text.replace('"', '""') + '"' for text in pair)
        for pair in pairs
    )
    return feed(*quoted, header="vendor_sku,sku")
