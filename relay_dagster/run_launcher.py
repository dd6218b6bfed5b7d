"""Dagster's launcher of ECS tasks for ``deploy/dagster.yaml``, with a network for runs alone."""

from typing import Any

import dagster as dg
from dagster_aws.ecs import EcsRunLauncher


class RunLauncher(EcsRunLauncher):
    """Dagster's own launcher, whose tasks get these subnets and this group, not the daemon's.

    ``subnets`` are ids, comma-separated.
    """

    def __init__(self, subnets: str, security_group: str, **config: Any) -> None:
        network = {
            "subnets": subnets.split(","),
            "securityGroups": [security_group],
            "assignPublicIp": "DISABLED",
        }
        network_alone = {"networkConfiguration": {"awsvpcConfiguration": network}}
        super().__init__(run_task_kwargs=network_alone, **config)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the options of the instance's file."""
        own = {"subnets": dg.StringSource, "security_group": dg.StringSource}
        return {**super().config_type(), **own}
