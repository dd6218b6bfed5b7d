"""The client commands against the live API: what they print where, and their exit status."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from relay_dagster import cli
from support.api_world import NOBODY_S_RUN, TENANT
from support.builders import (
    config_document,
    feed,
    tenant_config,
    vendor_document,
)
from support.client_world import ClientWorld

GOOD = {"vendor_1": feed("A-1,5,10.00", "B-2,0,4.00")}
REFUSED = {
    "vendor_1": feed(
        "A-1,5,10.00", "B-2,many,4.00", "C-3,1,n/a", "D-4,1,tba", ",1,2.00"
    ),
}

UNDOUBTED = config_document(pricing={"min_price": "1"})


def last_line(text: str) -> str:
    return text.splitlines()[-1]


# --- relay run ------------------------------------------------------------------------------------


def test_run_prints_the_run_id_and_nothing_else(world: ClientWorld) -> None:
    world.api.store_config()
    result = world.relay("run", TENANT)
    assert result.exit_code == 0, result.output
    record = world.platform.runs.get(result.stdout.strip())
    assert record is not None
    assert (record.tenant_id, record.vendors, result.stderr) == (
        TENANT,
        None,
        "",
    )


def test_run_asks_for_the_vendors_named_and_keeps_to_the_idempotency_key(
    world: ClientWorld,
) -> None:
    world.api.store_config(vendor_document("v1"), vendor_document("v2"))
    command = (
        "run",
        TENANT,
        "--vendor",
        "v2",
        "--vendor",
        "v1",
        "--idempotency-key",
        "night-1",
    )
    first = world.relay(*command)
    again = world.relay(*command)
    assert first.stdout == again.stdout
    record = world.platform.runs.get(first.stdout.strip())
    assert record is not None
    assert set(record.vendors or ()) == {"v1", "v2"}


def test_a_busy_tenants_run_is_named_with_how_to_watch_it(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    active = world.start()
    result = world.relay("run", TENANT)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "TENANT_ALREADY_RUNNING: " in result.stderr
    assert f"relay runs show {active} --watch" in result.stderr


def test_a_watched_run_that_succeeds_ends_with_status_0(
    world: ClientWorld,
) -> None:
    world.api.store_config()

    def work() -> None:
        while not (messages := world.api.messages()):
            pass
        world.end(json.loads(messages[0].body)["run_id"], GOOD)

    worker = threading.Thread(target=work)
    worker.start()
    result = world.relay("run", TENANT, "--watch")
    worker.join()
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].endswith("QUEUED  QUEUE  attempt 0")
    assert lines[-2].endswith("SUCCEEDED  COMPLETE  attempt 1")
    assert lines[-1].startswith("SUCCEEDED in ")


# --- relay runs list ------------------------------------------------------------------------------


def many_runs(world: ClientWorld, count: int) -> list[str]:
    run_ids = []
    for number in range(count):
        response = world.api.post_run(tenant_id=f"t{number}")
        run_ids.append(str(response.json()["run_id"]))
    return run_ids[::-1]


def test_runs_are_whole_lines_newest_first_where_they_are_piped(
    world: ClientWorld,
) -> None:
    run_ids = many_runs(world, 3)
    result = world.relay("runs", "list")
    head, *lines = result.stdout.splitlines()
    assert head.split() == [
        "run_id",
        "tenant_id",
        "status",
        "requested_at",
        "took",
        "error_code",
    ]
    assert [line.split()[0] for line in lines] == run_ids


def test_runs_are_no_more_than_the_limit(world: ClientWorld) -> None:
    run_ids = many_runs(world, 3)
    listed = json.loads(
        world.relay("runs", "list", "--json", "--limit", "2").stdout
    )
    assert [run["run_id"] for run in listed] == run_ids[:2]


def test_runs_are_chosen_by_tenant_and_status(world: ClientWorld) -> None:
    world.api.store_config()
    run_id = world.start()
    world.end(run_id, GOOD)
    many_runs(world, 1)
    chosen = world.relay(
        "runs", "list", "--tenant", TENANT, "--status", "SUCCEEDED", "--json"
    )
    assert [run["run_id"] for run in json.loads(chosen.stdout)] == [run_id]
    assert (
        world.relay(
            "runs", "list", "--tenant", TENANT, "--status", "FAILED"
        ).stdout
        == "No runs found.\n"
    )


# --- relay runs show ------------------------------------------------------------------------------


def test_show_tells_counts_stage_times_and_links(world: ClientWorld) -> None:
    world.api.store_config()
    run_id = world.start()
    world.end(run_id, GOOD)
    result = world.relay("runs", "show", run_id)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == f"run {run_id} of {TENANT}"
    assert lines[1].startswith("SUCCEEDED in ")
    for line in (
        "The new feed has 2 SKUs. There is no previous feed to compare it with.",
        "2 SKUs in the feed",
        "2 Rows read",
        "0 Rows rejected (0%)",
        "warnings: none",
        "1 min 2 s NORMALIZE",
    ):
        assert line in lines
    ending = lines.index(
        f"artifacts (download one with: relay runs artifacts {run_id} NAME)"
    )
    document = json.loads(world.relay("runs", "show", run_id, "--json").stdout)
    assert lines[ending + 1 :] == list(document["artifacts"])
    assert "http" not in result.stdout


def test_show_tells_the_rows_of_channels(world: ClientWorld) -> None:
    world.api.store_config()
    run_id = world.start()
    shop = {"channel_id": "shop", "output": {"columns": ["sku"]}}
    config = tenant_config(vendor_document("vendor_1"), channels=[shop])
    world.end(run_id, GOOD, config)
    output = world.relay("runs", "show", run_id).stdout
    lines = [" ".join(line.split()) for line in output.splitlines()]
    start = lines.index("Channels")
    assert lines[start + 1 : start + 4] == [
        "shop 2 rows",
        "First rows of the file",
        "sku",
    ]


def test_show_tells_the_rows_that_match_the_catalog_and_the_others(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    catalog = {
        "inbound": {
            "type": "s3",
            "s3_prefix": f"tenants/{TENANT}/inbound/catalog/",
        },
        "parser": {"format": "csv"},
    }
    config = tenant_config(vendor_document("vendor_1"), catalog=catalog)
    world.end(run_id, {"catalog": b"sku\nA-1\nY-8\nZ-9\n", **GOOD}, config)
    output = world.relay("runs", "show", run_id).stdout
    lines = [" ".join(line.split()) for line in output.splitlines()]
    start = lines.index("Your products")
    assert lines[start + 1] == "The catalog has 3 rows."
    assert "vendor_1 0 0 0 1" in lines[start + 2 :]
    assert "Rows without a product 1 row" in lines[start + 2 :]
    assert "Products without an offer 2 products" in lines[start + 2 :]
    assert {"unmatched", "uncovered"} <= set(lines[start + 2 :])


def test_show_tells_where_the_rows_went_as_long_as_the_summary_is_there(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    record = world.end(run_id, {"vendor_1": feed("A,1,1", "A,1,2")})
    lines = [
        " ".join(line.split())
        for line in world.relay("runs", "show", run_id).stdout.splitlines()
    ]
    start = lines.index("Where the rows went")
    assert lines[start + 1 : start + 4] == [
        "vendor_1 2 rows",
        "1 In the feed (50%)",
        "1 A better row has the same SKU (50%)",
    ]
    rows = json.loads(world.relay("runs", "show", run_id, "--json").output)[
        "run"
    ]["rows"]
    assert rows["vendor_1"]["read"] == 2
    listed = world.api.client.get("/v1/runs").json()["runs"]
    assert "rows" not in listed[0]
    world.platform.objects.delete(record.artifacts["run_summary"])
    assert world.api.client.get(f"/v1/runs/{run_id}").json()["rows"] is None


def test_show_tells_what_started_a_run_and_when_the_next_is_due(
    world: ClientWorld,
) -> None:
    world.api.store_config(triggers={"schedule": {"cron": "0 6 * * *"}})
    run_id = world.start()
    lines = [
        line.strip()
        for line in world.relay("runs", "show", run_id).stdout.splitlines()
    ]
    assert any(line.endswith("started by api") for line in lines)
    (due,) = (
        line for line in lines if line.startswith("next scheduled run at ")
    )
    next_run = json.loads(world.relay("runs", "show", run_id, "--json").stdout)[
        "next_run_at"
    ]
    assert next_run.endswith("T06:00:00Z")
    assert next_run[:10] in due


def test_a_failed_run_is_shown_with_status_0_and_watched_with_status_1(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    world.end(run_id, REFUSED)
    assert world.relay("runs", "show", run_id).exit_code == 0
    watched = world.relay("runs", "show", run_id, "--watch")
    assert watched.exit_code == 1
    assert last_line(watched.stderr).startswith(
        "validation_errors: validation errors: "
    )
    assert f"relay runs errors {run_id}" in watched.stdout
    assert "vendor_data; next step: Fix " in watched.stdout


def test_a_cancelled_run_that_is_watched_ends_with_status_1_and_says_so(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    world.api.client.post(f"/v1/runs/{run_id}/cancel")
    watched = world.relay("runs", "show", run_id, "--watch")
    assert watched.exit_code == 1
    assert watched.stderr == "CANCELLED: the run was cancelled in QUEUE\n"


def test_show_as_json_holds_run_summary_and_artifacts_also_when_it_watches(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    world.end(run_id, GOOD)
    document = json.loads(
        world.relay("runs", "show", run_id, "--json", "--watch").stdout
    )
    assert document["run"] == world.api.client.get(f"/v1/runs/{run_id}").json()
    assert document["summary"]["record_count"] == 2
    names = {"merged_inventory", "normalized_vendor_1", "report"}
    names |= {"report_data", "run_summary"}
    assert set(document["artifacts"]) == names


def test_a_summary_that_cannot_be_had_is_a_note_under_the_run(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    world.end(run_id, GOOD)
    key = f"{run_id}/tenants/{TENANT}/reports/run_summary.json"
    world.platform.objects.put(key, b"<html>")
    result = world.relay("runs", "show", run_id)
    assert result.exit_code == 0, result.output
    assert (
        "run_summary.json has a format that this version of relay cannot read."
        in result.stdout
    )
    assert "merged_inventory" in result.stdout


# --- relay runs errors ----------------------------------------------------------------------------


def test_errors_are_causes_with_samples_and_what_to_do_and_then_the_rest(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    world.end(run_id, REFUSED)
    result = world.relay("runs", "errors", run_id)
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert (
        lines[0]
        == f"run {run_id} of {TENANT}: FAILED in MERGE_PRICE, validation_errors"
    )
    assert lines[1] == f"next step: {world.record(run_id).next_action}"
    place = lines.index(
        "1 x invalid_decimal (vendor vendor_1, column cost, A/A)"
    )
    assert lines[place + 1] == 'row 4: "n/a"'
    assert lines[place + 2].startswith(
        "fix: correct the cell, or set parser.currency_symbols"
    )
    assert "1 x missing_sku (vendor vendor_1, column sku, empty)" in lines
    assert place < lines.index("1 x validation_errors")
    assert "invalid_rows.csv: http://" in lines[-1]


def test_errors_say_the_line_of_a_file_where_it_is_another_number(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    world.end(run_id, {"vendor_1": feed("A,1,1.00", "", "B,many,1.00")})
    output = world.relay("runs", "errors", run_id).stdout
    assert '    row 3 (line 4): "many"\n' in output


def test_errors_count_every_refused_cell_and_say_when_the_report_was_cut(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    rows = [f"S-{number},many,1.00" for number in range(10_001)]
    world.end(run_id, {"vendor_1": feed(*rows)})
    lines = world.relay("runs", "errors", run_id).stdout.splitlines()
    place = lines.index(
        "10,001 x invalid_quantity (vendor vendor_1, column quantity_available, A)"
    )
    assert [line.strip() for line in lines[place + 1 : place + 3]] == [
        'row 2: "many"',
        "and 10,000 more",
    ]
    assert (
        "errors.json has only the first entries. All entries: invalid_quantity 10,001"
        in lines
    )
    assert "invalid_rows.csv: http://" in lines[-1]


def test_errors_as_json_hold_the_counts_the_causes_and_the_rest(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    world.end(run_id, REFUSED)
    report = json.loads(world.relay("runs", "errors", run_id, "--json").stdout)
    assert report["counts"]["invalid_decimal"] == 2
    assert (report["failure_class"], report["next_action"]) == (
        "vendor_data",
        world.record(run_id).next_action,
    )
    first, second = (
        cause
        for cause in report["causes"]
        if cause["error_code"] == "invalid_decimal"
    )
    assert (
        first["vendor_id"],
        first["column"],
        first["shape"],
        first["count"],
    ) == (
        "vendor_1",
        "cost",
        "A/A",
        1,
    )
    assert [cause["samples"] for cause in (first, second)] == [
        [{"row_number": 4, "value": "n/a"}],
        [{"row_number": 5, "value": "tba"}],
    ]
    assert [cause["error_code"] for cause in report["matters"]] == [
        "validation_errors"
    ]
    assert report["invalid_rows"].startswith("http://")


def test_errors_of_a_run_without_any_say_so(world: ClientWorld) -> None:
    world.api.store_config()
    run_id = world.start()
    assert (
        "is QUEUED. Its errors are reported"
        in world.relay("runs", "errors", run_id).stdout
    )
    world.end(run_id, GOOD)
    assert (
        "SUCCEEDED, without errors or warnings"
        in world.relay("runs", "errors", run_id).stdout
    )


def test_errors_of_a_run_without_a_report_are_what_its_record_tells(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    run_id = world.start()
    world.platform.ledger.poison(run_id, "S3 refuses")
    result = world.relay("runs", "errors", run_id)
    assert result.exit_code == 0
    assert result.stdout.startswith(
        f"run {run_id} of {TENANT}: FAILED in QUEUE, POISON_JOB: "
    )
    assert "S3 refuses" in result.stdout


def test_a_feeds_cell_cannot_steer_the_terminal(world: ClientWorld) -> None:
    world.api.store_config()
    run_id = world.start()
    world.end(run_id, {"vendor_1": feed("A-1,\x1b[2J[red]x,1.00")})
    output = world.relay("runs", "errors", run_id).output
    assert "\x1b" not in output
    assert "[red]x" in output


# --- relay config ---------------------------------------------------------------------------------


def write(path: Path, document: Any) -> str:
    path.write_text(
        document if isinstance(document, str) else json.dumps(document)
    )
    return str(path)


def test_check_of_a_good_config_is_valid_with_status_0_and_stores_nothing(
    world: ClientWorld, tmp_path: Path
) -> None:
    result = world.relay(
        "config", "check", write(tmp_path / "c.json", UNDOUBTED)
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("valid\n")
    assert world.platform.tenants.latest(TENANT) is None


def test_check_of_a_faulty_config_lists_every_fault_with_status_1(
    world: ClientWorld, tmp_path: Path
) -> None:
    document = config_document(timezone="Mars/Base", default_currency="gold")
    result = world.relay(
        "config", "check", write(tmp_path / "c.json", document)
    )
    assert result.exit_code == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[0] == "not valid: 2 errors"
    assert [line.split(":")[0] for line in lines[3:]] == [
        "timezone",
        "default_currency",
    ]
    assert result.stderr == ""


def test_check_tells_what_would_make_the_latest_file_fit(
    world: ClientWorld, tmp_path: Path
) -> None:
    rows = [f"S-{number};{number};1.50" for number in range(9)]
    upload = feed(*rows, header="sku;quantity_available;cost")
    world.platform.objects.put("tenants/acme/inbound/vendor_1/feed.csv", upload)
    file = write(tmp_path / "c.yaml", UNDOUBTED)
    result = world.relay("config", "check", file, "--tenant", TENANT)
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[0] == "valid, but unable to read the latest file of vendor_1"
    assert 'vendors.0.parser.delimiter: ";"' in lines
    check = json.loads(world.relay("config", "check", file, "--json").stdout)
    assert check["patch"] == [
        {"op": "add", "path": "/vendors/0/parser/delimiter", "value": ";"}
    ]


def test_check_for_another_tenant_is_refused(
    world: ClientWorld, tmp_path: Path
) -> None:
    file = write(tmp_path / "c.yaml", config_document())
    result = world.relay("config", "check", file, "--tenant", "other")
    assert result.exit_code == 1
    assert "tenant_id" in result.output


def test_put_stores_a_version_and_get_gives_it_back(
    world: ClientWorld, tmp_path: Path
) -> None:
    file = write(tmp_path / "acme.json", config_document())
    assert (
        world.relay("config", "put", file).stdout == "acme: config version 1\n"
    )
    assert (
        world.relay("config", "put", file).stdout == "acme: config version 2\n"
    )
    got = world.relay("config", "get", TENANT, "--version", "1")
    assert json.loads(got.stdout) == tenant_config().to_document()
    assert got.stderr.startswith("Config version 1, stored 2")
    assert world.relay("config", "get", TENANT).stderr.startswith(
        "Config version 2"
    )


def test_put_if_match_refuses_to_pass_over_anothers_version(
    world: ClientWorld, tmp_path: Path
) -> None:
    file = write(tmp_path / "acme.json", config_document())
    world.relay("config", "put", file)
    assert world.relay("config", "put", file, "--if-match", "1").exit_code == 0
    late = world.relay("config", "put", file, "--if-match", "1")
    assert late.exit_code == 1
    assert late.stderr.startswith("CONFIG_VERSION_MISMATCH: ")


def test_put_sends_a_yaml_files_numbers_in_their_own_digits(
    world: ClientWorld, tmp_path: Path
) -> None:
    pricing = "{base_margin_pct: 0.2000, min_price: 00.10, shipping_handling_flat: 1e1}"
    settings = {
        key: value
        for key, value in config_document().items()
        if key != "pricing"
    }
    file = write(
        tmp_path / "acme.yaml",
        f"{json.dumps(settings)[:-1]}, pricing: {pricing}}}",
    )
    assert world.relay("config", "put", file).exit_code == 0
    stored = world.platform.tenants.latest(TENANT)
    assert stored is not None
    assert json.loads(stored.text)["pricing"] == {
        "base_margin_pct": "0.2000",
        "min_price": "00.10",
        "shipping_handling_flat": "1e1",
    }


def test_put_prints_every_fault_with_its_path_and_the_request_id(
    world: ClientWorld, tmp_path: Path
) -> None:
    document = config_document(timezone="Mars/Base", default_currency="gold")
    result = world.relay("config", "put", write(tmp_path / "c.json", document))
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert (
        lines[0]
        == "invalid_config: The request was rejected because of 2 errors."
    )
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "timezone",
        "default_currency",
        "request_id",
    ]


def test_a_key_that_yaml_takes_for_a_boolean_is_a_fault_here_as_for_the_local_runner(
    world: ClientWorld, tmp_path: Path
) -> None:
    document = config_document(
        vendor_document(parser={"quantity_words": {"NO": 0}})
    )
    text = json.dumps(document).replace('"NO"', "NO")
    result = world.relay("config", "put", write(tmp_path / "c.yaml", text))
    assert result.exit_code == 1
    assert result.stderr.startswith("vendors.0.parser.quantity_words")


# --- what is wrong before and beside the API's answer ---------------------------------------------


def test_a_wrong_key_is_told_with_where_to_give_the_right_one(
    world: ClientWorld,
) -> None:
    result = world.relay("runs", "list", RELAY_API_KEY="guess")
    assert result.exit_code == 1
    assert "RELAY_API_KEY" in result.stderr
    assert "guess" not in result.output


def test_the_options_stand_in_for_the_variables(world: ClientWorld) -> None:
    wrong = {"RELAY_API_URL": "http://127.0.0.1:9", "RELAY_API_KEY": "guess"}
    result = world.relay(
        "runs",
        "list",
        "--api-url",
        world.url,
        "--api-key",
        "admin-key",
        **wrong,
    )
    assert (result.exit_code, result.stdout) == (0, "No runs found.\n")


def test_an_unknown_run_is_the_apis_sentence(world: ClientWorld) -> None:
    result = world.relay("runs", "show", NOBODY_S_RUN)
    assert result.exit_code == 1
    assert NOBODY_S_RUN in result.stderr
    assert last_line(result.stderr).startswith("request_id: ")


def main_of(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["relay", *arguments])
    with pytest.raises(SystemExit) as system_exit:
        cli.main()
    assert isinstance(system_exit.value.code, int)
    captured = capsys.readouterr()
    assert captured.out == ""
    return system_exit.value.code, captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["runs", "--limit", "none"],
        ["show", "x", "--nonsense"],
        ["nonsense"],
        ["config", "check", "no-such-file.yaml"],
        ["runs", "--api-url", "localhost:8000"],
        ["runs", "--api-key", "käse"],
        ["run", "acme", "--idempotency-key", "käse"],
        ["show", "../health"],
        ["errors", ""],
        ["config", "get", "a/b"],
    ],
    ids=lambda arguments: " ".join(arguments).replace("/", "|"),
)
def test_bad_usage_is_one_line_and_exit_status_2(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, message = main_of(arguments, monkeypatch, capsys)
    assert status == 2
    assert len(message.splitlines()) == 1


def test_an_api_that_is_not_there_is_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELAY_API_URL", "http://127.0.0.1:9")
    status, message = main_of(["runs"], monkeypatch, capsys)
    assert status == 1
    (line,) = message.splitlines()
    assert line.startswith("The API at http://127.0.0.1:9 cannot be reached")
    assert "RELAY_API_URL" in line


def test_the_command_line_loads_no_client_before_a_client_command_runs() -> (
    None
):
    program = (
        "import sys, relay_dagster.cli\n"
        "heavy = {'httpx', 'pydantic', 'rich.live', 'rich.table', 'relay_core.config'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.stdout.strip(), process.stderr) == ("[]", "")
