"""Tag keys and run keys, which tie a Dagster run to its run record.

The sensor writes them; the run's process and the reconciler read them. The module imports no
Dagster.
"""

from collections.abc import Mapping

RUN_ID = "relay/run_id"
TENANT_ID = "relay/tenant_id"
CONFIG_VERSION = "relay/config_version"
ATTEMPT = "relay/attempt"
REQUEST_ID = "relay/request_id"
TRIGGER = "relay/trigger"

# Dagster's own keys that the sensor sets or reads.
PARTITION = "dagster/partition"
PRIORITY = "dagster/priority"
SENSOR = "dagster/sensor_name"


def run_key(run_id: str, attempt: int) -> str:
    """Return the run key of an attempt: two requests with it start one Dagster run."""
    return f"{run_id}:{attempt}"


def run_tags(
    run_id: str,
    tenant_id: str,
    *,
    attempt: int,
    config_version: int | None = None,
    request_id: str | None = None,
    trigger: str | None = None,
) -> dict[str, str]:
    """Return the tags of the Dagster run that executes an attempt; what is None has no tag."""
    tags = {
        RUN_ID: run_id,
        TENANT_ID: tenant_id,
        CONFIG_VERSION: config_version,
        ATTEMPT: attempt,
        REQUEST_ID: request_id,
        TRIGGER: trigger,
    }
    return {name: str(value) for name, value in tags.items() if value is not None}


def attempt_of(tags: Mapping[str, str]) -> tuple[str, int] | None:
    """Return what the tags claim, run_id and attempt; None for a run that is not from the queue."""
    run_id, attempt = tags.get(RUN_ID), tags.get(ATTEMPT, "")
    if not run_id or not attempt.isdecimal():
        return None
    return run_id, int(attempt)
