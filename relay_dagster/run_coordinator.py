"""Dagster's run queue for ``dagster.yaml``, limited by an optional variable."""

from typing import Any

import dagster as dg

from relay_dagster.settings import ConcurrencySettings


class RunQueue(dg.QueuedRunCoordinator):
    """Dagster's run queue; ``WORKER_MAX_CONCURRENCY`` limits it unless its config does.

    Raises:
        SettingsError: the variable has a bad value.
    """

    def __init__(
        self,
        max_concurrent_runs: int | None = None,
        **config: Any,
    ) -> None:
        if max_concurrent_runs is None:
            max_concurrent_runs = ConcurrencySettings.from_env().max_concurrency
        super().__init__(max_concurrent_runs, **config)
