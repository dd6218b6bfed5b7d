"""The ``defs`` object that Dagster loads; ``orchestration/build.py`` builds it."""

from relay_dagster.loading import loaded_for_good

with loaded_for_good():
    from relay_dagster.orchestration.build import build_defs

    defs = build_defs()
