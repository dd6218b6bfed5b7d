"""Records larger than a block, records across blocks, and numbers that stay right."""

from __future__ import annotations

import numpy as np
import pytest

from builders import tenant_config, vendor_document
from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.csv_reader import parse_feed

PARSER = tenant_config(vendor_document()).vendors[0].parser
BLOCK = 4 << 20


def test_a_record_larger_than_a_block_is_read_once_and_numbered_right() -> None:
    small = b"a,1\n" * 1000
    feed = b"sku,quantity_available\n" + small + b'"' + b"x" * (2 * BLOCK) + b'",2\n' + small

    batches = list(parse_feed(feed, PARSER).batches)

    numbers = np.concatenate([batch.row_numbers for batch in batches])
    assert numbers.tolist() == list(range(2, 2003))
    quantities = [cell for batch in batches for cell in batch.columns[1].to_pylist()]
    assert quantities == ["1"] * 1000 + ["2"] + ["1"] * 1000


def test_ragged_records_keep_their_numbers_across_blocks() -> None:
    lines = [b"x" * 1000 + b",1\n"] * 9000
    for place in range(0, 9000, 1500):
        lines[place] = b"short\n"
    parsed = parse_feed(b"sku,quantity_available\n" + b"".join(lines), PARSER)

    numbers = np.concatenate([batch.row_numbers for batch in parsed.batches])

    assert [record.row_number for record in parsed.ragged] == [p + 2 for p in range(0, 9000, 1500)]
    assert len(numbers) == 9000 - 6
    assert set(numbers.tolist()) & {record.row_number for record in parsed.ragged} == set()
    assert numbers.max() == 9001


def test_a_quote_that_is_never_closed_is_found_behind_many_blocks() -> None:
    feed = b"sku,quantity_available\n" + b"a,1\n" * 10 + b'"open,1\n' + b"a,1\n" * (3 * BLOCK // 4)
    parsed = parse_feed(feed, PARSER)

    with pytest.raises(FeedUnreadableError, match="opens in line 12 "):
        list(parsed.batches)
