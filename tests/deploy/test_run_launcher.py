"""The launcher of deploy/dagster.yaml on embedded ECS: what it starts, and the rights it takes."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher.base import LaunchRunContext, RunLauncher
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._serdes import ConfigurableClassData

from support.deployment import DEPLOY, REGION, created_stack
from support.permissions import grants

CLUSTER = "relay-inventory"


@dataclass
class Ecs:
    """A stack with a daemon that runs, its launcher, and the operations that were called."""

    client: Any
    launcher: Any
    instance: dg.DagsterInstance
    operations: set[str] = field(default_factory=set)

    def launch(self) -> dg.DagsterRun:
        run = self.instance.create_run_for_job(job, job_code_origin=ORIGIN)
        self.launcher.launch_run(LaunchRunContext(run, workspace=None))
        stored_run = self.instance.get_run_by_id(run.run_id)
        assert stored_run is not None
        return stored_run

    def task(self, run: dg.DagsterRun) -> Mapping[str, Any]:
        arn = run.tags["ecs/task_arn"]
        answer = self.client.describe_tasks(
            cluster=CLUSTER, tasks=[arn], include=["TAGS"]
        )
        (task,) = answer["tasks"]
        return task


@dg.job
def job() -> None:
    pass


ORIGIN = JobPythonOrigin(
    "inventory_sync",
    RepositoryPythonOrigin(
        executable_path=sys.executable,
        code_pointer=ModuleCodePointer(
            "relay_dagster.definitions", "defs", None
        ),
    ),
)


@pytest.fixture(scope="module")
def metadata() -> Iterator[dict[str, str]]:
    """Answer what ECS tells a task about itself; the dictionary is the answer."""
    answer: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answer["url"] = f"http://127.0.0.1:{server.server_port}"
    yield answer
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def ecs(
    metadata: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ecs]:
    home = str(tmp_path_factory.mktemp("dagster"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("RELAY_RUN_TASK_DEFINITION", "relay-inventory-run")
        patch.setenv("ECS_CONTAINER_METADATA_URI_V4", metadata["url"])
        with created_stack(), dg.DagsterInstance.local_temp(home) as instance:
            client = boto3.client("ecs")
            metadata.update(
                {"Cluster": CLUSTER, "TaskARN": running_daemon(client)}
            )
            patch.setenv("RELAY_RUN_SUBNETS", ",".join(subnets()))
            patch.setenv(
                "RELAY_RUN_SECURITY_GROUP",
                group_of("Runs and the deletion of tenants"),
            )
            launcher = configured_launcher()
            launcher.register_instance(instance)
            ecs = Ecs(client, launcher, instance)
            for aws_client in (
                launcher.ecs,
                launcher.ec2.meta.client,
                launcher.logs,
            ):
                aws_client.meta.events.register(
                    "provide-client-params", noted(ecs.operations)
                )
            yield ecs


def register_for_fargate(client: Any, family: str) -> None:
    """Register a family's definition again with what moto's CloudFormation leaves out of it."""
    definition = client.describe_task_definition(taskDefinition=family)[
        "taskDefinition"
    ]
    client.register_task_definition(
        family=family,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="1024",
        memory="4096",
        containerDefinitions=[
            {**container, "memory": 4096}
            for container in definition["containerDefinitions"]
        ],
    )


def running_daemon(client: Any) -> str:
    """Start the daemon's task as Fargate does, with a network interface of its own."""
    for family in ("relay-inventory-daemon", "relay-inventory-run"):
        register_for_fargate(client, family)
    answer = client.run_task(
        cluster=CLUSTER,
        taskDefinition="relay-inventory-daemon",
        launchType="FARGATE",
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": subnets()[:1],
                "securityGroups": [
                    group_of("Webserver, daemon and code server")
                ],
            }
        },
    )
    return str(answer["tasks"][0]["taskArn"])


def subnets() -> list[str]:
    network_parts = boto3.client("ec2", region_name=REGION).describe_subnets()[
        "Subnets"
    ]
    return [subnet["SubnetId"] for subnet in network_parts[:2]]


def group_of(description: str) -> str:
    """Return the id of a security group of the stack."""
    groups = boto3.client("ec2", region_name=REGION).describe_security_groups()[
        "SecurityGroups"
    ]
    (group,) = (
        group["GroupId"]
        for group in groups
        if group["Description"] == description
    )
    return str(group)


def configured_launcher() -> Any:
    section = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())[
        "run_launcher"
    ]
    data = ConfigurableClassData(
        section["module"], section["class"], yaml.safe_dump(section["config"])
    )
    return data.rehydrate(as_type=RunLauncher)


def noted(operations: set[str]) -> Any:
    def note(model: Any, **_: Any) -> None:
        service = model.service_model.service_name
        operations.add(f"{service}:{model.name}")

    return note


def test_a_run_is_a_task_of_the_stack_s_definition(ecs: Ecs) -> None:
    run = ecs.launch()
    task = ecs.task(run)
    assert (
        task["taskDefinitionArn"]
        .partition("/")[2]
        .startswith("relay-inventory-run:")
    )
    (override,) = task["overrides"]["containerOverrides"]
    assert override["name"] == "run"
    assert override["command"][1:5] == ["-m", "dagster", "api", "execute_run"]
    assert {tag["key"] for tag in task["tags"]} >= {
        "dagster/run_id",
        "dagster/job_name",
    }


def test_a_run_is_in_its_own_network_not_in_the_daemon_s(ecs: Ecs) -> None:
    (attachment,) = ecs.task(ecs.launch())["attachments"]
    place = {
        detail["name"]: detail["value"] for detail in attachment["details"]
    }
    ec2 = boto3.client("ec2", region_name=REGION)
    interfaces = ec2.describe_network_interfaces(
        NetworkInterfaceIds=[place["networkInterfaceId"]]
    )
    (interface,) = interfaces["NetworkInterfaces"]
    assert [group["GroupId"] for group in interface["Groups"]] == [
        group_of("Runs and the deletion of tenants")
    ]
    assert place["subnetId"] in subnets()


def test_the_daemon_may_do_all_that_launching_watching_and_ending_a_run_takes(
    ecs: Ecs,
) -> None:
    ecs.operations.clear()
    run = ecs.launch()
    ecs.launcher.check_run_worker_health(run)
    ecs.launcher.terminate(run.run_id)
    allowed = {
        action for grant in grants("DaemonRole") for action in grant.actions
    }
    assert ecs.operations - allowed == set()
    checked_by_ecs = {"ecs:TagResource", "iam:PassRole"}
    when_the_launcher_is_made = {"ecs:DescribeTaskDefinition"}
    for_a_task_that_failed = {"logs:GetLogEvents"}
    assert allowed - ecs.operations == (
        checked_by_ecs | when_the_launcher_is_made | for_a_task_that_failed
    )


def test_whoever_ends_runs_may_do_all_that_it_takes(ecs: Ecs) -> None:
    run = ecs.launch()
    ecs.operations.clear()
    assert ecs.launcher.terminate(run.run_id)
    for role in ("WebserverRole", "CodeRole"):
        allowed = {action for grant in grants(role) for action in grant.actions}
        assert ecs.operations - allowed == set()
