"""Dagster's run queue for ``dagster.yaml``, limited by an optional variable."""

from typing import Any

import dagster as dg

from relay_dagster.settings import ConcurrencySettings

_SHORTEST_SECONDS = 0.5


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

    @property
    def dequeue_interval_seconds(self) -> float:  # type: ignore[override]
        """The seconds between two looks at the queue.

        The option is a whole number. The shortest, 1, stands for the shortest pause that
        Dagster's daemon can make.
        """
        seconds = super().dequeue_interval_seconds
        return _SHORTEST_SECONDS if seconds <= 1 else seconds
