"""The Celery app of workers that execute runs.

Start a worker with ``celery -A relay_dagster.celery_app worker``.

Only workers import it; the daemon uses Dagster's own launcher
(`deploy/dagster.celery.yaml`). Celery itself reads ``CELERY_BROKER_URL`` and
``CELERY_RESULT_BACKEND``.
"""

import os
import sys
from typing import Any

from celery.signals import celeryd_init
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from relay_dagster.launching.preloading import load_for_runs
from relay_dagster.settings import Settings, SettingsError

NEEDED = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "DAGSTER_HOME")
SETTINGS = {
    # A worker takes only the run that it executes: runs that wait in it would die with
    # it.
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    # The broker starts a run only once; the record decides about the next attempt.
    "task_acks_late": False,
    # The worker's name is stored beside each result, also while the run executes.
    "result_extended": True,
    # The program's log lines are JSON and stay as they are.
    "worker_redirect_stdouts": False,
    "broker_connection_retry_on_startup": True,
}


def make_worker_app() -> Any:
    """Return a Celery app that executes the runs that Dagster's launcher sends."""
    # Without a dictionary, Dagster's defaults would name another broker.
    worker_app = make_app({})
    worker_app.conf.update(SETTINGS)
    # By default, Celery adds a task to every app of the process, even to one that has
    # it.
    options: Any = {"shared": False}
    create_execute_job_task(worker_app, **options)
    create_resume_job_task(worker_app, **options)
    return worker_app


@celeryd_init.connect
def refuse_bad_settings(**_: object) -> None:
    """End a worker that starts with a missing or bad variable, with exit status 2."""
    try:
        for name in NEEDED:
            if not os.environ.get(name, "").strip():
                raise SettingsError(name, "is not set")
        Settings.from_env()
    except SettingsError as error:
        print(f"celery worker: {error}", file=sys.stderr)
        sys.exit(2)


# Loaded once in the parent process: the children that execute runs are forked from it.
load_for_runs()
app = make_worker_app()
