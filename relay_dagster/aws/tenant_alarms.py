"""The alarms on one tenant's metrics, whatever their names: they are removed with the tenant."""

from typing import Any

from relay_dagster.aws import metrics
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.error_mapping import maps_aws_errors

_OF_TENANTS = (
    metrics.RUN_SUCCEEDED,
    metrics.RUN_FAILED,
    metrics.RUN_HELD,
    metrics.RUNS_HELD,
    metrics.FEED_AGE_SECONDS,
    metrics.RUN_DURATION_SECONDS,
    metrics.ROWS_PROCESSED,
    metrics.CONSECUTIVE_FAILURES,
)
"""The metrics with a tenant's dimension."""


@maps_aws_errors
def remove_alarms(clients: Clients, namespace: str, environment: str, tenant_id: str) -> int:
    """Delete the alarms on a tenant's metrics; return how many there were."""
    names: set[str] = set()
    wanted = {metrics.TENANT_ID: tenant_id, metrics.ENVIRONMENT: environment}
    dimensions: Any = [{"Name": name, "Value": value} for name, value in wanted.items()]
    for name in _OF_TENANTS:
        answer = clients.cloudwatch.describe_alarms_for_metric(
            MetricName=name, Namespace=namespace, Dimensions=dimensions
        )
        for alarm in answer["MetricAlarms"]:
            watched = {each["Name"]: each["Value"] for each in alarm.get("Dimensions", [])}
            if watched == wanted:  # embedded AWS returns others too
                names.add(alarm["AlarmName"])
    if names:
        clients.cloudwatch.delete_alarms(AlarmNames=sorted(names))
    return len(names)
