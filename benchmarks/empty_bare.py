"""The empty job with Dagster's imports alone."""

from benchmarks.empty_job import empty_defs

defs = empty_defs("bare")
