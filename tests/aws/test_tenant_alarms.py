"""Alarms that watch one tenant, removed."""

from __future__ import annotations

from typing import Any

from alarms import AlarmPlan, set_up_alarms
from relay_dagster.aws.metrics import remove_alarms
from relay_dagster.wiring import Platform


def names(platform: Platform) -> set[str]:
    pages = platform.clients.cloudwatch.get_paginator(
        "describe_alarms"
    ).paginate()
    return {
        alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]
    }


def set_up(platform: Platform, **changes: Any) -> None:
    plan = {
        "environment": "test",
        "namespace": "Relay",
        "queue_name": "q",
        "dlq_name": "d",
    }
    set_up_alarms(AlarmPlan(**{**plan, **changes}), platform.clients)


def test_a_tenant_s_alarms_go_whatever_they_are_called_and_no_others(
    platform: Platform,
) -> None:
    set_up(platform, tenants=("acme2",), name_prefix="relay")
    set_up(platform, tenants=("acme",), environment="production")
    set_up(platform)
    other_alarms = names(platform)
    set_up(platform, tenants=("acme",))
    set_up(platform, tenants=("acme",), name_prefix="shop")
    platform.clients.cloudwatch.put_metric_alarm(
        AlarmName="somebody's own",
        Namespace="Relay",
        MetricName="FeedAgeSeconds",
        Dimensions=[
            {"Name": "Environment", "Value": "test"},
            {"Name": "TenantId", "Value": "acme"},
        ],
        Statistic="Maximum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    own_alarms = names(platform)
    assert len(own_alarms - other_alarms) > 3
    assert remove_alarms(platform.clients, "Relay", "test", "acme") == 3
    remaining = names(platform)
    assert own_alarms - remaining == {
        "relay-test-consecutive-failures-acme",
        "shop-test-consecutive-failures-acme",
        "somebody's own",
    }
    assert other_alarms <= remaining
    assert remove_alarms(platform.clients, "Relay", "test", "acme") == 0
