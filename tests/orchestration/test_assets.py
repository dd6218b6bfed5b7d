"""The assets on an ephemeral instance and embedded AWS: what a run leaves, and how it ends."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from relay_core.config import load_config, parse_document
from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.columns import CANONICAL_COLUMNS
from relay_core.domain.records import ENGINE_VERSION
from relay_core.samples import sample_config_text, sample_feeds, sample_sku_maps
from relay_dagster.external_errors import ThrottledError
from relay_dagster.orchestration import checks
from relay_dagster.orchestration.assets import normalized_inventory
from relay_dagster.orchestration.build import build_defs
from relay_dagster.runs.model import RunRecord, Trigger
from relay_dagster.wiring import Platform
from support.builders import RUN_ID, config_document, feed, vendor_document
from support.html_page import read_page
from support.run_world import (
    TENANT,
    ThrottledOnce,
    World,
    column_of,
    failure_of,
    with_objects,
)

pytestmark = pytest.mark.platform(backoff_base_seconds=0)

TWO_VENDORS = (vendor_document("vendor_1"), vendor_document("vendor_2"))


def published(world: World) -> list[str]:
    """Return the keys of the feeds that are published."""
    objects = world.platform.objects.list_objects("published/")
    return [item.key for item in objects if item.key.endswith(".csv")]


def verdicts(
    result: dg.ExecuteInProcessResult,
) -> list[dg.AssetCheckEvaluation]:
    """Return what the checks said, in order."""
    return list(result.get_asset_check_evaluations())


# --- a run that succeeds --------------------------------------------------------------------------


def test_a_run_from_the_queue_publishes_the_best_offers(world: World) -> None:
    world.store_config(*TWO_VENDORS)
    world.upload("vendor_1", feed("A,5,10.00", "B,1,4.00"))
    world.upload("vendor_2", feed("A,5,9.00"))
    assert world.run().success
    assert world.artifact("merged_inventory") == (
        b"sku,vendor_id,quantity_available,price\nA,vendor_2,5,9.00\nB,vendor_1,1,4.00\n"
    )
    record = world.record()
    assert (record.status, record.stage) == (
        RunStatus.SUCCEEDED,
        Stage.COMPLETE,
    )
    assert dict(record.artifacts) == world.platform.objects.artifacts(
        RUN_ID, TENANT
    )


def test_a_success_leaves_every_promised_artifact_and_no_errors(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    world.run()
    assert world.names() == {
        "config_snapshot",
        "input_manifest",
        "inbound_vendor_1",
        "normalized_vendor_1",
        "merged_inventory",
        "report",
        "run_summary",
        "report_data",
    }


def test_refused_rows_are_listed_and_counted(world: World) -> None:
    world.store_config(
        error_policy={"max_invalid_rows": 1, "max_invalid_row_pct": "0.5"}
    )
    world.upload("vendor_1", feed("A,5,10.00", "B,many,1.00"))
    assert world.run().success
    assert world.artifact("invalid_rows").splitlines()[1] == (
        b'vendor_1,3,invalid_quantity,"B,many,1.00"'
    )
    summary = world.report("run_summary")
    assert (
        summary["status"],
        summary["total_rows"],
        summary["invalid_rows"],
    ) == (
        "SUCCEEDED",
        2,
        1,
    )
    assert (
        world.record().errors_artifact_key == world.record().artifacts["errors"]
    )


def test_the_report_is_a_page_that_says_what_each_vendor_gave_and_how_old_it_is(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    world.run()
    page = read_page(world.artifact("report"))
    (row,) = page.one("table").one("tbody").all("tr")
    assert [cell.text for cell in row.all("th", "td")] == [
        *(
            "vendor_1",
            "Latest file",
            "1",
            "0 (0%)",
            "1 (100%)",
            "less than 1 hour",
        ),
    ]
    bucket = world.platform.objects.bucket
    key = world.record().artifacts["report"]
    stored = world.platform.clients.s3.head_object(Bucket=bucket, Key=key)
    assert stored["ContentType"] == "text/html; charset=utf-8"


def test_a_run_of_some_vendors_reads_them_alone(world: World) -> None:
    world.store_config(*TWO_VENDORS)
    world.upload("vendor_1", feed("A,5,10.00"))
    world.upload("vendor_2", feed("A,5,9.00"))
    world.run(vendors=("vendor_1",))
    assert b"A,vendor_1,5,10.00" in world.artifact("merged_inventory")
    assert world.report("run_summary")["vendor_record_counts"] == {
        "vendor_1": 1
    }


def test_the_feed_of_a_run_of_all_vendors_is_published_at_a_place_of_its_own(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    world.run()
    feed_of_tenant = world.platform.runs.feed(TENANT)
    assert feed_of_tenant is not None
    pointer = feed_of_tenant.in_force
    assert (pointer.key, pointer.run_id) == (
        f"published/{TENANT}/{RUN_ID}.csv",
        RUN_ID,
    )
    assert world.platform.objects.read(pointer.key) == world.artifact(
        "merged_inventory"
    )
    assert (
        pointer.sha256
        == hashlib.sha256(world.artifact("merged_inventory")).hexdigest()
    )


def test_a_run_of_some_vendors_publishes_no_feed(world: World) -> None:
    world.store_config(*TWO_VENDORS)
    world.upload("vendor_1", feed("A,5,10.00"))
    assert world.run(vendors=("vendor_1",)).success
    assert world.platform.runs.feed(TENANT) is None
    assert published(world) == []
    assert b"is not published" in world.artifact("report")


def test_a_run_uses_the_version_that_it_was_asked_for(world: World) -> None:
    world.store_config()
    world.store_config(pricing={"base_margin_pct": "1"})
    world.upload("vendor_1", feed("A,5,10.00"))
    world.run(config_version=1)
    assert b"A,vendor_1,5,10.00" in world.artifact("merged_inventory")
    assert world.report("config_snapshot")["config_version"] == 1


def test_a_run_that_names_no_version_is_pinned_to_the_latest(
    world: World,
) -> None:
    world.store_config()
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    world.run()
    assert world.record().config_version == 2
    assert world.report("run_summary")["config_version"] == 2


def test_a_sku_map_is_read_from_the_run_s_own_copy(world: World) -> None:
    key = f"tenants/{TENANT}/maps/vendor_1.csv"
    world.store_config(
        vendor_document("vendor_1", sku_map={"type": "s3", "s3_key": key})
    )
    world.platform.objects.put(key, b"vendor_sku,sku\nA,OURS\n")
    world.upload("vendor_1", feed("A,5,10.00"))
    assert world.run().success
    assert b"OURS,vendor_1" in world.artifact("merged_inventory")


def test_the_manifest_tells_where_each_input_came_from(world: World) -> None:
    world.store_config(
        vendor_document("vendor_1"), vendor_document("vendor_2", required=False)
    )
    world.upload("vendor_1", feed("A,5,10.00"))
    world.run()
    entries = world.report("input_manifest")["vendors"]
    assert entries["vendor_2"]["status"] == "missing"
    entry = entries["vendor_1"]
    assert list(entry) == [
        "status",
        "required",
        "expected_prefix",
        "s3_key",
        "etag",
        "size",
        "last_modified",
        "selection",
        "run_copy_key",
        "sha256",
        "trouble",
        "last_good_run_id",
        "age_hours",
    ]
    assert entry["s3_key"] == "tenants/acme/inbound/vendor_1/feed.csv"
    assert (
        entry["run_copy_key"]
        == f"{RUN_ID}/tenants/acme/inbound/vendor_1/feed.csv"
    )


def test_materializations_carry_counts_tables_a_preview_and_addresses(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00", "B,1,4.00"))
    result = world.run()
    (event,) = result.asset_materializations_for_node("merged_inventory")
    metadata = {name: value.value for name, value in event.metadata.items()}
    assert (
        metadata["dagster/row_count"]
        == metadata["rows_merged"]
        == metadata["rows_in"]
        == 2
    )
    assert column_of(event.metadata["preview"], "sku") == ["A", "B"]
    assert column_of(event.metadata["vendors"], "valid") == [2]
    assert column_of(event.metadata["vendors"], "skus_won") == [2]
    assert metadata["artifact/merged_inventory"].endswith(
        "/outputs/merged_inventory.csv"
    )
    assert metadata["artifact/report"].endswith("/reports/report.html")
    outputs = [
        event for event in result.all_events if event.is_successful_output
    ]
    assert (
        [event.step_output_data.metadata for event in outputs]
        == [{}] * len(outputs)
        != []
    )


def test_assets_carry_their_columns_the_engine_s_version_and_the_feed_s_hash(
    world: World,
) -> None:
    world.store_config(
        output={"columns": ["sku", {"column": "price", "as": "Price"}]}
    )
    world.upload("vendor_1", feed("A,5,10.00"))
    result = world.run()
    (event,) = result.asset_materializations_for_node("merged_inventory")
    columns = event.metadata["dagster/column_schema"].value.columns
    assert [(column.name, column.type) for column in columns] == [
        ("sku", "text"),
        ("Price", "money"),
    ]
    assert [column.constraints.nullable for column in columns] == [False, True]
    feed_bytes = world.artifact("merged_inventory")
    assert (
        event.tags["dagster/data_version"]
        == hashlib.sha256(feed_bytes).hexdigest()
    )
    assert event.tags["dagster/code_version"] == ENGINE_VERSION
    (spec,) = normalized_inventory.specs
    names = [
        column.name for column in spec.metadata["dagster/column_schema"].columns
    ]
    assert names == list(CANONICAL_COLUMNS)


def test_what_people_come_for_stands_before_the_long_tables(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    (event,) = world.run().asset_materializations_for_node("merged_inventory")
    kinds = [type(value) for value in event.metadata.values()]
    assert (
        dg.PathMetadataValue not in kinds[kinds.index(dg.TableMetadataValue) :]
    )
    assert list(event.metadata)[-1] == "preview"


@pytest.mark.parametrize("asset", ["normalized_inventory", "merged_inventory"])
def test_a_verdict_is_about_the_rows_of_its_own_run(
    world: World, asset: str
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    result = world.run()
    own_verdicts = [
        verdict
        for verdict in verdicts(result)
        if verdict.asset_key.path == [asset]
    ]
    assert own_verdicts
    for verdict in own_verdicts:
        assert verdict.target_materialization_data is not None
        assert verdict.target_materialization_data.run_id == result.run_id


def test_a_run_that_fails_tells_its_verdicts_too(world: World) -> None:
    world.store_config(*TWO_VENDORS)
    world.upload("vendor_1", b"sku,quantity_available\nA,\xff\n")
    world.upload("vendor_2", feed("A,many,1.00"))
    assert {
        verdict.check_name: verdict.passed for verdict in verdicts(world.run())
    } == {
        "canonical_schema_holds": False,
        "invalid_rows_within_max": False,
        "invalid_pct_within_max": False,
    }


def test_a_run_that_publishes_nothing_tells_what_became_of_the_merge(
    world: World,
) -> None:
    world.store_config(
        error_policy={"max_invalid_rows": 9, "max_invalid_row_pct": "1"}
    )
    world.upload("vendor_1", feed("A,5,"))
    result = world.run()
    assert failure_of(result).startswith("empty_output: ")
    assert "merged_schema_holds" in {
        verdict.check_name for verdict in verdicts(result)
    }


def test_the_last_materialization_says_what_started_the_run_and_what_comes_next(
    world: World,
) -> None:
    world.store_config(triggers={"schedule": {"cron": "0 6 * * *"}})
    world.upload("vendor_1", feed("A,5,10.00"))
    result = world.run(trigger=Trigger.SCHEDULE)
    (event,) = result.asset_materializations_for_node("merged_inventory")
    assert event.metadata["started_by"].value == "schedule"
    assert str(event.metadata["next_run_at"].value).endswith("T06:00:00Z")


def test_the_last_materialization_carries_the_seconds_of_each_stage(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    (event,) = world.run().asset_materializations_for_node("merged_inventory")
    seconds = {
        name: entry.value
        for name, entry in event.metadata.items()
        if "seconds/" in name
    }
    stages = ("FETCH_INPUTS", "NORMALIZE", "MERGE_PRICE", "WRITE_OUTPUTS")
    assert list(seconds) == [
        *(f"seconds/{stage}" for stage in stages),
        "seconds/total",
    ]
    assert all(isinstance(value, float) for value in seconds.values())
    summary = world.report("run_summary")["stage_times"]
    assert seconds["seconds/NORMALIZE"] == pytest.approx(
        summary["NORMALIZE"], abs=0.001
    )


def test_what_the_sample_tenant_shows_can_be_stored_by_a_real_instance(
    platform: Platform,
) -> None:
    tenant = "acme_parts"
    config = load_config(
        parse_document(sample_config_text(tenant), format="yaml")
    )
    platform.tenants.put(tenant, json.dumps(config.to_document()))
    maps = sample_sku_maps(tenant)
    for vendor in config.vendors:
        name, data = sample_feeds(tenant)[vendor.vendor_id]
        platform.objects.put(f"{vendor.inbound.s3_prefix}{name}", data)
        if vendor.sku_map is not None:
            platform.objects.put(
                str(vendor.sku_map.s3_key), maps[vendor.vendor_id][1]
            )
    job = build_defs(connect_run=lambda: platform).resolve_job_def(
        "inventory_sync"
    )
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("tenants", [tenant])
        result = job.execute_in_process(
            partition_key=tenant, instance=instance, raise_on_error=False
        )
        records = instance.get_records_for_run(
            result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ).records
    assert result.success
    events = [record.event_log_entry.get_dagster_event() for record in records]
    judged = {event.asset_check_evaluation_data.check_name for event in events}
    # A run does not make published_feed, whose check goes by a schedule of its own.
    specs = (*checks.NORMALIZED_CHECKS, *checks.MERGED_CHECKS)
    assert judged == {spec.name for spec in specs}


# --- final failures -------------------------------------------------------------------------------


def test_a_tenant_without_a_config_fails_at_once(world: World) -> None:
    result = world.run()
    assert failure_of(result).startswith(
        "missing_tenant_config: missing tenant config"
    )
    record = world.record()
    assert (record.status, record.failed_stage) == (
        RunStatus.FAILED,
        Stage.FETCH_INPUTS,
    )
    assert record.error_code == "missing_tenant_config"
    assert world.names() == {
        "errors",
        "report",
        "report_data",
        "run_summary",
    }


def test_a_config_of_another_schema_is_kept_as_it_is_stored(
    world: World,
) -> None:
    document = config_document(schema_version=2)
    world.platform.tenants.put(TENANT, json.dumps(document))
    assert failure_of(world.run()).startswith("unsupported_schema_version: ")
    assert world.report("config_snapshot")["tenant_config"] == document
    assert world.names() == {
        "config_snapshot",
        "errors",
        "report",
        "run_summary",
        "report_data",
    }


def test_a_required_vendor_without_a_feed_fails_the_run(world: World) -> None:
    world.store_config()
    result = world.run()
    assert failure_of(result).startswith("REQUIRED_VENDOR_MISSING: ")
    assert world.record().failed_stage is Stage.FETCH_INPUTS
    reports = {
        "config_snapshot",
        "input_manifest",
        "errors",
        "report",
        "run_summary",
        "report_data",
    }
    assert world.names() == reports


def test_a_vendor_of_the_local_runner_has_no_prefix_and_is_told_so(
    world: World,
) -> None:
    world.store_config({**vendor_document(), "inbound": {"type": "local"}})
    assert "inbound.type local is for the local runner" in failure_of(
        world.run()
    )
    assert (
        world.report("input_manifest")["vendors"]["vendor_1"]["expected_prefix"]
        is None
    )


def test_a_sku_map_that_is_absent_fails_the_run(world: World) -> None:
    key = f"tenants/{TENANT}/maps/vendor_1.csv"
    world.store_config(
        vendor_document("vendor_1", sku_map={"type": "s3", "s3_key": key})
    )
    world.upload("vendor_1", feed("A,5,10.00"))
    assert failure_of(world.run()).startswith("missing_sku_map: ")


def test_every_vendor_is_read_before_a_run_fails(world: World) -> None:
    world.store_config(*TWO_VENDORS, vendor_document("vendor_3"))
    world.upload("vendor_1", b"sku,quantity_available\nA,\xff\n")
    world.upload("vendor_2", feed("A,5,9.00", "B,many,1.00"))
    world.upload("vendor_3", b"sku\nA\n")
    assert failure_of(world.run()).startswith("DECODE_ERROR: ")
    assert world.record().failed_stage is Stage.NORMALIZE
    codes = [entry["error_code"] for entry in world.report("errors")["entries"]]
    assert codes == [
        "DECODE_ERROR",
        "missing_required_columns",
        "invalid_quantity",
    ]
    assert {"normalized_vendor_2", "invalid_rows"} <= world.names()


def test_too_many_refused_rows_fail_the_run_with_their_list(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00", "B,many,1.00"))
    assert failure_of(world.run()).startswith(
        "validation_errors: validation errors"
    )
    assert world.record().failed_stage is Stage.MERGE_PRICE
    assert {
        "normalized_vendor_1",
        "invalid_rows",
        "errors",
        "run_summary",
        "report_data",
    } <= world.names()
    assert "merged_inventory" not in world.names()
    assert world.report("run_summary")["record_count"] == 0


def test_a_failed_run_frees_its_tenant(world: World) -> None:
    world.run()
    assert world.platform.runs.lock(TENANT).active_run_id is None


# --- faults that may pass -------------------------------------------------------------------------


def test_a_throttled_attempt_gives_the_run_back_and_the_next_succeeds(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    throttled = with_objects(
        world.platform, ThrottledOnce(world.platform.objects)
    )
    world.connect = lambda: throttled
    result = world.run()
    assert not result.success
    record = world.record()
    assert (record.status, record.stage, record.error_code) == (
        RunStatus.QUEUED,
        Stage.QUEUE,
        "throttled",
    )
    assert record.next_attempt_at is not None
    assert failure_of(result).startswith("throttled: s3.ListObjectsV2: ")
    world.dispatch(2)
    assert world.execute(2).success
    assert world.record().status is RunStatus.SUCCEEDED
    assert world.record().attempt == 2


@pytest.mark.parametrize(
    "key",
    [
        "config_snapshot.json",
        "normalized.csv",
        "offers.arrow",
        "run_summary.json",
    ],
)
def test_an_upload_that_fails_beside_others_gives_the_run_back(
    world: World, key: str
) -> None:
    class RefusesOneUpload(ThrottledOnce):
        def put_stream(self, target: str, chunks: Any, **options: Any) -> Any:
            if target.endswith(key) and self.refusals:
                self.refusals -= 1
                raise ThrottledError("s3.PutObject", "slow down")
            return self._objects.put_stream(target, chunks, **options)

        def latest_object(self, prefix: str) -> Any:
            return self._objects.latest_object(prefix)

    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    refusing = with_objects(
        world.platform, RefusesOneUpload(world.platform.objects)
    )
    world.connect = lambda: refusing
    assert not world.run().success
    assert (world.record().status, world.record().error_code) == (
        RunStatus.QUEUED,
        "throttled",
    )
    assert world.platform.runs.feed(TENANT) is None
    world.dispatch(2)
    assert world.execute(2).success


def test_attempts_that_are_used_up_end_as_poison_with_the_cause(
    world: World,
) -> None:
    world.platform.tenants.put(
        TENANT, json.dumps(config_document(timezone="Mars/Olympus"))
    )
    world.request()
    for attempt in (1, 2, 3):
        world.dispatch(attempt)
        result = world.execute(attempt)
        assert not result.success
    assert failure_of(result).startswith("POISON_JOB: ")
    record = world.record()
    assert (record.status, record.error_code) == (
        RunStatus.FAILED,
        "POISON_JOB",
    )
    assert "timezone" in str(record.error_message)
    assert record.needs_dlq
    assert world.report("errors")["error_code"] == "POISON_JOB"


def test_the_summary_of_a_job_with_a_vendor_that_the_config_lacks_counts_the_config_s_vendors(
    world: World,
) -> None:
    world.store_config(*TWO_VENDORS, guards={"quarantine": {}})
    world.request(vendors=("vendor_9",))
    for attempt in (1, 2, 3):
        world.dispatch(attempt)
        assert not world.execute(attempt).success
    summary = world.report("run_summary")
    assert (summary["error_code"], summary["vendor_count"]) == ("POISON_JOB", 2)
    assert summary["quarantined"] == 0


def test_poison_whose_reports_s3_refuses_is_counted_as_a_failed_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    class RefusesAll(ThrottledOnce):
        def put_stream(self, target: str, chunks: Any, **options: Any) -> Any:
            raise ThrottledError("s3.PutObject", "slow down")

    finished = FinishedRuns(world.platform.metrics)
    refusing = with_objects(world.platform, RefusesAll(world.platform.objects))
    world.connect = lambda: replace(refusing, metrics=finished)  # type: ignore[arg-type]
    world.store_config()
    world.request()
    for attempt in (1, 2, 3):
        world.dispatch(attempt)
        assert not world.execute(attempt).success
    assert [record.error_code for record in finished.records] == ["POISON_JOB"]
    assert '"event": "run_failed"' in capsys.readouterr().err
    assert world.record().needs_reports


class FinishedRuns:
    """The metrics of a platform, which keep the runs that they were told of."""

    def __init__(self, metrics: Any) -> None:
        self._metrics = metrics
        self.records: list[RunRecord] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metrics, name)

    def run_finished(self, record: RunRecord) -> None:
        self.records.append(record)


def test_a_later_attempt_reads_the_same_bytes_as_the_first(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    world.request()
    world.dispatch()
    world.execute(
        assets=["fetched_inventory", "normalized_inventory", "merged_inventory"]
    )
    first = world.artifact("merged_inventory")
    assert first.endswith(b"10.00\n")
    world.upload("vendor_1", feed("A,5,99.00"), name="later.csv")
    other_run_id = "0d1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e22"
    manifest = world.artifact("input_manifest").replace(
        RUN_ID.encode(), other_run_id.encode()
    )
    world.platform.objects.put(
        f"{other_run_id}/tenants/{TENANT}/reports/input_manifest.json", manifest
    )
    world.platform.objects.put(
        f"{other_run_id}/tenants/{TENANT}/inbound/vendor_1/feed.csv",
        world.artifact("inbound_vendor_1"),
    )
    world.request(other_run_id)
    world.dispatch(run_id=other_run_id)
    assert world.execute(run_id=other_run_id).success
    assert world.artifact("merged_inventory", other_run_id) == first


def test_an_attempt_that_belongs_to_another_dagster_run_executes_nothing(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    world.request()
    world.dispatch()
    world.platform.ledger.claim(RUN_ID, 1, "another-dagster-run")
    assert failure_of(world.execute()).startswith("transition_refused: ")
    assert world.names() == set()


def test_a_cancelled_run_publishes_nothing(world: World) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    world.request()
    world.dispatch()
    world.platform.ledger.request_cancel(RUN_ID)
    assert failure_of(world.execute()).startswith("CANCELLED: ")
    assert world.record().status is RunStatus.CANCELLED


def test_a_run_cancelled_while_it_publishes_takes_its_feed_away(
    world: World,
) -> None:
    class CancelledWhilePublishing(ThrottledOnce):
        def put_stream(self, key: str, chunks: Any, **options: Any) -> Any:
            if key.endswith("merged_inventory.csv"):
                world.platform.ledger.request_cancel(RUN_ID)
            return self._objects.put_stream(key, chunks, **options)

        def latest_object(self, prefix: str) -> Any:
            return self._objects.latest_object(prefix)

    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    cancelled = with_objects(
        world.platform, CancelledWhilePublishing(world.platform.objects)
    )
    world.connect = lambda: cancelled
    assert failure_of(world.run()).startswith("CANCELLED: ")
    assert "merged_inventory" not in world.names()
    assert world.report("run_summary")["status"] == "CANCELLED"
    assert "merged_inventory" not in world.record().artifacts


class CrashesOncePublished(ThrottledOnce):
    """A bucket whose caller dies when the feed is published, as often as it is told."""

    def copy(self, source_key: str, target_key: str) -> None:
        self._objects.copy(source_key, target_key)
        if self.refusals and target_key.endswith(".csv"):
            self.refusals -= 1
            raise ConnectionError("gone")

    def latest_object(self, prefix: str) -> Any:
        return self._objects.latest_object(prefix)


def test_an_attempt_after_a_crash_publishes_the_same_bytes_at_the_same_place(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    crashing = with_objects(
        world.platform, CrashesOncePublished(world.platform.objects)
    )
    world.connect = lambda: crashing
    assert not world.run().success
    assert world.platform.runs.feed(TENANT) is None
    (key,) = published(world)
    first = world.platform.objects.read(key)
    world.upload("vendor_1", feed("A,5,99.00"), name="later.csv")
    world.dispatch(2)
    assert world.execute(2).success
    assert published(world) == [key]
    assert world.platform.objects.read(key) == first


def test_a_run_that_becomes_poison_while_it_publishes_leaves_no_feed(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    objects = CrashesOncePublished(world.platform.objects)
    objects.refusals = 3
    crashing = with_objects(world.platform, objects)
    world.connect = lambda: crashing
    world.request()
    for attempt in (1, 2, 3):
        world.dispatch(attempt)
        assert not world.execute(attempt).success
    assert world.record().error_code == "POISON_JOB"
    assert published(world) == []
    assert "merged_inventory" not in world.names()
    assert world.report("run_summary")["record_count"] == 0


@pytest.mark.parametrize(
    "ending", ["request_cancel", "cancel"], ids=["wished", "done"]
)
def test_a_cancel_at_the_last_moment_takes_the_published_feed_away(
    world: World, ending: str
) -> None:
    class CancelledOncePublished(CrashesOncePublished):
        def copy(self, source_key: str, target_key: str) -> None:
            self._objects.copy(source_key, target_key)
            if target_key.endswith(".csv"):
                getattr(world.platform.ledger, ending)(RUN_ID)

    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    cancelled = with_objects(
        world.platform, CancelledOncePublished(world.platform.objects)
    )
    world.connect = lambda: cancelled
    assert not world.run().success
    assert world.record().status is RunStatus.CANCELLED
    assert published(world) == []
    assert "merged_inventory" not in world.names()


# --- runs that did not come from the queue --------------------------------------------------------


def test_a_partition_materialized_by_hand_is_a_run_of_its_own(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    result = world.execute(None)
    assert result.success
    record = world.record(result.run_id)
    assert (record.trigger, record.attempt, record.status) == (
        Trigger.DAGSTER,
        1,
        RunStatus.SUCCEEDED,
    )
    assert "merged_inventory" in world.names(result.run_id)


def test_by_hand_for_a_tenant_that_is_being_deleted_fails_and_leaves_no_record(
    world: World,
) -> None:
    world.store_config()
    world.platform.closing.ask(world.tenant_id)
    result = world.execute(None)
    assert failure_of(result).startswith("TENANT_CLOSING: ")
    assert world.platform.runs.get(result.run_id) is None


def test_by_hand_beside_a_busy_tenant_fails_and_leaves_no_record(
    world: World,
) -> None:
    world.store_config()
    world.request()
    result = world.execute(None)
    assert failure_of(result).startswith("TENANT_ALREADY_RUNNING: ")
    assert world.platform.runs.get(result.run_id) is None


def test_a_later_asset_alone_takes_the_inputs_of_the_last_run(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    world.run()
    world.upload("vendor_1", feed("A,5,99.00"), name="later.csv")
    result = world.execute(
        None, assets=["normalized_inventory", "merged_inventory"]
    )
    assert result.success
    assert world.artifact("merged_inventory", result.run_id) == world.artifact(
        "merged_inventory"
    )
    entry = world.report("input_manifest", result.run_id)["vendors"]["vendor_1"]
    assert entry["selection"] == f"run {RUN_ID}"


def test_the_last_asset_alone_takes_the_work_files_of_the_last_run(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    world.run()
    world.store_config(pricing={"base_margin_pct": "1"})
    result = world.execute(None, assets=["merged_inventory"])
    assert result.success
    assert b"A,vendor_1,5,20.00" in world.artifact(
        "merged_inventory", result.run_id
    )
    assert "normalized_vendor_1" in world.names(result.run_id)


def test_the_last_asset_alone_keeps_the_warnings_about_vendors_without_offers(
    world: World,
) -> None:
    optional = vendor_document("vendor_2", required=False)
    broken = vendor_document("vendor_3", on_trouble="leave_out")
    world.store_config(vendor_document("vendor_1"), optional, broken)
    world.upload("vendor_1", feed("A,5,10.00"))
    world.upload("vendor_3", b"sku,quantity_available\nA,\xff\n")
    world.run()
    result = world.execute(None, assets=["merged_inventory"])
    expected_counts = {"OPTIONAL_VENDOR_MISSING": 1, "VENDOR_LEFT_OUT": 1}
    for run_id in (RUN_ID, result.run_id):
        assert (
            world.report("run_summary", run_id)["warnings"] == expected_counts
        )
    first, alone = (
        world.report("errors", run_id)["entries"]
        for run_id in (RUN_ID, result.run_id)
    )
    assert alone == first


def test_an_unexpected_fault_by_hand_ends_the_run_at_once(world: World) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    throttled = with_objects(
        world.platform, ThrottledOnce(world.platform.objects)
    )
    world.connect = lambda: throttled
    result = world.execute(None)
    record = world.record(result.run_id)
    assert (record.status, record.error_code) == (
        RunStatus.FAILED,
        "POISON_JOB",
    )
    assert not record.needs_dlq
