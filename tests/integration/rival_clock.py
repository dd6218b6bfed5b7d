"""A process that looks at schedules as `schedule_sensor` does, without a pause, until it is killed.

It stands for another daemon's: two Dagster instances over one store.
"""

from __future__ import annotations

import sys

from relay_dagster.orchestration.build import platform_for_ticks
from relay_dagster.triggers.due import take_due


def main() -> int:
    """Look for ever; each run that is started is a line."""
    platform = platform_for_ticks()
    print("ready", flush=True)
    while True:
        for _ in range(take_due(platform)):
            print("started", flush=True)


if __name__ == "__main__":
    sys.exit(main())
