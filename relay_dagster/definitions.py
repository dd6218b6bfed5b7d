"""What Dagster loads: the one ``defs`` object. Its parts come together in ``build.py``."""

from relay_dagster.collector import spared

with spared():
    from relay_dagster.orchestration.build import build_defs

    defs = build_defs()
