"""Real feeds: every config loads, and a missing file is told from an absent folder."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from real_feeds import (
    CATALOG_TENANT,
    CHANGES,
    CONFIGS,
    TENANTS,
    Change,
    failure_text,
    figures,
    lost_on,
    main,
    run_catalog,
    run_changed,
    run_new,
    run_patched,
    unlisted,
    write_changed,
)
from relay_core.config import load_config, parse_document


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_config_has_the_vendors_whose_files_are_named(tenant: str) -> None:
    text = (CONFIGS / f"{tenant}.yaml").read_text("utf-8")
    config = load_config(parse_document(text, format="yaml"))
    assert [vendor.vendor_id for vendor in config.vendors] == list(
        TENANTS[tenant]
    )


def test_every_config_is_run() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {
        *TENANTS,
        CATALOG_TENANT,
    }


def test_an_absent_folder_ends_well(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RELAY_FEEDS_DIR", str(tmp_path / "none"))
    assert main() == 0
    assert "is not there" in capsys.readouterr().out


def test_a_missing_file_is_told_and_ends_badly(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RELAY_FEEDS_DIR", str(tmp_path))
    assert main() == 1
    assert "missing: uc-davis/CDM.csv" in capsys.readouterr().out


def test_a_listed_feed_without_a_config_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "PROVENANCE.md").write_text(
        "### uc-davis/CDM.csv\n### new/list.csv\n", "utf-8"
    )
    (fault,) = unlisted(tmp_path)
    assert fault.startswith("new/list.csv: ")


def test_a_line_counts_rows_refused_rows_skus_and_codes(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    summary = {"total_rows": 8215, "invalid_rows": 6, "record_count": 3148}
    (reports / "run_summary.json").write_text(json.dumps(summary), "utf-8")
    (reports / "errors.json").write_text(
        json.dumps({"counts": {"invalid_decimal": 6}}), "utf-8"
    )
    words = figures(tmp_path).split()
    assert words == [
        "8,215",
        "rows",
        "6",
        "rejected",
        "3,148",
        "SKUs",
        "invalid_decimal",
        "6",
    ]


RECORDS = [f'{number},"Gauß, 1µm","1,000.00"' for number in range(1, 40)] + [
    "99,x,VARIABLE"
]


@pytest.mark.parametrize(
    ("change", "kept", "first"),
    [
        (CHANGES[0], range(33, 39), "1030.00"),
        (CHANGES[1], range(40, 41), "1000.00"),
    ],
    ids=["a year later", "a decimal comma"],
)
def test_a_changed_list_has_what_is_left_in_its_own_encoding(
    tmp_path: Path, change: Change, kept: range, first: str
) -> None:
    source = tmp_path / "list.csv"
    target = tmp_path / "later.csv"
    header = "CC,Title,1/1/19 Fee"
    source.write_bytes("\r\n".join([header, *RECORDS]).encode("cp1252"))
    write_changed(replace(change, encoding="cp1252"), source, target)
    written = target.read_bytes().decode("cp1252").splitlines()
    assert len(written) - 1 in kept
    assert (written[0], written[1].split(",")[0]) == (header, "1")
    assert written[1].endswith(f'"Gauß, 1µm",{first}')
    assert written[-1] == "99,x,VARIABLE"


def test_what_a_guard_should_hold_and_did_not_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jlcpcb-basic-parts").mkdir()
    header = "Manufacturer,LCSC Part #,Description,Stock,MFR.Part #,Price (USD)"
    records = [f"M,C{number},text,5,P{number},0.05" for number in range(12)]
    path = tmp_path / "jlcpcb-basic-parts" / "Basic Parts.csv"
    path.write_text("\n".join([header, *records]), "cp1252")
    empty = CHANGES[2]
    assert run_changed(empty, tmp_path).is_right
    unchanged = run_changed(
        replace(empty, changed=lambda record: record), tmp_path
    )
    assert not unchanged.is_right


@pytest.mark.parametrize(
    ("text", "told"), [("5±1", "'cp1252'"), ("5", "encoding is 'utf-8'")]
)
def test_one_patch_that_is_not_the_config_by_hand_is_a_fault(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "jlcpcb-basic-parts").mkdir()
    header = "Manufacturer,LCSC Part #,Description,Stock,MFR.Part #,Price (USD)"
    path = tmp_path / "jlcpcb-basic-parts" / "Basic Parts.csv"
    path.write_text(f"{header}\nM,C1,{text},5,P1,0.05\n", "cp1252")
    line = run_patched("jlcpcb", tmp_path)
    assert (line.is_right, told in line.text) == (text == "5±1", True)


@pytest.mark.parametrize(
    ("text", "told"),
    [("5±1", "by relay new: right"), ("5", "encoding is 'utf-8'")],
)
def test_a_new_config_that_is_not_the_one_by_hand_is_a_fault(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "jlcpcb-basic-parts").mkdir()
    header = "Manufacturer,LCSC Part #,Description,Stock,MFR.Part #,Price (USD)"
    rows = "".join(f"M,C{n},{text},5,P1,0.0{n}\n" for n in range(1, 9))
    path = tmp_path / "jlcpcb-basic-parts" / "Basic Parts.csv"
    path.write_text(f"{header}\n{rows}", "cp1252")
    result = run_new("jlcpcb", tmp_path)
    assert (result.is_right, told in result.text) == (text == "5±1", True)


@pytest.mark.parametrize(
    ("sku", "told"),
    [
        (
            "MH01-S-Black",
            "60 products: 35 rows by mpn, 14 rows by sku; "
            "80 rows unmatched, 41 products in the feed, 19 uncovered",
        ),
        ("WT59 s blue", "'unmatched': 81, 'ambiguous': 1"),
    ],
    ids=["all differ", "two are one part number"],
)
def test_rows_that_do_not_match_the_export_they_are_cut_out_of_are_a_fault(
    tmp_path: Path, sku: str, told: str
) -> None:
    path = tmp_path / "magento2-sample-data" / "products.csv"
    path.parent.mkdir()
    skus = [f"WT{number:02}-S-Blue" for number in range(1, 60)]
    rows = [f"{sku},simple,Tee {sku},9.00" for sku in [*skus, sku]]
    lines = ["sku,product_type,name,price", *rows, "WT01,configurable,Tee,9.00"]
    path.write_text("\n".join(lines), "utf-8")
    result = run_catalog(tmp_path)
    assert told in result.text
    assert result.is_right == (sku == "MH01-S-Black")


def test_a_run_that_crashes_is_told_with_its_traceback() -> None:
    crash = "Traceback (most recent call last):\n  in merge\nKeyError: 1\n"
    texts = [
        failure_text(subprocess.CompletedProcess([], 1, stderr=stderr))
        for stderr in ("doubt: x\nfailed\n", crash)
    ]
    assert texts == [
        "exit status 1: failed",
        f"exit status 1: KeyError: 1\n{crash}",
    ]


def test_an_explanation_says_what_each_vendors_offer_has_lost_on() -> None:
    offers = [
        {"vendor_id": "a", "lost_on": None},
        {"vendor_id": "b", "lost_on": "vendor_id"},
    ]
    lines = [
        json.dumps({"sku": "S", "offers": offers}),
        json.dumps({"sku": "M", "offers": []}),
    ]
    assert lost_on(lines) == {"S": [("a", None), ("b", "vendor_id")], "M": []}
