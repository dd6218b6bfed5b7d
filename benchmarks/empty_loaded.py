"""The empty job with everything imported that a run of ours imports, and in the same way."""

import relay_dagster.definitions  # noqa: F401
from benchmarks.empty_job import empty_defs

defs = empty_defs("loaded")
