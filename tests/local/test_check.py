"""``local_run.py --check``: what is wrong with a new vendor's file, and the patch that mends it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from first_patch import with_patch
from relay_core.config import parse_document
from relay_core.domain.formats import OLE2
from relay_dagster.local.command import main
from support.builders import config_document, feed, vendor_document
from support.local_bench import Bench
from support.pages import PAGES
from support.vendor_files import FILES, ROWS, table


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def config_of(**parser: Any) -> dict[str, Any]:
    return config_document(
        vendor_document(parser=parser),
        default_currency="EUR",
        output={
            "columns": ["sku", "quantity_available", "price", "updated_at"]
        },
    )


def parser_of(document: Mapping[str, Any]) -> dict[str, Any]:
    parser: dict[str, Any] = document["vendors"][0]["parser"]
    return parser


@pytest.mark.parametrize("name", FILES)
def test_one_patch_has_the_file_read_and_a_second_check_finds_nothing(
    name: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    data, options = FILES[name]
    sku = "column 1" if name == "no header" else "Item No"
    bare = config_of(column_map={"sku": sku})
    assert bench.run(bare, "--check", vendor_1=data) == 1
    patched = with_patch(bare, capsys.readouterr().out)
    if name == "no header":  # which no names of columns tell
        parser_of(patched)["column_map"] |= {
            "quantity_available": "column 2",
            "cost": "column 3",
        }
    parser = parser_of(patched)
    column_map = parser.pop("column_map")
    assert parser == {"format": "csv", **options}
    assert len(column_map) == 3
    parser["column_map"] = column_map
    assert bench.run(patched, "--check", vendor_1=data) == 0
    assert "vendor_1.csv: no problems" in capsys.readouterr().out
    assert bench.run(patched, vendor_1=data) == 0
    assert {
        ("B-2", "20", "3.00"),
        ("C-3", "0", "1999.99"),
        ("Ä-1", "1", "2.50"),
    } <= {
        (row["sku"], row["quantity_available"], row["price"])
        for row in bench.merged()
    }


def test_nothing_is_written_and_a_run_is_not_made(bench: Bench) -> None:
    assert (
        bench.run(config_document(), "--check", vendor_1=feed("A,1,2.50")) == 0
    )
    assert bench.tree() == []


def test_no_folder_is_asked_for_and_what_is_printed_is_yaml(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    config = bench.write("c.json", config_of(column_map={"sku": "SKU"}))
    path = bench.write("f.csv", b"SKU;Qty;Cost\n\x1b[1m;1;4,20\n")
    assert (
        main(
            ["--check", f"--config={config}", f"--vendor-file=vendor_1={path}"]
        )
        == 1
    )
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    document = parse_document(printed, format="yaml")
    assert document == {
        "doubts": document["doubts"],
        "vendors": [
            {
                "vendor_id": "vendor_1",
                "parser": {
                    "format": "csv",
                    "column_map": {
                        "sku": "SKU",
                        "quantity_available": "Qty",
                        "cost": "Cost",
                    },
                    "delimiter": ";",
                    "decimal_separator": ",",
                },
            }
        ],
    }


def test_parsers_that_share_an_anchor_are_patched_each_for_its_own_file(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    shared: Any = "SHARED"
    vendors = [{**vendor_document(f"v{n}"), "parser": shared} for n in (1, 2)]
    text = json.dumps(
        config_document(*vendors, output={"columns": ["sku", "price"]})
    )
    text = text.replace(
        '"SHARED"', '&p {"format": "csv", "column_map": {"sku": "SKU"}}', 1
    )
    text = text.replace('"SHARED"', "*p", 1)
    semicolons, tabs = (
        table(*ROWS, mark=mark, header="SKU,Qty,Cost") for mark in ";\t"
    )
    assert (
        bench.run(text, "--check", v1=semicolons.encode(), v2=tabs.encode())
        == 1
    )
    patch = parse_document(capsys.readouterr().out, format="yaml")
    assert [vendor["parser"]["delimiter"] for vendor in patch["vendors"]] == [
        ";",
        "\t",
    ]


def test_what_a_file_does_not_say_is_guessed_with_doubts_and_the_next_candidates(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    header = "Code,Text,Bin,Stock 1,Stock 2,Price A,Price B"
    data = feed(
        "A,bolt,4,1,2,1.25,1.50", "B,nut,5,3,0,2.75,3.00", header=header
    )
    bare = config_of(column_map={"sku": "Code"})
    assert bench.run(bare, "--check", vendor_1=data) == 1
    printed = capsys.readouterr().out
    document = parse_document(printed, format="yaml")
    (vendor,) = document["vendors"]
    assert vendor["parser"] == {
        "format": "csv",
        "column_map": {"sku": "Code", "cost": "Price A"},
        "defaults": {"quantity_available": "1"},
    }
    guesses = [
        doubt for doubt in document["doubts"] if doubt["code"] == "guess"
    ]
    assert [(doubt["path"], doubt["samples"]) for doubt in guesses] == [
        ("vendors.0.parser.column_map.cost", ["1.25", "2.75"]),
        ("vendors.0.parser.defaults.quantity_available", None),
    ]
    assert guesses[0]["message"] == (
        'cost: "Price A" (unsure), because 100% of its values are amounts. Values: '
        '"1.25", "2.75". Next candidates: "Price B", "Bin". Check it before you apply '
        "these settings."
    )
    assert 'Next candidates: "Stock 1", "Stock 2".' in guesses[1]["message"]
    patched = with_patch(bare, printed)
    assert bench.run(patched, "--check", vendor_1=data) == 0
    assert "guess" not in capsys.readouterr().out


def test_a_config_that_only_names_its_vendor_is_checked(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    config = bench.write("c.yaml", b"vendors:\n- vendor_id: v\n")
    path = bench.write("f.csv", b'CDM#,Text,Charge\n7,SPLINT,"$1,024.00"\n')
    command = ["--check", f"--config={config}", f"--vendor-file=v={path}"]
    assert main(command) == 1
    document = parse_document(capsys.readouterr().out, format="yaml")
    assert document["vendors"] == [
        {
            "vendor_id": "v",
            "parser": {
                "format": "csv",
                "column_map": {"sku": "CDM#", "cost": "Charge"},
                "defaults": {"quantity_available": "1"},
                "thousands_separator": ",",
                "currency_symbols": ["$"],
            },
        }
    ]


def test_all_that_is_wrong_is_told_at_once(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    header = "Item No;Qty;Cost;MSRP;Updated"
    rows = [
        f"A{n};{n};{n},50 €;k.A.;{n + 10}.02.2026 08:30" for n in range(1, 9)
    ]
    data = feed("last;few;2,00 €;3,00 €;01.03.2026 08:30", *rows, header=header)
    output_options = {"columns": ["sku", "price", "msrp", "updated_at"]}
    bare = config_document(
        vendor_document(parser={"column_map": {"sku": "Item No"}}),
        default_currency="EUR",
        output=output_options,
    )
    assert bench.run(bare, "--check", vendor_1=data) == 1
    printed = capsys.readouterr().out
    patched = with_patch(bare, printed)
    assert parser_of(patched) == {
        "format": "csv",
        "delimiter": ";",
        "decimal_separator": ",",
        "currency_symbols": ["€"],
        "timestamp_formats": ["%d.%m.%Y %H:%M"],
        "null_values": ["k.A."],
        "column_map": {
            "sku": "Item No",
            "quantity_available": "Qty",
            "cost": "Cost",
            "msrp": "MSRP",
            "updated_at": "Updated",
        },
    }
    assert (
        'quantity_available are not numbers: "few" (1). Give each word a'
        in printed
    )
    assert "a run would fail: validation errors: 1 of 9 rows" in printed
    parser_of(patched)["quantity_words"] = {"few": 3}
    assert bench.run(patched, "--check", vendor_1=data) == 0
    assert bench.run(patched, vendor_1=data) == 0


def test_rows_that_the_error_policy_lets_pass_are_nothing_wrong(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    data = feed("A,1,2.50", "B,2,VARIABLE")
    lenient = {"max_invalid_rows": 1, "max_invalid_row_pct": "0.5"}
    assert (
        bench.run(
            config_document(error_policy=lenient), "--check", vendor_1=data
        )
        == 0
    )
    assert (
        "1 of 2 rows would be rejected: invalid_decimal in cost (1 row), for example "
        '"VARIABLE".'
    ) in capsys.readouterr().out
    document = config_document(
        vendor_document(max_invalid_row_pct="0.1"), error_policy=lenient
    )
    assert bench.run(document, "--check", vendor_1=data) == 1
    assert "of vendor 'vendor_1' are rejected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "The file has no rows."),
        (b"sku,quantity_available,cost\n", "The file has no rows."),
        (b"%PDF-1.7", "the file is a PDF. Export it as CSV"),
        (
            OLE2 + "EncryptedPackage".encode("utf-16-le"),
            "the workbook has a password",
        ),
        (b"PK\x03\x04", "is damaged"),
    ],
)
def test_a_file_that_no_patch_mends_is_wrong_and_says_why(
    data: bytes, told: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run(config_document(), "--check", vendor_1=data) == 1
    printed = capsys.readouterr().out
    assert told in printed
    assert parse_document(printed, format="yaml").keys() == {"doubts"}


@pytest.mark.parametrize(
    ("document", "assumed"),
    [
        (
            {
                "tenant_id": "shop",
                "timezone": "Europe/Berlin",
                "default_currency": "EUR",
            },
            "pricing, merge, output",
        ),
        (
            {
                "tenant_id": "shop",
                "vendors": [{"vendor_id": "vendor_1"}],
                "pricing": {"min_price": 1},
            },
            "timezone, default_currency, pricing.base_margin_pct, "
            "pricing.shipping_handling_flat, merge, output",
        ),
    ],
    ids=["no vendors", "half of a pricing"],
)
def test_a_config_of_three_lines_is_enough_for_a_check(
    document: dict[str, Any],
    assumed: str,
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = table(*ROWS, mark=";").encode()
    assert bench.run(document, "--check", vendor_1=data) == 1
    printed = capsys.readouterr().out
    assert f"# the config lacks {assumed}: a run needs them" in printed
    (vendor,) = parse_document(printed, format="yaml")["vendors"]
    assert vendor == {
        "vendor_id": "vendor_1",
        "parser": {
            "format": "csv",
            "delimiter": ";",
            "column_map": {
                "sku": "Item No",
                "quantity_available": "Qty",
                "cost": "Cost",
            },
        },
    }


def test_a_vendor_without_a_file_is_named_and_a_run_fails_for_it_if_it_is_required(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_document(
        vendor_document("vendor_1"), vendor_document("vendor_2")
    )
    assert bench.run(document, "--check", vendor_1=feed("A,1,2.50")) == 1
    printed = capsys.readouterr().out
    assert "vendors without a file: vendor_2" in printed
    assert "a run would fail: REQUIRED_VENDOR_MISSING" in printed
    optional = vendor_document("vendor_2", required=False)
    document = config_document(vendor_document("vendor_1"), optional)
    assert bench.run(document, "--check", vendor_1=feed("A,1,2.50")) == 0


def of_parts() -> dict[str, Any]:
    """Return a config of a vendor whose stock is in a file of its own."""
    document = config_of()
    document["vendors"][0]["parts"] = [
        {
            "part_id": "stock",
            "gives": ["quantity_available"],
            "inbound": {"type": "local"},
            "parser": {"format": "csv"},
        }
    ]
    return document


def test_each_file_of_a_vendor_is_checked_by_what_it_gives_and_a_run_joins_them(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = feed("A,1", "B,2", header="sku,cost")
    stock = bench.write(
        "stock.csv", feed("A,5", header="sku,quantity_available")
    )
    arguments = ("--check", f"--vendor-file=vendor_1/stock={stock}")
    assert bench.run(of_parts(), *arguments, vendor_1=prices) == 0
    assert capsys.readouterr().out.startswith(
        "# vendor_1, vendor_1.csv: no problems\n"
        "#   No errors in 2 rows.\n"
        "#   rows: 2 read, 1 unmatched, 1 won\n"
        "# vendor_1/stock, stock.csv: no problems\n"
        "#   No errors in 1 row.\n"
        "# a run would succeed, with 1 SKU in the feed\n"
    )


def test_the_parser_of_a_part_is_proposed_for_the_part(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = feed("A,1", "B,2", header="sku,cost")
    stock = bench.write("stock.csv", b"Artikel;Bestand\nA;5\nB;7\n")
    arguments = ("--check", f"--vendor-file=vendor_1/stock={stock}")
    assert bench.run(of_parts(), *arguments, vendor_1=prices) == 1
    _, patch = capsys.readouterr().out.split(
        "# Replace all these parsers in the config:\n"
    )
    assert parse_document(patch, format="yaml") == {
        "vendors": [
            {
                "vendor_id": "vendor_1",
                "part_id": "stock",
                "parser": {
                    "format": "csv",
                    "delimiter": ";",
                    "column_map": {
                        "quantity_available": "Bestand",
                        "sku": "Artikel",
                    },
                },
            }
        ]
    }


def test_a_part_without_a_file_is_named(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = feed("A,1", header="sku,cost")
    assert bench.run(of_parts(), "--check", vendor_1=prices) == 1
    output = capsys.readouterr().out
    assert "# vendors without a file: vendor_1/stock\n" in output


def test_a_feed_over_its_limit_is_wrong(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RELAY_MAX_FEED_BYTES", "20")
    assert (
        bench.run(config_document(), "--check", vendor_1=feed("A,1,2.50")) == 1
    )
    assert (
        "feed too large: the feed of vendor 'vendor_1'"
        in capsys.readouterr().out
    )


def test_a_config_of_another_version_is_told_as_a_run_would(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_document(schema_version=2)
    assert bench.run(document, "--check", vendor_1=feed("A,1,2.50")) == 1
    assert capsys.readouterr().out.startswith("# unsupported_schema_version: ")


def test_a_check_without_a_file_is_bad_usage(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    config = bench.write("c.json", config_document())
    assert main([f"--config={config}", "--check"]) == 2
    assert capsys.readouterr().err.startswith("--check: ")


def test_the_run_that_is_judged_uses_the_overrides(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    config = bench.write("c.json", config_document())
    overrides = bench.write("o.json", '[{"sku": "A", "leave_out": true}]')
    path = bench.write("prices.csv", feed("A,1,2.50"))
    command = [
        "--check",
        f"--config={config}",
        f"--vendor-file=vendor_1={path}",
    ]
    assert main(command) == 0
    assert main([*command, f"--overrides={overrides}"]) == 1
    assert "# a run would fail: empty_output: " in capsys.readouterr().out


def test_the_sample_tenant_is_right_but_for_stock_below_zero(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--tenant=acme_parts", "--check"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("no problems") == 2
    assert printed.endswith("    negative_quantity: zero\n")


def test_the_page_of_configs_shows_what_is_printed(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PAGES["docs/CONFIG.md"].partition("### Check a new file")[2]
    listed, printed = (
        page.partition(f"```{kind}\n")[2].partition("```")[0]
        for kind in ("text", "yml")
    )
    columns = ["sku", "quantity_available", "price", "title", "updated_at"]
    bare = config_document(
        vendor_document("mueller", parser={"column_map": {"sku": "Art."}}),
        default_currency="EUR",
        output={"columns": columns},
    )
    config = bench.write("tenant.json", bare)
    path = bench.write("prices.csv", listed.encode("cp1252"))
    command = ["--check", f"--config={config}", f"--vendor-file=mueller={path}"]
    assert main(command) == 1
    assert capsys.readouterr().out == printed
    patched = with_patch(bare, printed)
    parser_of(patched)["column_map"]["quantity_available"] = "Lager"
    bench.write("tenant.json", patched)
    assert main(command) == 0
