"""The fault proxy does to a request what it was told to, and to no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
)

from integration.fault_proxy import FaultProxy
from integration.fault_rules import Action
from relay_dagster.devstack.moto_server import serving

BUCKET = "feeds"


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def proxy(upstream: str) -> Iterator[FaultProxy]:
    with FaultProxy(upstream) as proxy:
        client(proxy, "s3").create_bucket(Bucket=BUCKET)
        yield proxy


def client(
    proxy: FaultProxy, service: str, *, tries: int = 1, patience: float = 10
) -> Any:
    return boto3.client(
        service,
        endpoint_url=proxy.url,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": tries},
            read_timeout=patience,
            s3={"addressing_style": "path"},
        ),
    )


def keys(proxy: FaultProxy, prefix: str) -> list[str]:
    listed = client(proxy, "s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for item in listed.get("Contents", [])]


def make_table(proxy: FaultProxy, name: str) -> None:
    client(proxy, "dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_without_rules_bytes_pass_as_they_are(proxy: FaultProxy) -> None:
    body = bytes(range(256)) * 5000
    s3 = client(proxy, "s3")
    s3.put_object(Bucket=BUCKET, Key="plain/é 1.bin", Body=body)
    assert (
        s3.get_object(Bucket=BUCKET, Key="plain/é 1.bin")["Body"].read() == body
    )
    assert s3.head_object(Bucket=BUCKET, Key="plain/é 1.bin")[
        "ContentLength"
    ] == len(body)


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("s3", lambda c: c.get_object(Bucket=BUCKET, Key="k"), "SlowDown"),
        ("s3", lambda c: c.head_object(Bucket=BUCKET, Key="k"), "503"),
        (
            "sqs",
            lambda c: c.receive_message(QueueUrl="http://x/q"),
            "RequestThrottled",
        ),
        (
            "dynamodb",
            lambda c: c.get_item(TableName="t", Key={"pk": {"S": "a"}}),
            "ProvisionedThroughputExceededException",
        ),
    ],
    ids=["s3", "s3-head", "sqs", "dynamodb"],
)
def test_a_throttle_has_the_shape_of_its_service(
    proxy: FaultProxy, service: str, call: Any, code: str
) -> None:
    proxy.add(Action.THROTTLE, service)
    with pytest.raises(ClientError) as caught:
        call(client(proxy, service))
    assert caught.value.response["Error"]["Code"] == code


def test_a_rule_that_strikes_twice_is_over_after_two(proxy: FaultProxy) -> None:
    rule = proxy.add(Action.THROTTLE, "s3", "PutObject", times=2)
    client(proxy, "s3", tries=3).put_object(
        Bucket=BUCKET, Key="twice/a", Body=b"a"
    )
    assert (rule.hits, keys(proxy, "twice/")) == (2, ["twice/a"])


def test_a_failure_is_a_500(proxy: FaultProxy) -> None:
    proxy.add(Action.FAIL, "s3", "PutObject")
    with pytest.raises(ClientError) as caught:
        client(proxy, "s3").put_object(Bucket=BUCKET, Key="k", Body=b"")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_a_rule_leaves_other_operations_and_keys_alone(
    proxy: FaultProxy,
) -> None:
    proxy.add(Action.FAIL, "s3", "PutObject", containing="tenants/poor/")
    proxy.add(Action.FAIL, "s3", "CopyObject")
    s3 = client(proxy, "s3")
    s3.put_object(Bucket=BUCKET, Key="tenants/rich/a", Body=b"")
    with pytest.raises(ClientError):
        s3.put_object(Bucket=BUCKET, Key="tenants/poor/a", Body=b"")
    with pytest.raises(ClientError):
        s3.copy_object(
            Bucket=BUCKET, Key="b", CopySource=f"{BUCKET}/tenants/rich/a"
        )


def test_a_rule_finds_a_key_in_a_dynamodb_request(proxy: FaultProxy) -> None:
    make_table(proxy, "runs")
    rule = proxy.add(
        Action.FAIL, "dynamodb", "PutItem", containing=("runs", "RUN#1")
    )
    dynamodb = client(proxy, "dynamodb")
    dynamodb.put_item(TableName="runs", Item={"pk": {"S": "RUN#2"}})
    with pytest.raises(ClientError):
        dynamodb.put_item(TableName="runs", Item={"pk": {"S": "RUN#1"}})
    assert rule.hits == 1


def test_a_hang_lets_the_client_time_out_and_forwards_nothing(
    proxy: FaultProxy,
) -> None:
    proxy.add(Action.HANG, "s3", "PutObject")
    with pytest.raises(ReadTimeoutError):
        client(proxy, "s3", patience=0.3).put_object(
            Bucket=BUCKET, Key="hung/a", Body=b""
        )
    assert keys(proxy, "hung/") == []


def test_a_swallowed_request_is_carried_out(proxy: FaultProxy) -> None:
    proxy.add(Action.SWALLOW, "s3", "PutObject")
    with pytest.raises(ReadTimeoutError):
        client(proxy, "s3", patience=0.3).put_object(
            Bucket=BUCKET, Key="gone/a", Body=b""
        )
    assert keys(proxy, "gone/") == ["gone/a"]


@pytest.mark.parametrize(
    ("action", "left"),
    [(Action.DROP_BEFORE, []), (Action.DROP_AFTER, ["drop/a"])],
    ids=["before", "after"],
)
def test_a_dropped_connection_has_no_answer(
    proxy: FaultProxy, action: Action, left: list[str]
) -> None:
    client(proxy, "s3").delete_object(Bucket=BUCKET, Key="drop/a")
    proxy.add(action, "s3", "PutObject")
    with pytest.raises(ConnectionClosedError):
        client(proxy, "s3").put_object(Bucket=BUCKET, Key="drop/a", Body=b"")
    assert keys(proxy, "drop/") == left


def test_a_held_request_goes_on_when_it_is_released(proxy: FaultProxy) -> None:
    rule = proxy.add(Action.HOLD, "s3", "PutObject", containing="held/")
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(
            client(proxy, "s3").put_object,
            Bucket=BUCKET,
            Key="held/a",
            Body=b"",
        )
        rule.wait_for_hits(1)
        assert keys(proxy, "held/") == []
        rule.release()
        put.result(10)
    assert keys(proxy, "held/") == ["held/a"]


def test_a_slow_request_goes_on_before_its_client_gives_up(
    proxy: FaultProxy,
) -> None:
    proxy.slow_seconds = 0.1
    rule = proxy.add(Action.SLOW, "s3", "PutObject")
    client(proxy, "s3").put_object(Bucket=BUCKET, Key="slow/a", Body=b"")
    assert (rule.hits, rule.is_over, keys(proxy, "slow/")) == (
        1,
        False,
        ["slow/a"],
    )


def test_a_held_request_whose_client_dies_is_never_forwarded(
    proxy: FaultProxy,
) -> None:
    rule = proxy.add(Action.HOLD, "s3", "PutObject", containing="orphan/")
    with pytest.raises(ReadTimeoutError):
        client(proxy, "s3", patience=0.2).put_object(
            Bucket=BUCKET, Key="orphan/a", Body=b""
        )
    dropped = threading.Event()
    while not dropped.wait(0.02):
        if any(
            line.outcome == "hold"
            for line in proxy.seen("s3", "PutObject", "orphan/")
        ):
            dropped.set()
    rule.release()
    assert keys(proxy, "orphan/") == []


def test_an_answer_is_held_for_what_it_says(proxy: FaultProxy) -> None:
    sqs = client(proxy, "sqs")
    url = sqs.create_queue(QueueName="jobs")["QueueUrl"]
    rule = proxy.add(
        Action.HOLD_ANSWER,
        "sqs",
        "ReceiveMessage",
        answer_containing="tenant-7",
    )
    sqs.send_message(QueueUrl=url, MessageBody="tenant-6")
    assert (
        sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "tenant-6"
    )
    sqs.send_message(QueueUrl=url, MessageBody="tenant-7")
    with ThreadPoolExecutor(1) as pool:
        receive = pool.submit(sqs.receive_message, QueueUrl=url)
        rule.wait_for_hits(1)
        assert not receive.done()
        rule.release()
        assert receive.result(10)["Messages"][0]["Body"] == "tenant-7"


def test_the_log_tells_service_operation_and_outcome(proxy: FaultProxy) -> None:
    client(proxy, "s3").put_object(Bucket=BUCKET, Key="log/a", Body=b"")
    client(proxy, "cloudwatch").put_metric_data(
        Namespace="N", MetricData=[{"MetricName": "WorkerError", "Value": 1}]
    )
    outcomes = [
        (line.request.service, line.request.operation, line.outcome)
        for line in proxy.log
    ]
    assert ("s3", "PutObject", "200") in outcomes
    assert ("cloudwatch", "PutMetricData", "200") in outcomes


def test_a_request_without_an_upstream_is_dropped() -> None:
    with (
        FaultProxy("http://127.0.0.1:1") as proxy,
        pytest.raises(ConnectionClosedError),
    ):
        client(proxy, "s3").list_buckets()


def test_a_hit_that_does_not_come_is_told(proxy: FaultProxy) -> None:
    rule = proxy.add(Action.HOLD, "s3", "PutObject")
    with pytest.raises(TimeoutError, match="'hold' for s3 PutObject"):
        rule.wait_for_hits(1, within=0.05)
