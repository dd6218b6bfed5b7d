"""Runs of the component: what they make, what they leave, and what keeps them back."""

from __future__ import annotations

import json

import dagster as dg

from relay_dagster.local.command import main as local_run
from support.builders import feed
from support.merchant_feeds import (
    Project,
    checks_of,
    config_of,
    failure_of,
    files_below,
    made,
    metadata_of,
    rows,
)

TREE = ("normalized", "outputs", "reports", "published")


def test_a_run_makes_an_asset_per_vendor_the_candidate_and_the_feed(
    project: Project,
) -> None:
    project.write("acme.csv", rows(3))
    inputs = {
        "acme": str(project.folder / "acme.csv"),
        "globex": project.write("globex.csv", rows(2, "9.00")),
    }
    result = project.run(config=config_of("acme", "globex"), inputs=inputs)
    assert result.success
    assert made(result) == ["acme", "globex", "candidate", "feed"]
    assert checks_of(result, "globex") == {"rows_are_valid": True}
    assert set(checks_of(result)) == {
        "canonical_schema_holds",
        "merged_schema_holds",
        *(
            f"guard_{name}"
            for name in (
                "skus_removed",
                "out_of_stock",
                "price_drop",
                "price_rise",
                "price_level",
                "vendor_rows",
            )
        ),
    }


def test_a_guard_that_is_null_and_guards_that_are_off_have_no_check(
    project: Project,
) -> None:
    project.write("acme.csv", rows(3))
    run_without = project.run(config=config_of(guards={"price_level": None}))
    assert "guard_price_level" not in checks_of(run_without)
    assert "guard_price_rise" in checks_of(run_without)
    none = project.run(config=config_of(guards={"mode": "off"}))
    assert set(checks_of(none)) == {
        "canonical_schema_holds",
        "merged_schema_holds",
    }


def test_the_bytes_are_those_of_a_local_run_with_the_same_id_and_time(
    project: Project,
) -> None:
    records = ("A,1,2.50", "B,many,3.00", "C,4,", "A,2,2.40")
    paths = {
        "acme": project.write("acme.csv", feed(*records)),
        "globex": project.write("globex.csv", rows(12)),
    }
    policy = {"max_invalid_rows": 5, "max_invalid_row_pct": "0.9"}
    config = config_of("acme", "globex", error_policy=policy)
    local = project.folder / "local"
    baseline: list[str] = []
    for cost in ("10.00", "10.50"):
        project.write("globex.csv", rows(12, cost))
        result = project.run(config=config, inputs=paths)
        assert result.success
        config_file = project.write("config.json", json.dumps(config).encode())
        command = [
            f"--config={config_file}",
            *(f"--vendor-file={name}={path}" for name, path in paths.items()),
            f"--output-dir={local}",
            f"--run-id={result.run_id}",
            f"--now={project.started_at(result).isoformat()}",
            *baseline,
        ]
        assert local_run(command) == 0
        expected = files_below(local)
        files = files_below(project.out)
        assert expected.keys() == {
            name for name in files if name.startswith(TREE)
        }
        assert {
            name for name in expected if expected[name] != files[name]
        } == set()
        baseline = [f"--baseline={local / 'published/state.parquet'}"]
    assert "reports/changes.csv" in expected


def test_a_guard_that_trips_blocks_the_feed_and_leaves_the_one_in_force(
    project: Project,
) -> None:
    project.write("acme.csv", rows(20))
    assert project.run().success
    feed_in_force = project.read("outputs/merged_inventory.csv")
    state = project.read("published/state.parquet")
    project.write("acme.csv", rows(5))
    result = project.run()
    assert not result.success
    assert made(result) == ["acme", "candidate"]
    checks = checks_of(result)
    assert not checks["guard_skus_removed"]
    assert checks["guard_price_rise"]
    assert "guard_skus_removed" in failure_of(result)
    assert project.read("outputs/merged_inventory.csv") == feed_in_force
    assert project.read("published/state.parquet") == state
    assert project.summary()["status"] == "HELD"
    assert metadata_of(result, "candidate")["status"] == "HELD"


def test_a_candidate_on_hold_is_published_by_its_hash_alone(
    project: Project,
) -> None:
    project.write("acme.csv", rows(20))
    assert project.run().success
    project.write("acme.csv", rows(5))
    held = project.run()
    sha256 = metadata_of(held, "candidate")["sha256"]
    (verdict,) = [
        check
        for check in held.get_asset_check_evaluations()
        if check.check_name == "guard_skus_removed"
    ]
    reason = "15 of 20 (0.7500) is more than the limit of 0.50. To publish the candidate"
    assert reason in str(verdict.description)
    assert f"{{release: {sha256}}}" in str(verdict.description)

    waiting = project.run(only=["feed"])
    assert not waiting.success
    assert f"{{release: {sha256}}}" in failure_of(waiting)
    wrong_release = project.run(only=["feed"], release="0" * 64)
    assert not wrong_release.success
    assert sha256 in failure_of(wrong_release)

    released = project.run(only=["feed"], release=sha256)
    assert released.success
    assert made(released) == ["feed"]
    assert project.read("outputs/merged_inventory.csv").count(b"\n") == 6
    # The released feed is what the next run is compared with.
    assert project.run().success
    assert project.summary()["changes"]["baseline_run_id"] == held.run_id


