"""Cursors: they say where to go on, and nothing else is one."""

import base64

import pytest

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import by_time
from relay_dagster.aws.dynamodb.cursors import (
    BadCursorError,
    start_key,
    to_cursor,
)
from relay_dagster.aws.dynamodb.schema import Kind, Partition, listed_runs
from relay_dagster.runs.job_message import is_run_id
from support.builders import REQUESTED_AT, RUN_ID

LISTED = Partition(schema.BY_TIME, schema.LISTED, schema.ALL_RUNS)


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_a_listing_goes_on_after_the_row_or_the_record_that_it_ended_with() -> (
    None
):
    row = {schema.REQUESTED_KEY: by_time(REQUESTED_AT, RUN_ID)}
    start = start_key(
        to_cursor(row[schema.REQUESTED_KEY]), Kind.RUN, is_run_id, LISTED
    )
    assert start == {
        schema.KEY: {"S": f"RUN#{RUN_ID}"},
        schema.REQUESTED_KEY: {"S": row[schema.REQUESTED_KEY]},
        schema.LISTED: {"S": schema.ALL_RUNS},
    }


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "%%%",
        encoded("no instant#id"),
        encoded(f"2026-03-01#{RUN_ID}"),
        encoded(RUN_ID),
    ],
)
def test_what_no_listing_returned_is_no_cursor(cursor: str) -> None:
    with pytest.raises(BadCursorError):
        start_key(cursor, Kind.RUN, is_run_id, LISTED)


def test_a_cursor_leads_to_a_run_and_to_no_other_item() -> None:
    instant = to_cursor(by_time(REQUESTED_AT, RUN_ID))
    text = base64.urlsafe_b64decode(
        instant + "=" * (-len(instant) % 4)
    ).decode()
    with pytest.raises(BadCursorError):
        start_key(
            encoded(text.replace(RUN_ID, "../LOCK")),
            Kind.RUN,
            is_run_id,
            LISTED,
        )


def test_a_tenant_has_a_list_of_its_own() -> None:
    of_tenant = Partition(schema.BY_TENANT, schema.LISTED_TENANT, "acme")
    assert listed_runs("acme") == of_tenant
    assert listed_runs(None) == LISTED
