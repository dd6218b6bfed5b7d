"""What bodies of the queue of uploads say: straight from S3, through SNS, through EventBridge."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from relay_dagster.intake.upload_events import (
    CreatedObject,
    NotAnEventError,
    uploads_in,
)
from support.triggers_world import NOON, s3_event

KEY = "tenants/acme/inbound/vendor 1/März+1.csv"


def upload(key: str = KEY) -> CreatedObject:
    return CreatedObject("relay-inventory", key, NOON)


def event_bridge(key: str = KEY, **changes: Any) -> dict[str, Any]:
    detail = {"bucket": {"name": "relay-inventory"}, "object": {"key": key}}
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-03-01T12:00:00Z",
    }
    return {**event, "detail": detail, **changes}


def test_a_body_straight_from_s3_has_its_key_decoded() -> None:
    assert uploads_in(json.dumps(s3_event(KEY))) == [upload()]


def test_a_body_through_sns_is_the_same() -> None:
    body = {
        "Type": "Notification",
        "TopicArn": "arn",
        "Message": json.dumps(s3_event(KEY)),
    }
    assert uploads_in(json.dumps(body)) == [upload()]


def test_a_body_through_event_bridge_is_read_with_its_key_as_it_is_and_decoded() -> (
    None
):
    assert uploads_in(json.dumps(event_bridge())) == [
        upload(),
        upload("tenants/acme/inbound/vendor 1/März 1.csv"),
    ]


def test_a_body_may_tell_of_many_uploads() -> None:
    records = [
        *s3_event("tenants/a/1")["Records"],
        *s3_event("tenants/a/2")["Records"],
    ]
    uploads = uploads_in(json.dumps({"Records": records}))
    assert [upload.key for upload in uploads] == ["tenants/a/1", "tenants/a/2"]


@pytest.mark.parametrize(
    "body",
    [
        {
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Bucket": "relay-inventory",
        },
        {
            "Records": [
                {
                    **s3_event(KEY)["Records"][0],
                    "eventName": "ObjectRemoved:Delete",
                }
            ]
        },
        event_bridge(**{"detail-type": "Object Deleted"}),
    ],
    ids=["test", "removed", "deleted"],
)
def test_other_events_of_s3_tell_of_no_upload(body: dict[str, Any]) -> None:
    assert uploads_in(json.dumps(body)) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[" * 100_000,
        "[]",
        "null",
        "{}",
        '{"Records": {}}',
        '{"Records": [1]}',
        '{"Type": "Notification"}',
        '{"Type": "Notification", "Message": "hello"}',
        json.dumps({"Type": "SubscriptionConfirmation", "Token": "t"}),
        json.dumps(
            {
                "run_id": "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11",
                "tenant_id": "acme",
            }
        ),
        json.dumps(
            {
                "Records": [
                    {**s3_event(KEY)["Records"][0], "eventSource": "aws:sns"}
                ]
            }
        ),
        json.dumps(
            {
                "Records": [
                    {**s3_event(KEY)["Records"][0], "eventTime": "yesterday"}
                ]
            }
        ),
        json.dumps(
            {"Records": [{**s3_event(KEY)["Records"][0], "eventTime": 5}]}
        ),
        json.dumps({"Records": [{**s3_event(KEY)["Records"][0], "s3": {}}]}),
        json.dumps(
            {"Records": [{**s3_event(KEY)["Records"][0], "eventName": 5}]}
        ),
        json.dumps(
            {"Records": [{**s3_event(KEY)["Records"][0], "eventName": None}]}
        ),
        json.dumps(s3_event("key")).replace('"key": "key"', '"key": 5'),
        json.dumps(event_bridge(time="0001-01-01T00:00:00+14:00")),
        json.dumps(event_bridge(detail=None)),
    ],
)
def test_what_is_no_event_is_refused_and_says_why(body: str) -> None:
    with pytest.raises(NotAnEventError, match=r"\w"):
        uploads_in(body)


@pytest.mark.parametrize(
    ("key", "tenant"),
    [
        ("tenants/acme/inbound/f.csv", "acme"),
        ("tenants/acme/f.csv", "acme"),
        ("tenants/acme/inbound/", None),
        ("tenants/acme", None),
        ("tenants//f.csv", None),
        ("tenants/../f.csv", None),
        ("published/acme/f.csv", None),
        ("5c1f9a52/tenants/acme/f.csv", None),
    ],
)
def test_a_key_tells_whose_upload_it_is(key: str, tenant: str | None) -> None:
    assert (
        CreatedObject("b", key, NOON + timedelta(seconds=1)).tenant_id == tenant
    )
