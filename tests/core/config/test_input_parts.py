"""A vendor of several files: its options, each fault with its path, and the choice of files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from relay_core.config import VendorConfig, load_config
from support.builders import REQUESTED_AT
from support.config_documents import changed, doubtful_paths, faults_of

SFTP_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
CHANGES = {"full": "full-*.csv", "delta": "delta-*.csv"}


def inbound(name: str, **options: Any) -> dict[str, Any]:
    prefix = f"tenants/acme/inbound/{name}/"
    return {"type": "s3", "s3_prefix": prefix, **options}


def part(part_id: str = "stock", **options: Any) -> dict[str, Any]:
    return {
        "part_id": part_id,
        "gives": ["quantity_available"],
        "inbound": inbound(f"part_{part_id}"),
        "parser": {"format": "csv"},
        **options,
    }


def document_with(**options: Any) -> dict[str, Any]:
    document = changed("extra_columns", ["shelf", "bin"])
    document["vendors"][0] |= options
    return document


def vendor_with(**options: Any) -> VendorConfig:
    return load_config(document_with(**options)).vendors[0]


def faults_with(**options: Any) -> dict[str, str]:
    return {
        path.removeprefix("vendors.0."): message
        for path, message in faults_of(document_with(**options)).items()
    }


# --- defaults -----------------------------------------------------------------------------------


def test_a_vendor_without_parts_is_a_list_of_its_base_alone() -> None:
    vendor = vendor_with(max_feed_age_hours=3)
    (base,) = vendor.input_parts
    assert not vendor.has_file_list
    assert base.part_id is None
    assert base.parser is vendor.parser
    assert base.inbound is vendor.inbound
    assert base.max_feed_age_hours == 3
    assert base.max_files == 1


def test_a_part_has_its_defaults_in_a_snapshot_that_loads() -> None:
    config = load_config(
        document_with(
            parts=[part()],
            duplicate_skus="first",
            changes=CHANGES,
        )
    )
    document = config.to_document()
    (snapshot,) = document["vendors"][0]["parts"]
    assert snapshot["parser"]["format"] == "csv"
    assert {**snapshot, "parser": None} == {
        "part_id": "stock",
        "gives": ["quantity_available"],
        "inbound": {**inbound("part_stock"), "pull": None},
        "parser": None,
        "required": True,
        "key": "sku",
        "unmatched": "leave_out",
        "duplicate_skus": "refuse",
        "max_feed_age_hours": None,
        "changes": None,
    }
    assert document["vendors"][0]["changes"] == {
        **CHANGES,
        "deleted": None,
        "max_deltas": 50,
        "max_delta_age_hours": None,
    }
    assert load_config(document) == config


@pytest.mark.parametrize("unmatched", [None, "null"])
def test_null_keeps_unmatched_rows_also_in_the_config_as_it_took_effect(
    unmatched: str | None,
) -> None:
    config = load_config(document_with(parts=[part(unmatched=unmatched)]))
    document = config.to_document()
    assert document["vendors"][0]["parts"][0]["unmatched"] is None
    assert not config.vendors[0].input_parts[1].leaves_out
    assert load_config(document) == config


def test_each_parser_reads_the_columns_that_its_files_give() -> None:
    vendor = vendor_with(
        parts=[
            part(gives=["quantity_available", "shelf"]),
            part("west", gives="rows"),
            part("prices", gives=["cost"]),
        ]
    )
    base, stock, west, prices = (
        part.parser.readable_columns for part in vendor.input_parts
    )
    assert stock == ("sku", "quantity_available", "shelf")
    assert prices == ("sku", "cost")
    assert base == west
    assert not {"quantity_available", "shelf", "cost"} & set(base)
    assert {"sku", "title", "bin"} <= set(base)
    gives_quantity = [part.gives_quantity for part in vendor.input_parts]
    assert gives_quantity == [False, True, False, False]


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"part_id": "base"}, "part_id", '"base" is the vendor\'s own file'),
        ({"part_id": "a b"}, "part_id", "is not a valid id"),
        ({"gives": "columns"}, "gives", 'must be "rows" or a list of columns'),
        ({"gives": []}, "gives", "must not be empty"),
        ({"gives": ["sku"]}, "gives.0", "sku cannot be given"),
        ({"gives": ["vendor_id"]}, "gives.0", "vendor_id cannot be mapped"),
        ({"gives": ["nothing"]}, "gives.0", "is not a canonical column"),
        ({"gives": ["cost", "cost"]}, "gives.1", "appears more than once"),
        ({"key": "title"}, "key", "must be sku, vendor_sku or an extra column"),
        (
            {"key": "shelf", "gives": ["shelf"]},
            "key",
            'shelf is given by part "stock"',
        ),
        ({"unmatched": "keep"}, "unmatched", 'must be "leave_out" or null'),
        ({"duplicate_skus": "compete"}, "duplicate_skus", "must be one of"),
        (
            {"duplicate_skus": "sum", "gives": ["cost"]},
            "duplicate_skus",
            "does not give quantity_available",
        ),
        (
            {"gives": "rows", "key": "vendor_sku"},
            "key",
            "applies only if gives is a list of columns",
        ),
        (
            {"gives": "rows", "unmatched": None},
            "unmatched",
            "applies only if gives is a list of columns",
        ),
        (
            {"gives": "rows", "duplicate_skus": "first"},
            "duplicate_skus",
            "applies only if gives is a list of columns",
        ),
        (
            {"required": False, "unmatched": None},
            "required",
            "the part gives quantity_available",
        ),
        (
            {"required": False, "gives": ["cost"]},
            "required",
            "must be true unless unmatched is null",
        ),
        ({"max_feed_age_hours": 8761}, "max_feed_age_hours", "8760 or less"),
        (
            {"parser": {"format": "csv", "column_map": {"cost": "Net"}}},
            "parser.column_map.cost",
            "is not given by this part",
        ),
        (
            {"parser": {"format": "csv", "defaults": {"title": "x"}}},
            "parser.defaults.title",
            "is not given by this part",
        ),
        ({"parser": {}}, "parser.format", "is required"),
        ({"inbound": {}}, "inbound.type", "is required"),
        (
            {"changes": {"full": "f*"}},
            "changes.delta",
            "is required",
        ),
        (
            {"changes": {**CHANGES, "full": "a/*"}},
            "changes.full",
            "must be a pattern of file names, without a slash",
        ),
        (
            {"changes": {**CHANGES, "max_deltas": 0}},
            "changes.max_deltas",
            "must be 1 or more",
        ),
        (
            {"changes": {**CHANGES, "max_deltas": 201}},
            "changes.max_deltas",
            "must be 200 or less",
        ),
        (
            {"changes": {**CHANGES, "deleted": {"column": "x", "is": []}}},
            "changes.deleted.is",
            "must not be empty",
        ),
        (
            {
                "parser": {"format": "xml", "record": "/a/b"},
                "changes": {
                    **CHANGES,
                    "deleted": {"column": "a[", "is": ["x"]},
                },
            },
            "changes.deleted.column",
            '"a["',
        ),
    ],
)
def test_an_option_of_a_part_is_refused_at_its_path(
    options: dict[str, Any],
    path: str,
    message: str,
) -> None:
    faults = faults_with(parts=[part(**options)])
    assert list(faults) == [f"parts.0.{path}"]
    assert message in faults[f"parts.0.{path}"]


def test_a_part_of_rows_or_of_null_may_be_optional() -> None:
    vendor = vendor_with(
        parts=[
            part("west", gives="rows", required=False),
            part(gives=["cost"], unmatched=None, required=False),
        ]
    )
    required = [part.required for part in vendor.input_parts]
    assert required == [True, False, False]


def test_a_vendor_has_at_most_eight_parts_each_with_its_own_id() -> None:
    parts = [part(f"p{number}", gives="rows") for number in range(9)]
    assert list(faults_with(parts=parts)) == ["parts"]
    assert len(vendor_with(parts=parts[:8]).input_parts) == 9
    assert faults_with(parts=[parts[0], part("p0", gives=["cost"])]) == {
        "parts.1.part_id": '"p0" appears more than once; give each part its own id'
    }


def test_each_column_is_given_by_one_part_and_read_from_no_other() -> None:
    faults = faults_with(
        parser={
            "format": "csv",
            "column_map": {"cost": "Net"},
            "defaults": {"quantity_available": "1"},
        },
        parts=[
            part(gives=["quantity_available", "cost"]),
            part("other", gives=["title", "cost"]),
            part(
                "west",
                gives="rows",
                parser={"format": "csv", "column_map": {"title": "Name"}},
            ),
        ],
    )
    assert list(faults) == [
        "parts.1.gives.1",
        "parser.column_map.cost",
        "parser.defaults.quantity_available",
        "parts.2.parser.column_map.title",
    ]
    assert 'part "stock"' in faults["parser.column_map.cost"]
    assert 'part "other"' in faults["parts.2.parser.column_map.title"]


def test_a_key_is_a_column_that_no_part_gives() -> None:
    parts = [
        part(key="vendor_sku"),
        part("names", gives=["vendor_sku"]),
    ]
    assert list(faults_with(parts=parts)) == ["parts.0.key"]
    assert vendor_with(parts=[part(key="shelf")]).input_parts[1].key == "shelf"


def test_base_rows_that_change_do_not_compete() -> None:
    assert list(faults_with(changes=CHANGES)) == ["duplicate_skus"]
    rows = part("west", gives="rows", changes=CHANGES)
    assert list(faults_with(parts=[rows])) == ["duplicate_skus"]
    assert vendor_with(parts=[rows], duplicate_skus="sum").has_file_list
    assert vendor_with(parts=[part(changes=CHANGES)]).has_file_list


def test_files_of_changes_are_pulled_by_sftp_alone() -> None:
    def pulled(**options: Any) -> dict[str, Any]:
        return inbound("vendor_1", pull=options)

    https = pulled(url="https://files.example.com/a.csv")
    sftp = pulled(url="sftp://a@files.example.com/a", host_key=SFTP_KEY)
    changes = {"changes": CHANGES, "duplicate_skus": "last"}
    assert list(faults_with(inbound=https, **changes)) == ["inbound.pull.url"]
    assert vendor_with(inbound=sftp, **changes).input_parts[0].changes
    faults = faults_with(parts=[part(inbound=https, changes=CHANGES)])
    assert list(faults) == ["parts.0.inbound.pull.url"]


@pytest.mark.parametrize(
    "prefix",
    ["vendor_1/", "vendor_1/stock/", "", "v2", "part_names/of/it"],
)
def test_the_prefix_of_a_part_is_apart_from_every_other_one(
    prefix: str,
) -> None:
    overlapping = {
        "type": "s3",
        "s3_prefix": f"tenants/acme/inbound/{prefix}",
    }
    faults = faults_with(
        parts=[
            part("names", gives=["title"]),
            part(inbound=overlapping),
        ],
    )
    assert "parts.1.inbound.s3_prefix" in faults
    beside = {"type": "s3", "s3_prefix": "tenants/acme/inbound/vendor_10"}
    assert vendor_with(parts=[part(inbound=beside)])


def test_a_run_takes_at_most_five_hundred_files() -> None:
    def changes(max_deltas: int) -> dict[str, Any]:
        return {**CHANGES, "max_deltas": max_deltas}

    # 201 of each part, 97 of the base, and one of the other vendor
    parts = [
        part(str(number), gives="rows", changes=changes(200))
        for number in range(2)
    ]
    full = document_with(
        parts=parts,
        changes=changes(96),
        duplicate_skus="last",
    )
    assert len(load_config(full).vendors) == 2
    full["vendors"][0]["changes"] = changes(97)
    assert faults_of(full) == {
        "vendors": "a run may take 501 files of these inputs, but the limit is 500; "
        "lower max_deltas"
    }


# --- the choice of files ------------------------------------------------------------------------


@dataclass(frozen=True)
class Upload:
    name: str
    minute: int = 0

    @property
    def key(self) -> str:
        return f"tenants/acme/inbound/vendor_1/{self.name}"

    @property
    def last_modified(self) -> datetime:
        return REQUESTED_AT + timedelta(minutes=self.minute)


def chosen(*uploads: Upload, **options: Any) -> list[str]:
    base, *_ = vendor_with(**options).input_parts
    return [upload.name for upload in base.chosen(uploads)]


CHANGING: dict[str, Any] = {
    "changes": {"full": "full-*", "delta": "*-D?"},
    "duplicate_skus": "last",
}


def test_of_a_part_without_changes_the_newest_file_is_read() -> None:
    uploads = [Upload("b"), Upload("z", 1), Upload("a", 1)]
    assert chosen(*uploads) == ["z"]
    assert chosen() == []


def test_the_newest_full_and_every_delta_after_it_are_read_in_order() -> None:
    uploads = [
        Upload("x-D9", 0),
        Upload("full-1", 1),
        Upload("x-D0", 2),
        Upload("full-2", 3),
        Upload("z-D2", 5),
        Upload("b-D1", 5),
        Upload("a-D3", 6),
        Upload("e-D1", 3),  # its key is before the full's
        Upload("g-D1", 3),
    ]
    order = ["full-2", "g-D1", "b-D1", "z-D2", "a-D3"]
    assert chosen(*uploads, **CHANGING) == order
    assert chosen(*reversed(uploads), **CHANGING) == order


def test_a_name_that_fits_both_patterns_or_neither_is_no_input() -> None:
    names = ["full-x", "full-D1", "readme", "FULL-2", "x-d1", "a-D12", "a-D"]
    uploads = [Upload(name, number) for number, name in enumerate(names)]
    assert chosen(*uploads, **CHANGING) == ["full-x"]


def test_without_a_full_file_there_is_no_upload() -> None:
    assert chosen(Upload("a-D1"), **CHANGING) == []


def test_the_last_segment_is_compared_and_a_pulled_name_without_its_time() -> (
    None
):
    uploads = [
        Upload("full-/x", 0),
        Upload("pulled/20260301T120000Z-full-a", 1),
        Upload("sub/b-D1", 2),
        Upload("sub/pulled/20260301T120000Z-full-b", 3),
        Upload("20260301T120000Z-full-c", 4),
    ]
    assert chosen(*uploads, **CHANGING) == [uploads[1].name, "sub/b-D1"]


def test_brackets_of_a_pattern_are_themselves() -> None:
    options = {"changes": {"full": "f[12]*", "delta": "d"}}
    uploads = [Upload("f1", 0), Upload("f[12].csv", 1)]
    assert chosen(*uploads, duplicate_skus="last", **options) == ["f[12].csv"]


# --- lint ---------------------------------------------------------------------------------------


def warnings_of(**options: Any) -> list[str]:
    vendor = "vendors.0."
    paths = doubtful_paths(document_with(**options), vendor)
    return [path.removeprefix(vendor) for path in paths]


def test_options_of_a_part_are_doubtful_as_those_of_a_vendor() -> None:
    url = "https://files.example.com/a.csv?token=x"
    twice = {"cost": "Net", "price": "Net"}
    parts = [
        part("local", gives="rows", inbound={"type": "local"}),
        part(
            "prices",
            gives=["cost", "price"],
            inbound=inbound("prices", pull={"url": url}),
            parser={"format": "csv", "column_map": twice},
        ),
    ]
    assert warnings_of(parts=parts) == [
        "parts.0.inbound.type",
        "parts.1.inbound.pull.url",
        "parts.1.parser.column_map.price",
    ]


def test_a_price_of_a_part_is_a_price_of_the_vendor() -> None:
    base = {"format": "csv", "columns": ["sku", "title"]}
    assert warnings_of(parser=base) == ["parser.column_map"]
    assert warnings_of(parser=base, parts=[part(gives=["cost"])]) == []


def test_a_map_in_the_prefix_of_a_part_is_doubtful() -> None:
    key = "tenants/acme/inbound/part_stock/map.csv"
    sku_map = {"type": "s3", "s3_key": key}
    assert warnings_of(parts=[part()], sku_map=sku_map) == ["sku_map.s3_key"]


def test_equal_patterns_are_doubtful_because_no_file_fits_one() -> None:
    changes = {"full": "*.csv", "delta": "*.csv"}
    assert warnings_of(changes=changes, duplicate_skus="last") == [
        "changes.delta"
    ]
