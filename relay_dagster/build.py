"""Assembles the Definitions; the only module that sees every part. ``definitions.py`` calls it."""

import dagster as dg

from relay_dagster.jobs import inventory_sync


def build_defs() -> dg.Definitions:
    """Return fresh Definitions."""
    return dg.Definitions(
        jobs=[inventory_sync],
        executor=dg.in_process_executor,
    )
