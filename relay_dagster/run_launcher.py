"""Dagster's launcher of ECS tasks for ``deploy/dagster.yaml``, with its own network."""

from typing import Any

import dagster as dg
from dagster_aws.ecs import EcsRunLauncher


class RunLauncher(EcsRunLauncher):
    """Dagster's launcher of ECS tasks, which run in a network of their own.

    The tasks get these ``subnets``, comma-separated ids, and this security group in
    place of the daemon's.
    """

    def __init__(
        self,
        subnets: str,
        security_group: str,
        **config: Any,
    ) -> None:
        network = {
            "subnets": subnets.split(","),
            "securityGroups": [security_group],
            "assignPublicIp": "DISABLED",
        }
        run_task_kwargs = {
            "networkConfiguration": {"awsvpcConfiguration": network},
        }
        super().__init__(run_task_kwargs=run_task_kwargs, **config)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the options that the instance's file may have."""
        return {
            **super().config_type(),
            "subnets": dg.StringSource,
            "security_group": dg.StringSource,
        }
