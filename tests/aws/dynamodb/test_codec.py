"""Values as items and back: nothing is lost, whatever is known of a run."""

import json
import uuid
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.domain.records import VendorResult
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import (
    ROWS,
    instant_text,
    marshal,
    read_instant,
    unmarshal,
)
from relay_dagster.aws.dynamodb.run_writes import (
    to_item,
    to_lock,
    to_record,
    to_results,
)
from relay_dagster.runs.model import (
    DueQueue,
    Hold,
    LockState,
    RunRecord,
    TenantLock,
    Trigger,
)
from relay_dagster.tenants.audit import SYSTEM, Action
from support.builders import REQUESTED_AT, RUN_ID

NOTHING_OF = VendorResult("v2", "missing", None, None, None, None, None)


def a_run(**changes: Any) -> RunRecord:
    defaults = {
        "run_id": RUN_ID,
        "tenant_id": "acme",
        "requested_at": REQUESTED_AT,
    }
    return RunRecord(**{**defaults, **changes})


AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def instants_of_record() -> dict[str, datetime]:
    """Return a value for each instant of a record, no two of them alike."""
    names = [
        field.name
        for field in fields(RunRecord)
        if str(field.type).startswith("datetime")
    ]
    instants = {name: AT + timedelta(seconds=n) for n, name in enumerate(names)}
    return {**instants, "expires_at": datetime(2026, 4, 1, tzinfo=UTC)}


def full_record() -> RunRecord:
    """Return a record that has a value for everything."""
    return a_run(
        **instants_of_record(),
        trigger=Trigger.QUEUE,
        vendors=("v2", "v1"),
        asked_version=3,
        config_version=4,
        request_id="q",
        idempotency_id="i",
        status=RunStatus.FAILED,
        stage=Stage.NORMALIZE,
        attempt=2,
        failed_stage=Stage.NORMALIZE,
        error_code="DECODE_ERROR",
        error_message='Größe, 5" pipe, \N{SNOWMAN}',
        attempt_code="invalid_config",
        next_action="Store it again.",
        dagster_run_id="d",
        stage_entered_at={"FETCH_INPUTS": AT},
        message_id="m",
        receipt_handle="h",
        dlq_message_id="x",
        artifacts={"errors": "k"},
        errors_artifact_key="k",
        counts={"total_rows": 5},
        changes={"added": 2, "removed": 0},
        vendor_results=(
            VendorResult("v1", "found", AT, 3, 5, 1, 4),
            NOTHING_OF,
        ),
        baseline_run_id="b",
        hold=Hold(
            "ab12", "b", ({"guard": "price_drop", "count": 5, "examples": []},)
        ),
        released_by="ops",
        release_reason="seen",
        feed_key="f",
        feed_sha256="ab12",
        published_seq=4,
        lock_state=LockState.QUEUED,
        due_queue=DueQueue.ATTEMPT,
        watched_as="1:4:executing:d",
        hidden=True,
        pending_audit=SYSTEM.entry(
            Action.RUN_POSTED, "acme", "r", AT, trigger="api", vendors=["v1"]
        ),
        revision=9,
        write_id="w",
    )


def test_a_record_comes_back_as_it_went_in() -> None:
    record = full_record()
    assert not [
        field.name
        for field in fields(record)
        if getattr(record, field.name) is None
    ]
    # What it came to with each vendor is in an item of its own.
    assert to_record(to_item(record)) == replace(record, vendor_results=())
    item = marshal({"vendor_results": ROWS.write(record.vendor_results)})
    assert to_results(item) == record.vendor_results


def test_a_record_with_nothing_known_comes_back_as_it_went_in() -> None:
    record = a_run()
    assert to_record(to_item(record)) == record


def test_attributes_of_a_later_release_are_ignored() -> None:
    record = a_run()
    later = {**to_item(record), "colour": {"S": "blue"}}
    assert to_record(later) == record


def test_a_settled_run_is_in_no_list_of_what_is_due_and_a_hidden_one_in_one_of_its_own() -> (
    None
):
    indexes = {schema.LISTED, schema.LISTED_TENANT, schema.DUE_SHARD}
    assert (
        indexes
        <= to_item(a_run(due_queue=DueQueue.END, due_at=REQUESTED_AT)).keys()
    )
    assert indexes & to_item(a_run()).keys() == {
        schema.LISTED,
        schema.LISTED_TENANT,
    }
    hidden = to_item(a_run(hidden=True))
    assert indexes & hidden.keys() == {schema.LISTED_TENANT}
    assert hidden[schema.LISTED_TENANT] == {"S": "HIDDEN#acme"}


def test_what_is_due_is_spread_over_shards() -> None:
    runs = [
        a_run(run_id=str(uuid.uuid4()), due_queue=DueQueue.END)
        for _ in range(200)
    ]
    shards = {unmarshal(to_item(run))[schema.DUE_SHARD] for run in runs}
    assert shards == {"end#0", "end#1", "end#2", "end#3"}


def test_a_record_of_as_many_vendors_as_a_tenant_may_have_fits_into_an_item() -> (
    None
):
    vendors = [f"{number:064d}" for number in range(DEFAULT_LIMITS.vendors)]
    kinds = ("inbound", "normalized")
    names = [f"{kind}_{vendor}" for kind in kinds for vendor in vendors]
    record = a_run(
        vendors=tuple(vendors),
        artifacts={
            name: f"{RUN_ID}/tenants/{'t' * 64}/{name}/{'f' * 200}.csv"
            for name in names
        },
        error_message="m" * 20_000,
        vendor_results=tuple(
            VendorResult(vendor, "last_good", REQUESTED_AT, 8760, *[2**31] * 3)
            for vendor in vendors
        ),
    )
    assert len(json.dumps(to_item(record))) < 400_000


def test_instants_sort_as_text_and_are_exact() -> None:
    first = datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    assert instant_text(first) < instant_text(first + timedelta(microseconds=1))
    assert read_instant(instant_text(first)) == first


def test_what_expires_does_so_in_whole_seconds_since_the_epoch() -> None:
    item = unmarshal(to_item(a_run(expires_at=REQUESTED_AT)))
    assert item[schema.EXPIRY] == int(REQUESTED_AT.timestamp())


@pytest.mark.parametrize(
    ("item", "lock"),
    [
        (None, TenantLock("acme")),
        ({"holder": {"S": "r"}}, TenantLock("acme", holder="r")),
        (
            {
                "waiters": {"SS": ["12:01#a", "12:00#b"]},
                "consecutive_failures": {"N": "2"},
            },
            TenantLock("acme", waiters=("b", "a"), consecutive_failures=2),
        ),
    ],
    ids=["no item", "a holder", "waiters"],
)
def test_a_lock_is_read_whatever_of_it_there_is(
    item: Any, lock: TenantLock
) -> None:
    assert to_lock("acme", item) == lock
