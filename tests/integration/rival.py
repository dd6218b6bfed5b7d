"""A process that executes an attempt which is another process's: loaded, told at the last moment.

Standard input has the tags of the Dagster run that it rivals, as one line of JSON. The exit status
is 0 where it has executed the run, and 3 where it was refused.
"""

from __future__ import annotations

import json
import sys

import dagster as dg

from relay_dagster.definitions import defs

REFUSED = 3


def main() -> int:
    """Execute the job in this process under the tags of another run."""
    job = defs.resolve_job_def("inventory_sync")
    instance = dg.DagsterInstance.get()
    print("ready", flush=True)
    tags = json.loads(sys.stdin.readline())
    partition = tags.pop("dagster/partition")
    result = job.execute_in_process(
        instance=instance,
        partition_key=partition,
        tags=tags,
        raise_on_error=False,
    )
    return 0 if result.success else REFUSED


if __name__ == "__main__":
    sys.exit(main())
