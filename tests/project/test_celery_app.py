"""What a Celery worker is told; that it executes runs is shown by `make cluster`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from dagster_celery.config import TASK_EXECUTE_JOB_NAME, TASK_RESUME_JOB_NAME

from relay_dagster.celery_app import NEEDED, make_worker_app
from support.deployment import DEPLOY

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_RESULT_BACKEND": "redis://127.0.0.1:1/0",
    "DAGSTER_HOME": str(ROOT),
    "ARTIFACT_BUCKET": "b",
    "RUNS_TABLE": "r",
    "TENANTS_TABLE": "t",
    "SQS_QUEUE_URL": "http://q",
    "SQS_DLQ_URL": "http://d",
}


def started(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Let the handler run as the start of a worker runs it."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from relay_dagster import celery_app as c; c.refuse_bad_settings()",
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_worker_knows_the_tasks_that_the_launcher_sends() -> None:
    assert {
        TASK_EXECUTE_JOB_NAME,
        TASK_RESUME_JOB_NAME,
    } <= make_worker_app().tasks.keys()


def test_a_worker_serves_the_launcher_s_default_queue() -> None:
    assert [queue.name for queue in make_worker_app().conf.task_queues] == [
        "dagster"
    ]


def test_broker_and_results_are_those_of_celery_s_own_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launcher = yaml.safe_load((DEPLOY / "dagster.celery.yaml").read_text())[
        "run_launcher"
    ]
    named = {key: value["env"] for key, value in launcher["config"].items()}
    assert named == {
        "broker": "CELERY_BROKER_URL",
        "backend": "CELERY_RESULT_BACKEND",
    }
    for name in named.values():
        monkeypatch.setenv(name, f"redis://{name.lower()}/0")
    conf = make_worker_app().conf
    assert conf.broker_url == "redis://celery_broker_url/0"
    assert conf.result_backend == "redis://celery_result_backend/0"


def test_a_worker_holds_nothing_that_it_does_not_execute() -> None:
    conf = make_worker_app().conf
    assert conf.worker_disable_prefetch is True
    assert conf.task_acks_late is False


def test_a_worker_with_all_it_needs_starts() -> None:
    process = started(WHOLE)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("name", [*NEEDED, "RUNS_TABLE"])
def test_a_missing_variable_is_one_line_and_exit_status_2(name: str) -> None:
    process = started(
        {key: value for key, value in WHOLE.items() if key != name}
    )
    assert process.returncode == 2
    assert process.stderr.startswith(f"celery worker: {name} is not set")
    assert process.stderr.count("\n") == 1
