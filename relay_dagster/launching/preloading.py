"""Loads what runs need, before there is a run."""

from importlib import import_module

from relay_dagster.loading import loaded_for_good
from relay_dagster.orchestration.dagster_internals import MODULES_OF_RUNS

_LATE_MODULES = (
    "boto3.s3.inject",
    *MODULES_OF_RUNS,
    "encodings.ascii",
    "multiprocessing.synchronize",
    "pyarrow.dataset",
    "relay_core.ingest.feed_task",
    "relay_core.normalize.file_kinds",
    "relay_core.onboarding.patches",
    "relay_dagster.orchestration.sqlite_storage",
    "relay_dagster.run_coordinator",
)
"""Modules that Dagster, boto3, Arrow, and the engine load on their way through a run."""
_SERVICES = ("cloudwatch", "dynamodb", "s3", "sqs")


def load_for_runs() -> None:
    """Load all modules of a run's process, and what never differs between runs.

    No thread, client, or connection is made, so the process can be forked afterward.
    """
    with loaded_for_good():
        for name in _LATE_MODULES:
            import_module(name)
        from relay_core.report.html import load_templates
        from relay_core.validation.row_checks import load_contracts
        from relay_dagster.aws.clients import load_models
        from relay_dagster.definitions import defs
        from relay_dagster.orchestration.jobs import INVENTORY_SYNC

        defs.get_repository_def().get_job(INVENTORY_SYNC)
        load_contracts()
        load_templates()
        load_models(_SERVICES)
