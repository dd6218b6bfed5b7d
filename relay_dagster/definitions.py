"""What Dagster loads: the one ``defs`` object, put together in ``orchestration/build.py``.

A run's process loads a million objects, and the garbage collector would look at all of them again
and again while they come, and once more in each of its full rounds. So it does not run while they
are loaded, and passes over them for ever after.
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
