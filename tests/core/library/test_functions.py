"""`import relay_core`: a run, a check, and a first config over files, and their errors."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import relay_core
from relay_dagster.local.command import main as relay_local
from support.builders import RUN_ID, config_document, feed, vendor_document
from support.local_bench import NOW, Bench

ROOT = Path(__file__).resolve().parents[3]
AT = datetime.fromisoformat(NOW)
ROWS = feed("A,1,2.50", "B,2,3.00")
REJECTED = feed("A,1,2.50", "B,2,-3.00")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files of a run, without the clock of its summary."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    summary = json.loads(files["reports/run_summary.json"])
    for name in ("duration_seconds", "stage_times", "completed_at"):
        del summary[name]
    files["reports/run_summary.json"] = json.dumps(summary).encode()
    # The time at which inputs were looked up is the clock's, too.
    manifest = json.loads(files["reports/input_manifest.json"])
    del manifest["generated_at"]
    files["reports/input_manifest.json"] = json.dumps(manifest).encode()
    return files


# --- the import ---------------------------------------------------------------------------------


def test_the_names_are_those_of_the_page() -> None:
    assert sorted(relay_core.__all__) == [
        "Check",
        "Config",
        "ConfigError",
        "Fault",
        "Result",
        "check",
        "load_config",
        "propose",
        "run",
    ]
    for name in relay_core.__all__:
        assert getattr(relay_core, name).__doc__, name
    with pytest.raises(AttributeError, match="nothing"):
        _ = relay_core.nothing


def test_the_import_loads_none_of_what_a_run_needs() -> None:
    program = (
        "import sys, relay_core; relay_core.__all__; dir(relay_core); "
        "print([name for name in ('pandas', 'dagster', 'boto3', 'pyarrow', 'pydantic', "
        "'numpy', 'yaml') if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout == "[]\n"


def test_both_packages_are_typed() -> None:
    for package in ("relay_core", "relay_dagster"):
        assert (ROOT / package / "py.typed").is_file()


# --- runs ---------------------------------------------------------------------------------------


def test_a_run_that_succeeds_has_a_feed_with_decimals() -> None:
    result = relay_core.run(config_document(), {"vendor_1": ROWS}, now=AT)
    assert (result.status, result.error_code) == ("succeeded", None)
    assert result.feed is not None
    assert result.feed.to_pydict()["price"] == [
        Decimal("2.50"),
        Decimal("3.00"),
    ]
    assert result.feed.schema.field("price").type == pa.decimal128(18, 2)
    assert (result.rejected, result.changes, result.errors) == (
        None,
        None,
        None,
    )
    assert result.summary["record_count"] == 2
    assert result.guards == []


def test_wrong_data_are_a_result_and_no_exception() -> None:
    result = relay_core.run(config_document(), {"vendor_1": REJECTED}, now=AT)
    assert (result.status, result.error_code) == ("failed", "validation_errors")
    assert result.error_message.startswith("validation errors: 1 of 2 rows")
    assert result.feed is None
    assert result.rejected.to_pylist() == [
        {
            "vendor_id": "vendor_1",
            "row_number": 3,
            "error_codes": "negative_amount",
            "raw": "B,2,-3.00",
        }
    ]
    assert result.errors["error_code"] == "validation_errors"
    assert result.explain("A")["error_code"] == "RUN_NOT_MERGED"


def test_a_rejected_record_of_several_lines_is_one_row() -> None:
    rows = b'sku,quantity_available,cost\n"A\n1",x,2.50\nB,1,2.50\n'
    result = relay_core.run(config_document(), {"vendor_1": rows}, now=AT)
    assert result.rejected["raw"].to_pylist() == ['"A\n1",x,2.50']


def test_changes_are_those_against_the_result_before(bench: Bench) -> None:
    before = relay_core.run(config_document(), {"vendor_1": ROWS}, now=AT)
    rows = feed("A,1,2.75", "C,1,1.00")
    result = relay_core.run(
        config_document(), {"vendor_1": rows}, now=AT, baseline=before
    )
    changes = result.changes.to_pydict()
    assert list(zip(changes["sku"], changes["change"], strict=True)) == [
        ("A", "changed"),
        ("B", "removed"),
        ("C", "added"),
    ]
    assert changes["price_before"] == [Decimal("2.50"), Decimal("3.00"), None]
    before.write(bench.out)
    again = relay_core.run(
        config_document(),
        {"vendor_1": rows},
        now=AT,
        baseline=bench.out / "published" / "state.parquet",
    )
    assert again.changes.equals(result.changes)


def test_a_feed_on_hold_has_its_guards_and_is_no_baseline() -> None:
    twenty_rows = feed(*(f"S{number},1,2.50" for number in range(20)))
    before = relay_core.run(
        config_document(), {"vendor_1": twenty_rows}, now=AT
    )
    held = relay_core.run(
        config_document(),
        {"vendor_1": feed("S1,1,2.50")},
        now=AT,
        baseline=before,
    )
    assert held.status == "held"
    assert held.feed.num_rows == 1
    tripped = [guard["guard"] for guard in held.guards if guard["tripped"]]
    assert tripped == ["skus_removed", "vendor_rows"]
    with pytest.raises(ValueError, match="held, so it is no baseline"):
        relay_core.run(
            config_document(), {"vendor_1": twenty_rows}, baseline=held
        )


def test_a_sku_is_explained_from_memory() -> None:
    result = relay_core.run(config_document(), {"vendor_1": ROWS}, now=AT)
    assert result.explain("A")["sku"] == "A"
    assert result.explain("A")["offers"]
    assert result.explain("NOBODY") == {
        "sku": "NOBODY",
        "error_code": "SKU_NOT_FOUND",
    }


def test_overrides_come_as_a_list_or_a_file(bench: Bench) -> None:
    overrides = [{"sku": "A", "price": 9.99}]
    path = bench.write("overrides.json", json.dumps(overrides))
    for source in (overrides, path):
        result = relay_core.run(
            config_document(), {"vendor_1": ROWS}, now=AT, overrides=source
        )
        assert result.feed["price"].to_pylist()[0] == Decimal("9.99")


def test_a_run_writes_nothing_unless_it_is_told(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(bench.folder)
    result = relay_core.run(config_document(), {"vendor_1": ROWS})
    assert [*bench.folder.iterdir()] == []
    result.write("out")
    assert "outputs/merged_inventory.csv" in bench.tree()
    assert capfd.readouterr() == ("", "")


CASES: dict[str, bytes] = {
    "succeeded": ROWS,
    "failed": REJECTED,
    "no rows": b"",
}


@pytest.mark.parametrize("case", CASES)
def test_the_files_have_the_bytes_of_relay_local(
    case: str, bench: Bench
) -> None:
    document = config_document(
        channels=[
            {"channel_id": "shop", "output": {"columns": ["sku", "price"]}}
        ]
    )
    config = bench.write("tenant.json", document)
    path = bench.write("vendor_1.csv", CASES[case])
    relay_local(
        [
            str(config),
            f"--vendor-file=vendor_1={path}",
            f"--output-dir={bench.folder / 'local'}",
            f"--now={NOW}",
            f"--run-id={RUN_ID}",
        ]
    )
    result = relay_core.run(config, {"vendor_1": path}, now=AT, run_id=RUN_ID)
    result.write(bench.folder / "library")
    local = files_in(bench.folder / "local")
    assert files_in(bench.folder / "library") == local
    assert "reports/report.html" in local


def test_a_result_leaves_what_a_local_run_leaves(bench: Bench) -> None:
    good = relay_core.run(config_document(), {"vendor_1": ROWS}, now=AT)
    bad = relay_core.run(config_document(), {"vendor_1": REJECTED}, now=AT)
    good.write(bench.out)
    bench.write("out/reports/notes.txt", "mine")
    bench.write("out/reports/changes.csv", "of an earlier run")
    bad.write(bench.out)
    assert set(bench.tree()) >= {
        "outputs/merged_inventory.csv",
        "published/state.parquet",
        "reports/notes.txt",
        "reports/invalid_rows.csv",
    }
    assert "reports/changes.csv" not in bench.tree()


# --- configs, checks, proposals -----------------------------------------------------------------


def test_a_config_comes_from_a_path_a_text_or_a_mapping(bench: Bench) -> None:
    document = config_document()
    path = bench.write("tenant.json", document)
    text = f"# a config\n{json.dumps(document)}\n"
    loaded = [relay_core.load_config(source) for source in (path, str(path))]
    loaded += [relay_core.load_config(source) for source in (text, document)]
    assert {config.tenant_id for config in loaded} == {"acme"}
    assert len({json.dumps(config.to_dict()) for config in loaded}) == 1
    assert relay_core.load_config(loaded[0]) is loaded[0]
    assert repr(loaded[0]) == "<Config of acme: vendor_1>"


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ({**config_document(), "schema_version": 2}, "schema_version"),
        ({**config_document(), "vendors": []}, "vendors"),
        ({**config_document(), "timezone": "Mars"}, "timezone"),
        ("- a\n- list\n", ""),
    ],
)
def test_a_fault_of_a_config_is_an_exception_with_its_path(
    source: Any, path: str
) -> None:
    for function in (relay_core.load_config, relay_core.run, relay_core.check):
        with pytest.raises(relay_core.ConfigError) as caught:
            function(source)
        (fault,) = caught.value.faults
        assert isinstance(caught.value.faults, list)
        assert isinstance(fault, relay_core.Fault)
        assert fault.path == path
        assert fault.message


def test_a_path_of_the_config_without_a_file_is_a_failed_run(
    bench: Bench,
) -> None:
    inbound = {"type": "local", "path": "gone.csv"}
    document = config_document(vendor_document(inbound=inbound))
    config = bench.write("tenant.json", document)
    result = relay_core.run(config)
    assert result.error_code == "REQUIRED_VENDOR_MISSING"
    assert str(bench.folder / "gone.csv") in str(result.error_message)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"files": {"vendor_1": "gone.csv"}}, FileNotFoundError, "gone.csv"),
        ({"files": {"nobody": b""}}, ValueError, "no vendor 'nobody'"),
        ({"files": {"vendor_1": [b"", b""]}}, ValueError, "named twice"),
        ({"files": {"vendor_1": []}}, ValueError, "has no file"),
        ({"files": {"vendor_1": 7}}, TypeError, "not int"),
        ({"files": {"vendor_1": [7]}}, TypeError, "has a int"),
        ({"now": "2026-03-01"}, TypeError, "not str"),
        ({"now": datetime(2300, 1, 1, tzinfo=UTC)}, ValueError, "years"),
        ({"baseline": __file__}, ValueError, "test_functions"),
        ({"baseline": "gone.parquet"}, FileNotFoundError, "gone"),
        ({"overrides": "gone.json"}, FileNotFoundError, "gone"),
        ({"config": 7}, TypeError, "not int"),
    ],
)
def test_a_fault_of_the_caller_is_an_exception(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    call = {"config": config_document(), **options}
    with pytest.raises(error, match=message):
        relay_core.run(call.pop("config"), call.pop("files", None), **call)


def test_a_check_proposes_the_settings_that_a_file_needs() -> None:
    rows = b"sku;quantity_available;cost\nA;2;3,10\nB;1;2,50\n"
    check = relay_core.check(config_document(), {"vendor_1": rows})
    assert check.verdict == "fails"
    assert check.message.startswith(
        "A run would fail: missing_required_columns"
    )
    assert {
        "op": "add",
        "path": "/vendors/0/parser/delimiter",
        "value": ";",
    } in (check.proposals)
    result = relay_core.run(check.config, {"vendor_1": rows}, now=AT)
    assert result.status == "succeeded", result.error_message
    again = relay_core.check(check.config, {"vendor_1": rows})
    assert (again.verdict, again.proposals) == ("succeeds", [])
    assert again.message == "A run would succeed, with 2 SKUs in the feed"
    assert [doubt["code"] for doubt in again.doubts] == ["config"]


def test_a_proposal_is_the_text_of_relay_new(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.folder)
    bench.write("lists/acme.csv", ROWS)
    bench.write("b.csv", ROWS)
    command = [sys.executable, "-m", "relay_dagster.start", "new"]
    subprocess.run(
        [*command, "lists/acme.csv", "b.csv"],
        check=True,
        capture_output=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    text = relay_core.propose(["lists/acme.csv", Path("b.csv")])
    assert (bench.folder / "tenant.yaml").read_text("utf-8") == text
    assert relay_core.run("tenant.yaml").status == "succeeded"


def test_a_proposal_for_bytes_names_no_path() -> None:
    text = relay_core.propose({"acme.csv": ROWS})
    config = relay_core.load_config(text)
    assert config.vendor_ids == ["acme"]
    assert config.tenant.vendors[0].inbound.path is None


@pytest.mark.parametrize("files", [[], {}])
def test_a_proposal_needs_files(files: Any) -> None:
    with pytest.raises(ValueError, match="1 to"):
        relay_core.propose(files)
