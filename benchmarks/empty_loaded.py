"""The empty job with everything imported that a run of ours imports, and in the same way."""

from relay_dagster.collector import spared

with spared():
    import relay_dagster.orchestration.build  # noqa: F401
    from benchmarks.empty_job import empty_defs

    defs = empty_defs("loaded")
