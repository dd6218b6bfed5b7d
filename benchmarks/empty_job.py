"""The least that Dagster can do in the way our runs go: a message, a sensor, three empty assets.

Imports Dagster alone; what the sensor needs of boto3 it imports in its tick, in the code server,
so that run processes stay without it.
"""

import os
import time
from functools import cache
from typing import Any

import dagster as dg

QUEUE_VARIABLE = "BENCH_{}_QUEUE_URL"
MESSAGE_TAG = "bench/message"
DISPATCHED_TAG = "bench/dispatched_at"
_POLL_SECONDS = 20
_MAX_MESSAGES = 10

partitions = dg.DynamicPartitionsDefinition(name="bench")


def empty_defs(name: str) -> dg.Definitions:
    """Return a job of three assets that do nothing, and the sensor that starts it.

    Args:
        name: of the code location; the sensor reads the queue in ``BENCH_<NAME>_QUEUE_URL``.
    """
    assets: list[dg.AssetsDefinition] = []
    for step in ("first", "second", "third"):
        before = [assets[-1]] if assets else []
        assets.append(_empty_asset(f"{name}_{step}", before))
    job = dg.define_asset_job(
        f"{name}_job",
        selection=dg.AssetSelection.assets(*assets),
        executor_def=dg.in_process_executor,
    )
    sensor = _sensor(name, job)
    return dg.Definitions(
        assets=assets,
        jobs=[job],
        sensors=[sensor],
        executor=dg.in_process_executor,
    )


def _empty_asset(
    name: str, before: list[dg.AssetsDefinition]
) -> dg.AssetsDefinition:
    @dg.asset(
        name=name, deps=before, partitions_def=partitions, group_name="empty"
    )
    def asset() -> Any:
        return dg.MaterializeResult(metadata={"rows": 0})

    return asset


def _sensor(name: str, job: Any) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{name}_sensor",
        job=job,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor() -> dg.SensorResult | dg.SkipReason:
        tenants = _receive(os.environ[QUEUE_VARIABLE.format(name.upper())])
        if not tenants:
            return dg.SkipReason("no message")
        requests = [
            dg.RunRequest(
                run_key=tenant,
                partition_key=tenant,
                tags={MESSAGE_TAG: tenant, DISPATCHED_TAG: repr(time.time())},
            )
            for tenant in tenants
        ]
        added = partitions.build_add_request(tenants)
        return dg.SensorResult(
            run_requests=requests, dynamic_partitions_requests=[added]
        )

    return sensor


def _receive(queue_url: str) -> list[str]:
    """Wait for messages, take all that are there, and return their bodies."""
    bodies: list[str] = []
    wait = _POLL_SECONDS
    while True:
        answer = _sqs().receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=_MAX_MESSAGES,
            WaitTimeSeconds=wait,
        )
        messages = answer.get("Messages", [])
        for message in messages:
            _sqs().delete_message(
                QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"]
            )
        bodies += [message["Body"] for message in messages]
        if not messages:
            return bodies
        wait = 0


@cache
def _sqs() -> Any:
    import boto3

    return boto3.client("sqs")
