"""Dagster's run queue for ``dagster.yaml``, limited by a variable that may be unset."""

from typing import Any

import dagster as dg

from relay_dagster.settings import ConcurrencySettings


class RunQueue(dg.QueuedRunCoordinator):
    """Dagster's own run queue, limited by ``WORKER_MAX_CONCURRENCY`` unless its config has a limit.

    `SettingsError`: the variable is bad.
    """

    def __init__(self, max_concurrent_runs: int | None = None, **config: Any) -> None:
        if max_concurrent_runs is None:
            max_concurrent_runs = ConcurrencySettings.from_env().max_concurrency
        super().__init__(max_concurrent_runs, **config)
