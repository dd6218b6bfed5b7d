"""What the demo shows of a feed, whatever its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_runs import run_document
from relay_dagster.devstack.demo_output import head_of_feed
from support.builders import config_document, feed, vendor_document


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "parquet"])
def test_the_first_rows_of_a_feed_are_shown_in_each_format(
    tmp_path: Path, format: str
) -> None:
    output = {
        "format": format,
        "columns": ["sku", "title", {"column": "price", "as": "Net"}],
    }
    document = config_document(vendor_document("v"), output=output)
    rows = [f'S{number:02},1,2.50,"a, title"' for number in range(20)]
    data = feed(*rows, header="sku,quantity_available,cost,title")
    path = tmp_path / f"merged_inventory.{format}"
    path.write_bytes(run_document(document, {"v": data}).outcome.merged or b"")
    head = head_of_feed(path)
    assert len(head) == 8
    assert {key: str(value) for key, value in head[1].items()} == {
        "sku": "S01",
        "title": "a, title",
        "Net": "2.50",
    }
