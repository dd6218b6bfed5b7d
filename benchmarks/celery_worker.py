"""The Celery app of workers that have all code loaded before their first run."""

import os

from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

# Loaded once in the parent; the children that execute runs are forked from it.
import benchmarks.empty_bare
import benchmarks.empty_loaded  # noqa: F401
import relay_dagster.definitions  # noqa: F401
from benchmarks.bench_stack import BROKER_VARIABLE

app = make_app(  # type: ignore[no-untyped-call]
    {"broker": os.environ[BROKER_VARIABLE], "backend": os.environ[BROKER_VARIABLE]},
)
app.conf.worker_prefetch_multiplier = 1
execute_job = create_execute_job_task(app)
resume_job = create_resume_job_task(app)
