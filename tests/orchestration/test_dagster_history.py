"""Dagster's history: of a tenant, of others whose names are like its own, and of old runs."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster import instance_for_test

from relay_dagster import tags
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.jobs import INVENTORY_SYNC
from relay_dagster.runs.ports import utc_now
from support.dagster_storages import STORAGES
from support.tenant_leftovers import Kept, kept_by_dagster, naming

RUN_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
MANY = 5_000_000
TENANT = "acme"
OTHERS = ("acme2", "acme-2", "the_acme", "ACME")
STATUS = dg.DagsterRunStatus
BACKFILLS = sa.table(
    "bulk_actions", *map(sa.column, ("key", "status", "timestamp", "body"))
)
TICKS = sa.table(
    "job_ticks", *map(sa.column, ("job_origin_id", "status", "tick_body"))
)
ASSETS = sa.table(
    "asset_keys", *map(sa.column, ("asset_key", "cached_status_data"))
)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_for_test(temp_dir=str(tmp_path)) as instance:
        for tenant_id in (TENANT, *OTHERS):
            instance.add_dynamic_partitions("tenants", [tenant_id])
        yield instance


def remove(instance: dg.DagsterInstance, *run_ids: str) -> tuple[int, bool]:
    removed = DagsterHistory(instance).remove_tenant(
        TENANT, run_ids, lambda: False
    )
    return removed.count, removed.is_all


def add_run(
    instance: dg.DagsterInstance,
    tenant_id: str,
    status: dg.DagsterRunStatus = STATUS.SUCCESS,
    *,
    job_name: str = INVENTORY_SYNC,
) -> str:
    run_tags = {tags.PARTITION: tenant_id, tags.TENANT_ID: tenant_id}
    run_id = str(uuid.uuid4())
    run = dg.DagsterRun(
        job_name=job_name, run_id=run_id, status=status, tags=run_tags
    )
    return instance.add_run(run).run_id


def materialize(instance: dg.DagsterInstance, tenant_id: str) -> None:
    """Report a materialization that belongs to no run."""
    event = dg.AssetMaterialization(
        "merged_inventory", partition=tenant_id, tags={"seen": "1"}
    )
    instance.report_runless_asset_event(event)


def rows(connection: Any, wanted: Any) -> list[Any]:
    with connection() as open_connection:
        return [*open_connection.execute(wanted).scalars()]


def test_runs_and_partition_go_and_those_of_others_stay(
    instance: dg.DagsterInstance,
) -> None:
    add_run(instance, TENANT)
    other_runs = {add_run(instance, tenant_id) for tenant_id in OTHERS}
    assert remove(instance) == (2, True)
    assert {run.run_id for run in instance.get_runs()} == other_runs
    assert set(instance.get_dynamic_partitions("tenants")) == set(OTHERS)
    assert remove(instance) == (0, True)


def test_a_run_that_has_not_ended_is_made_still(
    instance: dg.DagsterInstance,
) -> None:
    history = DagsterHistory(instance)
    add_run(instance, "acme2", STATUS.STARTED)
    assert not history.has_unfinished(TENANT)
    add_run(instance, TENANT, STATUS.NOT_STARTED)
    assert history.has_unfinished(TENANT)


def test_where_it_is_late_the_rest_is_left(
    instance: dg.DagsterInstance,
) -> None:
    for _ in range(3):
        add_run(instance, TENANT)
    looks = iter([False, True])
    removed = DagsterHistory(instance).remove_tenant(
        TENANT, (), lambda: next(looks)
    )
    assert (removed.count, removed.is_all) == (1, False)
    assert len(instance.get_runs()) == 2
    assert remove(instance) == (3, True)


def test_events_without_a_run_go_and_the_asset_s_last_is_another_s(
    instance: dg.DagsterInstance,
) -> None:
    for tenant_id in ("acme2", TENANT):
        materialize(instance, tenant_id)
    remove(instance)
    key = dg.AssetKey("merged_inventory")
    assert instance.get_materialized_partitions(key) == {"acme2"}
    (record,) = instance.fetch_materializations(key, limit=9).records
    assert record.partition_key == "acme2"


def test_a_cache_that_names_the_tenant_is_made_anew(
    instance: dg.DagsterInstance,
) -> None:
    materialize(instance, "acme2")
    storage: Any = instance.event_log_storage
    for name in (TENANT, "acme2"):
        cached = json.dumps({"subset": json.dumps([name])})
        with storage.index_connection() as connection:
            connection.execute(
                ASSETS.update().values(cached_status_data=cached)
            )
        remove(instance)
        statuses = rows(
            storage.index_connection, sa.select(ASSETS.c.cached_status_data)
        )
        assert statuses == [None if name == TENANT else cached]


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        ('{"run_keys": ["RUN:1"]}', True),
        ('{"skip_reason": "tenant acme: too many writers at once"}', True),
        ('{"error": "first line\\\\nacme"}', True),
        ('{"skip_reason": "tenants acme2, acme-2, the_acme"}', False),
    ],
    ids=["a run of it", "its id", "in a new line", "others"],
)
def test_ticks_that_tell_of_it_go(
    instance: dg.DagsterInstance, text: str, goes: bool
) -> None:
    run_id = str(uuid.uuid4())
    storage = instance.schedule_storage
    assert storage is not None
    body = text.replace("RUN", run_id)
    connection = storage.connect  # type: ignore[attr-defined]
    with connection() as open_connection:
        for status in ("SUCCESS", "STARTED"):
            tick = {"job_origin_id": "o", "status": status, "tick_body": body}
            open_connection.execute(TICKS.insert().values(**tick))
    remove(instance, run_id)
    statuses = set(rows(connection, sa.select(TICKS.c.status)))
    assert statuses == ({"STARTED"} if goes else {"SUCCESS", "STARTED"})


@pytest.mark.parametrize(
    "body",
    [
        '{"skip_reason": "3 runs were due"}',
        '{"skip_reason": "2 messages, 1 attempts dispatched", "runs": []}',
    ],
)
@pytest.mark.parametrize("name", ["runs", "dispatched", "skip_reason"])
def test_a_tenant_whose_name_is_a_word_of_the_sensors_takes_no_other_s_ticks(
    instance: dg.DagsterInstance, name: str, body: str
) -> None:
    storage: Any = instance.schedule_storage
    skipped = json.dumps(
        {"skip_reason": f"tenant {name}: too many writers at once"}
    )
    with storage.connect() as connection:
        for text in (body, skipped):
            tick = {
                "job_origin_id": "o",
                "status": "SUCCESS",
                "tick_body": text,
            }
            connection.execute(TICKS.insert().values(**tick))
    DagsterHistory(instance).remove_tenant(name, (), lambda: False)
    assert rows(storage.connect, sa.select(TICKS.c.tick_body)) == [body]


def test_a_backfill_waits_for_no_tenant_that_is_called_like_one_of_its_keys(
    instance: dg.DagsterInstance,
) -> None:
    storage: Any = instance.run_storage
    with storage.connect() as connection:
        body = json.dumps(
            {"partition_names": json.dumps(["acme2"]), "data": '{"target": {}}'}
        )
        row = {
            "key": "open",
            "status": "REQUESTED",
            "timestamp": sa.func.now(),
            "body": body,
        }
        connection.execute(BACKFILLS.insert().values(**row))
    for name in ("partition_names", "target"):
        assert (
            DagsterHistory(instance)
            .remove_tenant(name, (), lambda: False)
            .is_all
        )


def test_a_backfill_that_named_it_goes_once_it_has_ended(
    instance: dg.DagsterInstance,
) -> None:
    storage: Any = instance.run_storage
    with storage.connect() as connection:
        for key, status, names in (
            ("ended", "COMPLETED_SUCCESS", ["acme2", TENANT]),
            ("other", "COMPLETED_SUCCESS", ["acme2"]),
            ("open", "REQUESTED", [TENANT]),
        ):
            body = json.dumps({"partition_names": json.dumps(names)})
            row = {
                "key": key,
                "status": status,
                "timestamp": sa.func.now(),
                "body": body,
            }
            connection.execute(BACKFILLS.insert().values(**row))
    assert remove(instance) == (2, False)
    assert rows(
        storage.connect, sa.select(BACKFILLS.c.key).order_by(BACKFILLS.c.key)
    ) == [
        "open",
        "other",
    ]
    with storage.connect() as connection:
        connection.execute(BACKFILLS.update().values(status="FAILED"))
    assert remove(instance) == (1, True)


def test_ticks_are_gone_through_from_where_it_was_late(
    instance: dg.DagsterInstance,
) -> None:
    storage: Any = instance.schedule_storage
    tick = {
        "job_origin_id": "o",
        "status": "SUCCESS",
        "tick_body": '{"tenant": "acme"}',
    }
    with storage.connect() as connection:
        connection.execute(TICKS.insert(), [tick] * 1100)
    run_id = add_run(instance, TENANT)
    history = DagsterHistory(instance)
    marks = list[str | None]()
    removed = history.remove_tenant(TENANT, (), lambda: True)
    while removed.mark != "ticks seen":
        assert instance.get_run_by_id(run_id) is not None
        marks.append(removed.mark)
        removed = history.remove_tenant(TENANT, (), lambda: True, removed.mark)
    assert marks == ["500", "1000", "1100"]
    assert rows(storage.connect, sa.select(TICKS.c.status)) == []
    assert instance.get_run_by_id(run_id) is not None
    assert history.remove_tenant(TENANT, (), lambda: False, removed.mark).is_all
    assert instance.get_run_by_id(run_id) is None


# --- runs by their age ----------------------------------------------------------------------------


TENANTS = dg.DynamicPartitionsDefinition(name="tenants")
AFTER_ALL = utc_now() + timedelta(days=1)


def never() -> bool:
    return False


def delete_old(
    instance: dg.DagsterInstance, before: datetime = AFTER_ALL
) -> int:
    return DagsterHistory(instance).delete_ended_before(before, never)


def test_runs_of_the_job_that_ended_long_ago_are_deleted_the_oldest_first(
    instance: dg.DagsterInstance,
) -> None:
    run_ids = [add_run(instance, TENANT) for _ in range(3)]
    executing = add_run(instance, TENANT, STATUS.STARTED)
    another = add_run(instance, TENANT, job_name="somebody_elses")
    history = DagsterHistory(instance)
    late = iter([False, False, True])
    assert (
        history.delete_ended_before(utc_now() - timedelta(days=1), never) == 0
    )
    assert history.delete_ended_before(AFTER_ALL, lambda: next(late)) == 2
    assert {run.run_id for run in instance.get_runs()} == {
        run_ids[2],
        executing,
        another,
    }


def test_runs_of_assets_that_were_materialized_by_hand_are_deleted_if_they_are_tenants_(
    instance: dg.DagsterInstance,
) -> None:
    add_run(instance, TENANT, job_name="__ASSET_JOB")
    another = add_run(
        instance, "a partition of somebody else", job_name="__ASSET_JOB"
    )
    assert delete_old(instance) == 1
    assert {run.run_id for run in instance.get_runs()} == {another}


def execute_checked(
    instance: dg.DagsterInstance,
    tenant_id: str = TENANT,
    *,
    job_name: str = INVENTORY_SYNC,
) -> str:
    """Execute a run of the job that materializes an asset of a tenant and checks it twice."""
    specs = [
        dg.AssetCheckSpec(name, asset="stock", partitions_def=TENANTS)
        for name in ("first", "second")
    ]

    @dg.asset(check_specs=specs, partitions_def=TENANTS)
    def stock() -> Iterator[Any]:
        yield dg.MaterializeResult(tags={"seen": "1"})
        for spec in specs:
            yield dg.AssetCheckResult(check_name=spec.name, passed=True)

    definitions = dg.Definitions(
        assets=[stock], jobs=[dg.define_asset_job(job_name)]
    )
    job = definitions.resolve_job_def(job_name)
    return job.execute_in_process(
        instance=instance,
        tags={tags.TENANT_ID: tenant_id},
        partition_key=tenant_id,
    ).run_id


def test_a_run_deleted_by_its_age_leaves_no_verdict_no_tag_and_no_file(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    gone = execute_checked(instance)
    newer_run = execute_checked(instance)
    before = places(tmp_path, newer_run)
    assert places(tmp_path, gone) >= {
        "runs",
        "run_tags",
        "event_logs",
        "asset_check_executions",
    }
    assert places(tmp_path, gone) >= {f"{gone}.db"}
    assert delete_old(instance) == 1
    assert places(tmp_path, gone) == set()
    assert places(tmp_path, newer_run) == before


def report_checked(instance: dg.DagsterInstance, tenant_id: str) -> None:
    """Report a materialization, an observation and verdicts that belong to no run.

    Dagster takes one verdict of a check and a partition that is no run's, and no second.
    """
    materialize(instance, tenant_id)
    key = dg.AssetKey("merged_inventory")
    instance.report_runless_asset_event(
        dg.AssetObservation(key, partition=tenant_id)
    )
    for name in ("fresh", "whole"):
        verdict = dg.AssetCheckEvaluation(
            asset_key=key, check_name=name, passed=True
        )
        instance.report_runless_asset_event(verdict)


def counts(kept: Kept) -> Counter[str]:
    """Return how many rows each table has, whichever runs they are of."""
    drawn = rf"{RUN_ID}|(?<=/compute_logs/)\w+|/\d+$"
    return Counter(re.sub(drawn, "", place) for place in kept)


@pytest.mark.parametrize("opened", STORAGES)
def test_after_retention_there_is_as_much_as_before_but_for_the_newest_of_each_tenant(
    opened: Any, tmp_path: Path
) -> None:
    tenants = (TENANT, OTHERS[0])
    gone = set[str]()
    newest = set[str]()
    with opened(tmp_path) as (instance, history):

        def one_more_of_each() -> set[str]:
            for tenant_id in tenants:
                report_checked(instance, tenant_id)
            return {
                execute_checked(instance, tenant_id) for tenant_id in tenants
            }

        for tenant_id in tenants:
            instance.add_dynamic_partitions("tenants", [tenant_id])
        newest = one_more_of_each()
        assert delete_old(instance) == 0
        rows_before = counts(history())
        bytes_before = bytes_of(tmp_path)
        for _ in range(8):
            gone |= newest
            newest = one_more_of_each()
        assert delete_old(instance, utc_now() - timedelta(days=1)) == 0
        assert delete_old(instance) == len(gone) == 16
        assert {run.run_id for run in instance.get_runs()} == newest
        assert naming(history(), gone) == {}
        assert counts(history()) == rows_before
        assert bytes_of(tmp_path) <= 1.1 * bytes_before
        for tenant_id in tenants:
            DagsterHistory(instance).remove_tenant(tenant_id, (), never)
        assert naming(history(), {f'"{tenant}"' for tenant in tenants}) == {}


def bytes_of(home: Path) -> int:
    """Return the bytes that a Dagster home's SQLite databases use of their files."""
    return sum(map(used_bytes, home.rglob("*.db")))


def used_bytes(path: Path) -> int:
    names = ("page_count", "freelist_count", "page_size")
    with closing(sqlite3.connect(path)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names
        )
    return int((pages - free) * size)


def test_a_file_that_is_mostly_free_is_made_smaller(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    storage: Any = instance.run_storage
    row = {
        "key": "k",
        "status": "COMPLETED_SUCCESS",
        "timestamp": sa.func.now(),
        "body": "x" * MANY,
    }
    with storage.connect() as connection:
        connection.execute(BACKFILLS.insert().values(**row))
        connection.execute(BACKFILLS.delete())
    (file,) = tmp_path.rglob("runs.db")
    assert file.stat().st_size > MANY
    delete_old(instance)
    assert file.stat().st_size == used_bytes(file)


def places(home: Path, run_id: str) -> set[str]:
    """Return the tables and the files that name a run."""
    places_of_run = naming(kept_by_dagster(home), {run_id})
    return {
        part
        for place in places_of_run
        for part in Path(place).parts[-3:]
        if not part.isdecimal()
    }