def test_guards_that_warn_block_nothing(project: Project) -> None:
    config = config_of(guards={"mode": "warn"})
    project.write("acme.csv", rows(20))
    assert project.run(config=config).success
    project.write("acme.csv", rows(5))
    result = project.run(config=config)
    assert result.success
    assert made(result) == ["acme", "candidate", "feed"]
    tripped = {
        check.check_name: check.severity
        for check in result.get_asset_check_evaluations()
        if not check.passed
    }
    assert tripped == {
        "guard_skus_removed": dg.AssetCheckSeverity.WARN,
        "guard_vendor_rows": dg.AssetCheckSeverity.WARN,
    }


def test_rejected_rows_show_at_their_vendor_and_block_nothing(
    project: Project,
) -> None:
    project.write("acme.csv", feed("A,1,2.50", "B,-1,3.00"))
    policy = {"max_invalid_rows": 1, "max_invalid_row_pct": "1"}
    result = project.run(config=config_of(error_policy=policy))
    assert result.success
    assert checks_of(result, "acme") == {"rows_are_valid": False}
    assert not checks_of(result)["canonical_schema_holds"]
    assert metadata_of(result, "acme")["rows_invalid"] == 1


def test_a_vendor_that_passes_its_own_limit_is_an_error_at_its_asset(
    project: Project,
) -> None:
    config = config_of(
        error_policy={"max_invalid_rows": 9, "max_invalid_row_pct": "1"},
    )
    config["vendors"][0] |= {"max_invalid_row_pct": "0.1"}
    project.write("acme.csv", feed("A,1,2.50", "B,-1,3.00"))
    result = project.run(config=config)
    assert not result.success
    (verdict,) = [
        check
        for check in result.get_asset_check_evaluations()
        if check.check_name == "rows_are_valid"
    ]
    assert verdict.severity is dg.AssetCheckSeverity.ERROR
    assert "max_invalid_row_pct is 0.1" in str(verdict.description)


def test_a_run_that_fails_leaves_its_reports_beside_the_feed_in_force(
    project: Project,
) -> None:
    project.write("acme.csv", rows(3))
    assert project.run().success
    feed_in_force = project.read("outputs/merged_inventory.csv")
    project.write("acme.csv", feed("A,none,2.50"))
    result = project.run()
    assert not result.success
    assert "Failure: validation_errors: " in failure_of(result)
    assert made(result) == ["acme"]
    assert project.summary()["status"] == "FAILED"
    assert (project.out / "reports/errors.json").exists()
    assert project.read("outputs/merged_inventory.csv") == feed_in_force


def test_reports_of_the_run_before_are_cleared_and_other_files_stay(
    project: Project,
) -> None:
    policy = {"max_invalid_rows": 1, "max_invalid_row_pct": "1"}
    config = config_of(error_policy=policy)
    project.write("acme.csv", feed("A,1,2.50", "B,-1,3.00"))
    assert project.run(config=config).success
    assert (project.out / "reports/invalid_rows.csv").exists()
    project.write("out/reports/notes.txt", b"ours")
    project.write("acme.csv", feed("A,1,2.50"))
    assert project.run(config=config).success
    reports = {path.name for path in (project.out / "reports").iterdir()}
    assert not reports & {"invalid_rows.csv", "errors.json"}
    assert "notes.txt" in reports


def test_the_feed_is_put_in_force_again_by_a_second_materialization(
    project: Project,
) -> None:
    project.write("acme.csv", rows(3))
    assert project.run().success
    before = files_below(project.out)
    assert project.run(only=["feed"]).success
    assert files_below(project.out) == before


def test_a_missing_required_vendor_fails_the_run_and_names_its_path(
    project: Project,
) -> None:
    result = project.run()
    assert not result.success
    message = failure_of(result)
    assert "Failure: REQUIRED_VENDOR_MISSING: " in message
    assert str(project.folder / "acme.csv") in message
    assert made(result) == []


def test_a_missing_optional_vendor_is_not_materialized(
    project: Project,
) -> None:
    project.write("acme.csv", rows(3))
    config = config_of("acme", "globex")
    config["vendors"][1]["required"] = False
    result = project.run(config=config)
    assert result.success
    assert made(result) == ["acme", "candidate", "feed"]
    assert checks_of(result, "globex") == {"rows_are_valid": False}


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(
    project: Project,
) -> None:
    project.write("acme.csv", rows(3))
    blocked = project.write("taken", b"a file")
    result = project.run(folder=f"{blocked}/out")
    assert not result.success
    message = failure_of(result)
    assert f"The folder {blocked}/out cannot be used" in message
    assert "name another one in the attribute `folder`" in message


def test_the_feed_alone_needs_a_candidate(project: Project) -> None:
    result = project.run(only=["feed"])
    assert not result.success
    assert "Materialize shop/candidate first" in failure_of(result)


def test_the_candidate_and_the_feed_show_the_columns_and_the_first_rows(
    project: Project,
) -> None:
    project.write("acme.csv", rows(20))
    result = project.run()
    for asset in ("candidate", "feed"):
        metadata = metadata_of(result, asset)
        assert metadata["dagster/row_count"] == 20
        schema = metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == [
            "sku",
            "vendor_id",
            "quantity_available",
            "price",
        ]
        first_rows = metadata["preview"].records
        assert len(first_rows) == 10
        assert first_rows[0].data["sku"] == "S000"
        assert metadata["report"] == str(project.out / "reports/report.html")
    vendor = metadata_of(result, "acme")
    assert vendor["rows"] == vendor["dagster/row_count"] == 20
