"""Changes of several vendors' parsers as one patch."""

from __future__ import annotations

from relay_core.config import load_config
from relay_core.config.reading.json_patch import apply_patch, parser_patch
from support.builders import config_document, vendor_document

DOCUMENT = config_document(vendor_document("one"), vendor_document("two"))


def test_each_vendor_has_its_own_changes() -> None:
    steps = parser_patch(
        DOCUMENT,
        {
            ("vendors", 0): {},
            ("vendors", 1): {"delimiter": ";", "column_map": {"sku": "SKU"}},
        },
    )
    config = load_config(apply_patch(DOCUMENT, steps))
    assert [vendor.parser.delimiter for vendor in config.vendors] == [",", ";"]
    assert config.vendors[1].parser.column_map == {"sku": "SKU"}


def test_a_patch_with_which_the_config_does_not_load_is_none() -> None:
    assert (
        parser_patch(
            DOCUMENT,
            {
                ("vendors", 0): {"delimiter": ";"},
                ("vendors", 1): {"delimiter": "too long"},
            },
        )
        == []
    )
