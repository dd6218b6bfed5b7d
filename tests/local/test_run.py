"""The local runner: exit statuses, the tree it leaves, and what it tells people."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from relay_dagster.local.command import main
from support.builders import config_document, feed, vendor_document
from support.local_bench import Bench

ROOT = Path(__file__).resolve().parents[2]
Runner = Callable[..., int]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def last_error_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


CATALOG = {
    "inbound": {"type": "local"},
    "parser": {"format": "csv"},
    "unmatched": "leave_out",
}
ALL_PUBLISHED = [
    "normalized/vendor_1/normalized.csv",
    "outputs/merged_inventory.csv",
    "published/state.parquet",
    "reports/config_snapshot.json",
    "reports/input_manifest.json",
    "reports/report.html",
    "reports/report.json",
    "reports/run_summary.json",
]


def test_a_clean_run_leaves_the_feed_and_no_errors(bench: Bench) -> None:
    assert bench.run(config_document(), vendor_1=feed("A,1,2.50")) == 0
    assert bench.tree() == ALL_PUBLISHED
    assert [(row["sku"], row["price"]) for row in bench.merged()] == [
        ("A", "2.50")
    ]
    assert bench.report("run_summary")["status"] == "SUCCEEDED"


def test_people_read_the_line_of_a_refused_row_where_it_is_another_number(
    bench: Bench,
) -> None:
    document = config_document(vendor_document(parser={"skip_lines": 2}))
    rows = b"list\n\n" + feed("A,1,2.50", "", "B,many,2.50", "C,1")
    assert bench.run(document, vendor_1=rows) == 1
    page = (bench.out / "reports" / "report.html").read_text("utf-8")
    assert "<code>many</code><bdi> in row 3 (line 6)</bdi>" in page
    assert "<code>C,1</code><bdi> in row 4 (line 7)</bdi>" in page
    first, _ = bench.report("errors")["causes"]
    assert first["samples"] == [{"row_number": 3, "value": "many", "line": 6}]


def test_a_yaml_config_and_a_json_config_give_the_same_feed(
    bench: Bench,
) -> None:
    yaml_text = json.dumps(config_document())  # JSON is YAML, too
    assert bench.run(yaml_text, vendor_1=feed("A,1,2.50")) == 0
    first = bench.merged()
    assert bench.run(config_document(), vendor_1=feed("A,1,2.50")) == 0
    assert bench.merged() == first


def test_the_manifest_tells_the_file_and_its_hash(bench: Bench) -> None:
    data = feed("A,1,2.50")
    vendors = (
        vendor_document("vendor_1"),
        vendor_document("vendor_2", required=False),
    )
    assert bench.run(config_document(*vendors), vendor_1=data) == 0
    first_input, missing = bench.report("input_manifest")["vendors"].values()
    assert first_input == {
        "status": "found",
        "required": True,
        "expected_prefix": "tenants/acme/inbound/vendor_1/",
        "s3_key": None,
        "etag": None,
        "size": len(data),
        "last_modified": None,
        "selection": "local_file",
        "run_copy_key": None,
        "sha256": hashlib.sha256(data).hexdigest(),
        "trouble": None,
        "last_good_run_id": None,
        "age_hours": None,
    }
    assert missing["status"] == "missing"
    assert {missing[name] for name in ("size", "selection", "sha256")} == {None}


def test_refused_rows_are_reported_beside_the_feed(bench: Bench) -> None:
    lenient = config_document(
        error_policy={"max_invalid_rows": 1, "max_invalid_row_pct": 0.5}
    )
    assert bench.run(lenient, vendor_1=feed("A,1,2.50", "B,many,1")) == 0
    assert "reports/invalid_rows.csv" in bench.tree()
    assert "reports/errors.json" in bench.tree()


def test_a_failed_run_says_its_code_last_and_leaves_its_reports(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        bench.run(config_document(), vendor_1=feed("A,1,2.50", "B,many,1")) == 1
    )
    assert last_error_line(capsys).startswith(
        "validation_errors: validation errors"
    )
    assert bench.tree() == [
        "normalized/vendor_1/normalized.csv",
        "reports/config_snapshot.json",
        "reports/errors.json",
        "reports/input_manifest.json",
        "reports/invalid_rows.csv",
        "reports/report.html",
        "reports/report.json",
        "reports/run_summary.json",
    ]
    assert bench.report("run_summary")["error_code"] == "validation_errors"


def test_a_vendor_without_a_file_has_no_input(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run(config_document()) == 1
    errors = capsys.readouterr().err
    assert errors.splitlines()[-1].startswith("REQUIRED_VENDOR_MISSING: ")
    assert "--vendor-file vendor_1=FILE" in errors
    assert "reports/input_manifest.json" in bench.tree()
    assert "normalized/vendor_1/normalized.csv" not in bench.tree()


def test_a_part_without_a_file_is_named_as_the_command_names_it(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_document()
    document["vendors"][0]["inbound"] = {"type": "local"}
    document["vendors"][0]["parts"] = [
        {
            "part_id": "stock",
            "gives": ["brand"],
            "inbound": {"type": "local"},
            "parser": {"format": "csv"},
        }
    ]
    assert bench.run(document, vendor_1=feed()) == 1
    assert "--vendor-file vendor_1/stock=FILE" in last_error_line(capsys)


def test_an_optional_part_with_too_many_deltas_is_left_out(
    bench: Bench,
) -> None:
    document = config_document()
    document["vendors"][0]["parts"] = [
        {
            "part_id": "brands",
            "gives": ["brand"],
            "inbound": {"type": "local"},
            "parser": {"format": "csv", "column_map": {"brand": "brand"}},
            "required": False,
            "unmatched": None,
            "changes": {"full": "full*", "delta": "delta*", "max_deltas": 1},
        }
    ]
    arguments = []
    for number in range(3):
        rows = feed(f"A,b{number}", header="sku,brand")
        file = bench.write(f"{number}.csv", rows)
        arguments.append(f"--vendor-file=vendor_1/brands={file}")
    base = feed("A,1,2")
    assert bench.run(document, *arguments[:2], vendor_1=base) == 0
    normalized = bench.out / "normalized/vendor_1/normalized.csv"
    assert ",b1," in normalized.read_text()
    assert bench.report("run_summary")["warnings"] == {}
    assert bench.run(document, *arguments, vendor_1=base) == 0
    assert ",b2," not in normalized.read_text()
    assert bench.report("run_summary")["warnings"] == {"PART_LEFT_OUT": 1}


def test_a_feed_whose_rows_match_nothing_says_so(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_document(catalog=CATALOG)
    products = bench.write("products.csv", b"sku\nOTHER\n")
    arguments = ["--vendor-file", f"catalog={products}"]
    assert bench.run(document, *arguments, vendor_1=feed("A,1,2")) == 1
    line = last_error_line(capsys)
    assert line.startswith(
        "empty_output: empty output: no offer is left without the row that matches "
        "nothing, and an empty feed is never published. "
    )
    assert bench.report("run_summary")["rows"]["vendor_1"]["unmatched"] == 1


def test_the_products_of_a_catalog_are_found_for_a_vendor_with_parts(
    bench: Bench,
) -> None:
    document = config_document(catalog=CATALOG)
    document["vendors"][0]["parts"] = [
        {
            "part_id": "more",
            "gives": "rows",
            "inbound": {"type": "local"},
            "parser": {"format": "csv"},
        }
    ]
    part_file = bench.write("more.csv", feed("C,1,2", "D,1,2"))
    products = bench.write("products.csv", b"sku\nA\nD\n")
    arguments = [
        f"--vendor-file=vendor_1/more={part_file}",
        f"--vendor-file=catalog={products}",
    ]
    base = feed("A,1,2", "B,1,2")
    assert bench.run(document, *arguments, vendor_1=base) == 0
    header = "vendor_id,row_number,sku,gtin,brand,mpn,title,"
    unmatched = (bench.out / "reports/unmatched.csv").read_text()
    assert unmatched.splitlines() == [
        f"{header}quantity_available,cost,reason,file",
        "vendor_1,3,B,,,,,1,2.00,unknown,vendor_1.csv",
        "vendor_1,2,C,,,,,1,2.00,unknown,more.csv",
    ]
    document["catalog"]["unmatched"] = "keep"
    assert bench.run(document, *arguments, vendor_1=base) == 0
    assert bench.report("run_summary")["record_count"] == 4


def test_a_file_of_no_bytes_is_a_feed_of_no_rows(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run(config_document(), vendor_1=b"") == 1
    assert last_error_line(capsys).startswith("no_rows_parsed: ")


def test_an_unreadable_feed_fails_in_normalize_and_spares_the_others(
    bench: Bench,
) -> None:
    vendors = (vendor_document("vendor_1"), vendor_document("vendor_2"))
    document = config_document(*vendors)
    assert bench.run(
        document,
        vendor_1=b"sku,quantity_available\n\xff,1\n",
        vendor_2=feed("A,1,1"),
    )
    assert bench.report("errors")["error_code"] == "DECODE_ERROR"
    assert "normalized/vendor_2/normalized.csv" in bench.tree()
    assert "normalized/vendor_1/normalized.csv" not in bench.tree()


def test_another_schema_version_is_a_failed_run_with_the_config_as_stored(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_document(schema_version=2, novelty=["x"])
    assert bench.run(document, vendor_1=feed("A,1,1")) == 1
    assert last_error_line(capsys).startswith("unsupported_schema_version: ")
    assert bench.tree() == [
        "reports/config_snapshot.json",
        "reports/errors.json",
        "reports/report.html",
        "reports/report.json",
        "reports/run_summary.json",
    ]
    assert bench.report("config_snapshot")["tenant_config"] == document
    assert bench.report("run_summary")["vendor_record_counts"] == {
        "vendor_1": 0
    }


EARLIER = (
    "outputs/merged_inventory.tsv",
    "published/state.parquet",
    "reports/changes.csv",
)


def test_a_run_that_succeeds_replaces_what_an_earlier_one_left_and_nothing_else(
    bench: Bench,
) -> None:
    for name in (*EARLIER, "normalized/gone/normalized.csv"):
        bench.write(f"out/{name}", "old")
    mine = [
        "normalized/gone/mine.csv",
        "notes.txt",
        "outputs/mine.txt",
        "reports/mine.csv",
    ]
    for name in mine:
        bench.write(f"out/{name}", "mine")
    assert bench.run(config_document(), vendor_1=feed("A,1,2.50")) == 0
    assert set(mine) < set(bench.tree())
    assert not {EARLIER[0], EARLIER[2], "normalized/gone/normalized.csv"} & set(
        bench.tree()
    )
    assert (bench.out / EARLIER[1]).read_bytes() != b"old"


def test_a_run_without_a_catalog_leaves_no_list_of_an_earlier_one_s_products(
    bench: Bench,
) -> None:
    products = b"sku,title\nA,Vise\nB,Saw\n"
    with_catalog = {**config_document(), "catalog": CATALOG}
    rows = feed("A,1,2.50", "STRANGE,1,2.50")
    assert bench.run(with_catalog, vendor_1=rows, catalog=products) == 0
    lists = {"reports/unmatched.csv", "reports/uncovered.csv"}
    assert lists < {*bench.tree()}
    notes = bench.write("out/reports/notes.txt", "the buyer's own")

    assert bench.run(config_document(), vendor_1=rows) == 0

    assert bench.tree() == sorted([*ALL_PUBLISHED, "reports/notes.txt"])
    assert notes.read_text() == "the buyer's own"


def test_a_run_that_fails_leaves_the_feed_and_the_state_of_an_earlier_one(
    bench: Bench,
) -> None:
    for name in (*EARLIER, "normalized/gone/normalized.csv"):
        bench.write(f"out/{name}", "old")
    assert bench.run(config_document()) == 1
    remaining = [
        name for name in bench.tree() if not name.startswith("reports/")
    ]
    assert remaining == [*EARLIER[:2]]
    assert "reports/changes.csv" not in bench.tree()


def test_a_map_over_its_limit_is_told_also_where_the_command_line_adds_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_MAX_SKU_MAP_BYTES", "20")
    path = bench.write("map.csv", "vendor_sku,sku\nA,B\nC,D\n")
    document = config_document()
    assert (
        bench.run(
            document, f"--sku-map=vendor_1={path}", vendor_1=feed("A,1,2.50")
        )
        == 1
    )
    assert bench.report("run_summary")["error_code"] == "feed_too_large"


def test_a_feed_of_another_format_takes_the_place_of_an_earlier_one(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.write("out/outputs/merged_inventory.csv", "old")
    output = {
        "format": "jsonl",
        "columns": [{"column": "sku", "as": "id"}, "price"],
    }
    assert (
        bench.run(config_document(output=output), vendor_1=feed("A,1,2.50"))
        == 0
    )
    assert [name for name in bench.tree() if name.startswith("outputs/")] == [
        "outputs/merged_inventory.jsonl"
    ]
    feed_file = bench.out / "outputs" / "merged_inventory.jsonl"
    assert feed_file.read_bytes() == b'{"id":"A","price":"2.50"}\n'
    assert f"feed: {feed_file};" in capsys.readouterr().out


def test_the_files_of_channels_take_the_place_of_earlier_ones(
    bench: Bench,
) -> None:
    for name in ("old.csv.gz", "shop.jsonl", "mine.txt"):
        bench.write(f"out/outputs/channels/{name}", "old")
    shop = {"channel_id": "shop", "output": {"columns": ["sku"]}}
    document = config_document(channels=[shop])
    assert bench.run(document, vendor_1=feed("A,1,2.50")) == 0
    folder = bench.out / "outputs" / "channels"
    assert {path.name for path in folder.iterdir()} == {"mine.txt", "shop.csv"}
    assert (folder / "shop.csv").read_bytes() == b"sku\nA\n"


def test_the_same_run_twice_gives_the_same_bytes(bench: Bench) -> None:
    data = feed("B,1,2", "A,1,2")
    places = [bench.folder / "out" / name for name in ALL_PUBLISHED[:3]]
    runs = []
    for _ in range(2):
        assert bench.run(config_document(), "--run-id", "r", vendor_1=data) == 0
        runs.append([place.read_bytes() for place in places])
    assert runs[0] == runs[1]


# --- SKU maps -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sku_map",
    [
        {"type": "file", "local_path": "maps/m.csv"},
        {"type": "s3", "s3_key": "tenants/acme/m.csv"},
        None,
    ],
    ids=[
        "a file beside the config",
        "an object stood in for",
        "none in the config",
    ],
)
def test_a_sku_map_is_applied(
    bench: Bench, sku_map: Mapping[str, str] | None
) -> None:
    path = bench.write("maps/m.csv", "vendor_sku,sku\nA,OURS\n")
    named = (
        []
        if sku_map and sku_map["type"] == "file"
        else ["--sku-map", f"vendor_1={path}"]
    )
    document = config_document(vendor_document(sku_map=sku_map))
    assert bench.run(document, *named, vendor_1=feed("A,1,1")) == 0
    assert [row["sku"] for row in bench.merged()] == ["OURS"]


@pytest.mark.parametrize(
    "sku_map",
    [
        {"type": "file", "local_path": "maps/absent.csv"},
        {"type": "s3", "s3_key": "tenants/acme/m.csv"},
    ],
    ids=["file", "s3"],
)
def test_a_configured_map_that_is_absent_fails_the_run(
    bench: Bench, capsys: pytest.CaptureFixture[str], sku_map: Mapping[str, str]
) -> None:
    document = config_document(vendor_document(sku_map=sku_map))
    assert bench.run(document, vendor_1=feed("A,1,1")) == 1
    assert last_error_line(capsys).startswith("missing_sku_map: ")


# --- bad usage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--vendor-file", "nobody=x.csv"], "no vendor 'nobody'"),
        (["--vendor-file", "vendor_1"], "does not have the form VENDOR=FILE"),
        (["--vendor-file", "vendor_1=absent.csv"], "absent.csv: No such file"),
        (["--vendor-file", "vendor_1=."], "Is a directory"),
        (["--sku-map", "vendor_1=absent.csv"], "absent.csv: No such file"),
        (["--sku-map", "nobody=x.csv"], "no vendor 'nobody'"),
        (["--now", "tomorrow"], "--now: 'tomorrow'"),
        (
            ["--now", "1899-12-31"],
            "--now: '1899-12-31' is not in the years 1900 to 2199",
        ),
        (
            ["--now", "2200-01-01"],
            "--now: '2200-01-01' is not in the years 1900 to 2199",
        ),
        (
            ["--now", "9999-12-31T23:00-05:00"],
            "--now: '9999-12-31T23:00-05:00'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_writes_nothing(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    assert bench.run(config_document(), *arguments) == 2
    assert told in capsys.readouterr().err
    assert not bench.out.exists()


def test_a_vendor_named_twice_is_bad_usage(bench: Bench) -> None:
    twice = ["--vendor-file", f"vendor_1={bench.write('again.csv', feed())}"]
    assert bench.run(config_document(), *twice, vendor_1=feed("A,1,1")) == 2


def test_an_input_in_a_folder_that_is_replaced_is_refused(bench: Bench) -> None:
    input_file = bench.write(
        "out/normalized/vendor_1/normalized.csv", feed("A,1,1")
    )
    assert (
        bench.run(config_document(), "--vendor-file", f"vendor_1={input_file}")
        == 2
    )
    assert input_file.exists()


def test_every_fault_of_a_config_is_told_on_a_line_of_its_own(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_document(timezone="Mars/Olympus", novelty=1)
    assert bench.run(document) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in sorted(errors)] == [
        "novelty",
        "timezone",
    ]
    assert not bench.out.exists()


def test_a_feed_is_judged_by_the_limits_of_the_environment(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = feed("A,1,2.50")
    monkeypatch.setenv("RELAY_MAX_FEED_BYTES", str(len(data)))
    assert bench.run(config_document(), vendor_1=data) == 0
    monkeypatch.setenv("RELAY_MAX_FEED_BYTES", str(len(data) - 1))
    assert bench.run(config_document(), vendor_1=data) == 1
    assert last_error_line(capsys).startswith(
        "feed_too_large: feed too large: the feed of vendor 'vendor_1'"
    )
    assert bench.report("run_summary")["error_code"] == "feed_too_large"
    assert bench.report("errors")["counts"] == {"feed_too_large": 1}
    assert bench.report("input_manifest")["vendors"]["vendor_1"]["size"] == len(
        data
    )


def test_of_a_pipe_no_more_is_read_than_a_feed_may_have(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RELAY_MAX_FEED_BYTES", "1000")
    assert bench.run(config_document(), "--vendor-file=vendor_1=/dev/zero") == 1
    assert "the feed of vendor 'vendor_1' has 1001 bytes" in last_error_line(
        capsys
    )


def test_a_run_that_needs_more_memory_than_it_may_have_fails_at_once(
    bench: Bench,
) -> None:
    """In a process of its own, as the limit is of a process."""
    config = bench.write("config.json", config_document())
    # The rows take more than the addresses that are left for the contracts of rows.
    data = bench.write(
        "feed.csv", feed(*[f"SKU-{n:040},1,2.50" for n in range(3_000_000)])
    )
    command = [sys.executable, "scripts/local_run.py", f"--config={config}"]
    command += [f"--vendor-file=vendor_1={data}", f"--output-dir={bench.out}"]

    def run(megabytes: int) -> tuple[int, str]:
        environment = {**os.environ, "RELAY_MAX_RUN_MEMORY_MB": str(megabytes)}
        process = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True
        )
        return process.returncode, process.stderr

    assert run(4_000)[0] == 0
    status, errors = run(1)
    assert status == 1, errors
    last = errors.splitlines()[-1]
    assert last.startswith(
        "feed_too_large: feed too large: the run needs more memory than 1 MiB"
    )
    summary = bench.report("run_summary")
    assert (summary["status"], summary["error_code"]) == (
        "FAILED",
        "feed_too_large",
    )
    assert (
        bench.report("input_manifest")["vendors"]["vendor_1"]["status"]
        == "found"
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("RELAY_MAX_VENDORS", "1", "vendors: has 2 entries; the limit is 1"),
        (
            "RELAY_MAX_CONFIG_BYTES",
            "100",
            "bytes as JSON without white space; the limit is 100",
        ),
        (
            "RELAY_MAX_CELL_BYTES",
            "0",
            "RELAY_MAX_CELL_BYTES must be greater than or equal to 1",
        ),
        (
            "RELAY_MAX_COLUMNS",
            "x",
            "RELAY_MAX_COLUMNS must be a whole number, not 'x'",
        ),
    ],
)
def test_a_config_over_a_limit_and_a_limit_that_is_none_are_bad_usage(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    told: str,
) -> None:
    monkeypatch.setenv(name, value)
    document = config_document(
        vendor_document("vendor_1"), vendor_document("vendor_2")
    )
    assert bench.run(document, vendor_1=feed("A,1,2.50")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert bench.tree() == []


def test_a_config_without_vendors_has_nothing_to_run(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run(config_document(vendors=[])) == 2
    assert last_error_line(capsys) == (
        "vendors: the config has no vendors, so there is nothing to run. Add a vendor."
    )
    assert bench.tree() == []


@pytest.mark.parametrize("text", ["{", "a: [", "- 1\n- 2\n", "", "\ttab"])
def test_a_config_that_is_no_document_is_bad_usage(
    bench: Bench, text: str
) -> None:
    assert bench.run(text) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--output-dir", "x"],
        ["--config", "c", "--tenant", "t", "--output-dir", "x"],
    ],
    ids=["nothing", "no config", "config and tenant"],
)
def test_an_incomplete_command_line_is_bad_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as system_exit:
        main(arguments)
    assert system_exit.value.code == 2


def test_an_output_folder_that_cannot_be_made_is_bad_usage(
    bench: Bench,
) -> None:
    bench.write("out", "a file")
    assert bench.run(config_document(), vendor_1=feed("A,1,1")) == 2


def test_a_file_that_cannot_be_written_is_bad_usage_and_nothing_is_left(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    data = feed(*(f"SKU-{number},1,2.00" for number in range(9999)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (len(data), before[1]))
    try:
        status = bench.run(config_document(), vendor_1=data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert status == 2
    assert last_error_line(capsys).endswith("File too large")
    assert bench.tree() == []


# --- the sample tenant and the clock --------------------------------------------------------------


def test_the_sample_tenant_publishes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tenant", "acme_parts", "--output-dir", str(tmp_path)]) == 0
    assert "SUCCEEDED" in capsys.readouterr().out
    summary = json.loads(
        (tmp_path / "reports" / "run_summary.json").read_text("utf-8")
    )
    assert (summary["vendor_count"], summary["invalid_rows"]) == (3, 12)


def test_an_unknown_sample_tenant_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tenant", "nobody", "--output-dir", str(tmp_path)]) == 2
    assert "acme_parts" in capsys.readouterr().err


@pytest.mark.parametrize(
    "now", ["2026-03-01T12:00:00", "2026-03-01T06:00:00-06:00"]
)
def test_now_stands_in_for_a_null_updated_at(bench: Bench, now: str) -> None:
    document = config_document(output={"columns": ["sku", "updated_at"]})
    assert bench.run(document, "--now", now, vendor_1=feed("A,1,1")) == 0
    assert bench.merged() == [
        {"sku": "A", "updated_at": "2026-03-01T12:00:00Z"}
    ]
