"""The ``defs`` object that Dagster loads; ``orchestration/build.py`` builds it.

A run's process loads a million objects, and the garbage collector would scan them again and again,
during the load and in every full collection. So it is off during the load, and ignores them later.
"""

import gc

_was_on = gc.isenabled()
gc.disable()
try:
    from relay_dagster.orchestration.build import build_defs

    defs = build_defs()
finally:
    gc.freeze()
    if _was_on:
        gc.enable()
