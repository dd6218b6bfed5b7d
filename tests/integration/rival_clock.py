"""A process that looks at schedules as `schedule_sensor` does, far more often, until it is killed.

It stands for another daemon's: two Dagster instances over one store.
"""

from __future__ import annotations

import sys
import time

from relay_dagster.intake.trigger_check import take_due
from relay_dagster.orchestration.build import platform_for_ticks

POLL_SECONDS = 0.2


def main() -> int:
    """Look for ever; each run that is started is a line."""
    platform = platform_for_ticks()
    print("ready", flush=True)
    while True:
        for _ in range(take_due(platform)):
            print("started", flush=True)
        # This is the pace of a daemon; whoever started this process ends it.
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
