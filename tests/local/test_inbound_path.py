"""`inbound.path`: the files that a config names, and the newest one of a pattern."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from relay_core.config import load_config
from relay_core.domain.errors import ConfigError
from relay_dagster.local.command import main
from support.builders import config_document, feed, vendor_document
from support.local_bench import NOW, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def vendor_at(path: str, vendor_id: str = "vendor_1", **options: Any) -> Any:
    inbound = {"type": "local", "path": path}
    return vendor_document(vendor_id, inbound=inbound, **options)


def run(bench: Bench, *arguments: str) -> int:
    config = str(bench.folder / "shop" / "tenant.json")
    folder = f"--output-dir={bench.out}"
    return main([config, folder, f"--now={NOW}", *arguments])


def skus(bench: Bench) -> list[str]:
    return [row["sku"] for row in bench.merged()]


def test_a_path_is_from_the_folder_of_the_config(bench: Bench) -> None:
    bench.write(
        "shop/tenant.json", config_document(vendor_at("../lists/a.csv"))
    )
    bench.write("lists/a.csv", feed("A,1,2.50"))
    assert run(bench) == 0
    assert skus(bench) == ["A"]
    manifest = bench.report("input_manifest")["vendors"]["vendor_1"]
    assert (manifest["status"], manifest["selection"]) == (
        "found",
        "local_file",
    )


def test_a_file_of_the_command_line_is_used_instead(bench: Bench) -> None:
    bench.write("shop/tenant.json", config_document(vendor_at("a.csv")))
    bench.write("shop/a.csv", feed("A,1,2.50"))
    named = bench.write("b.csv", feed("B,1,2.50"))
    assert run(bench, f"--vendor-file=vendor_1={named}") == 0
    assert skus(bench) == ["B"]


def test_a_pattern_takes_the_newest_file_then_the_last_by_name(
    bench: Bench,
) -> None:
    bench.write("shop/tenant.json", config_document(vendor_at("list_?_*.csv")))
    for name, moment in (
        ("list_a_9.csv", 1_000),
        ("list_b_1.csv", 2_000),
        ("list_c_1.csv", 2_000),
        ("list_c.csv", 9_000),
        ("[list_c_2.csv", 9_000),
    ):
        path = bench.write(f"shop/{name}", feed(f"{name},1,2.50"))
        os.utime(path, (moment, moment))
    (bench.folder / "shop/list_d_1.csv").mkdir()
    assert run(bench) == 0
    assert skus(bench) == ["list_c_1.csv"]


def test_parts_and_the_catalog_have_paths_too(bench: Bench) -> None:
    part = {
        "part_id": "more",
        "gives": "rows",
        "inbound": {"type": "local", "path": "more.csv"},
        "parser": {"format": "csv"},
    }
    catalog = {
        "inbound": {"type": "local", "path": "products.csv"},
        "parser": {"format": "csv"},
        "unmatched": "leave_out",
    }
    vendor = vendor_at("a.csv", parts=[part])
    document = config_document(vendor, catalog=catalog)
    bench.write("shop/tenant.json", document)
    bench.write("shop/a.csv", feed("A,1,2.50", "B,1,2.50"))
    bench.write("shop/more.csv", feed("C,1,2.50"))
    bench.write("shop/products.csv", b"sku\nA\nC\n")
    assert run(bench) == 0
    assert skus(bench) == ["A", "C"]


@pytest.mark.parametrize("path", ["gone.csv", "gone_*.csv", "gone/*.csv"])
def test_a_path_without_a_file_is_a_vendor_without_an_upload(
    path: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.write("shop/tenant.json", config_document(vendor_at(path)))
    assert run(bench) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("REQUIRED_VENDOR_MISSING: ")
    assert f"has no file under {bench.folder / 'shop' / path}." in line


def test_an_output_folder_over_the_files_is_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.write(
        "shop/tenant.json", config_document(vendor_at("../out/outputs/a.csv"))
    )
    bench.write("out/outputs/a.csv", feed("A,1,2.50"))
    assert run(bench) == 2
    assert "that this run replaces" in capsys.readouterr().err


def test_the_output_folder_is_out_where_none_is_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("shop/tenant.json", config_document(vendor_at("a.csv")))
    bench.write("shop/a.csv", feed("A,1,2.50"))
    monkeypatch.chdir(bench.folder)
    assert main(["shop/tenant.json"]) == 0
    assert "outputs/merged_inventory.csv" in bench.tree()


@pytest.mark.parametrize(
    ("inbound", "fault"),
    [
        ({"type": "local", "path": ""}, "must be the path of a file"),
        ({"type": "local", "path": "lists/"}, "not of a folder"),
        ({"type": "local", "path": "*/a.csv"}, "only in its last part"),
        (
            {"type": "s3", "s3_prefix": "tenants/acme/x/", "path": "a.csv"},
            "type",
        ),
    ],
)
def test_a_path_that_names_no_file_is_a_fault(
    inbound: dict[str, Any], fault: str
) -> None:
    document = config_document(vendor_document(inbound=inbound))
    with pytest.raises(ConfigError) as caught:
        load_config(document)
    (config_fault,) = caught.value.faults
    assert config_fault.path == "vendors.0.inbound.path"
    assert fault in config_fault.message


def test_a_config_without_a_path_is_shown_as_before() -> None:
    inbound = load_config(config_document()).to_document()["vendors"][0]
    assert "path" not in inbound["inbound"]
