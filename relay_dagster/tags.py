"""Tag keys and run keys, which tie a Dagster run to its run record.

The sensor writes them; the run's process and the reconciler read them. This module does
not import Dagster.
"""

from collections.abc import Mapping

RUN_ID = "relay/run_id"
TENANT_ID = "relay/tenant_id"
CONFIG_VERSION = "relay/config_version"
ATTEMPT = "relay/attempt"
REQUEST_ID = "relay/request_id"
TRIGGER = "relay/trigger"

# Dagster's own keys, which the sensor sets or reads.
PARTITION = "dagster/partition"
PRIORITY = "dagster/priority"
SENSOR = "dagster/sensor_name"


def run_key(run_id: str, attempt: int) -> str:
    """Return the run key of an attempt: requests with the same key start one run."""
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
    """Return the tags of the Dagster run that executes an attempt.

    A value that is None has no tag.
    """
    tags = {
        RUN_ID: run_id,
        TENANT_ID: tenant_id,
        CONFIG_VERSION: config_version,
        ATTEMPT: attempt,
        REQUEST_ID: request_id,
        TRIGGER: trigger,
    }
    return {
        name: str(value) for name, value in tags.items() if value is not None
    }


def attempt_of(tags: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the run_id and the attempt in the tags of a Dagster run.

    None for a Dagster run that the sensor has not started.
    """
    run_id = tags.get(RUN_ID)
    attempt = tags.get(ATTEMPT, "")
    if not run_id or not attempt.isdecimal():
        return None
    return run_id, int(attempt)
