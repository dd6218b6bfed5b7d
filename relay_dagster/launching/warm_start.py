"""Loads a warm process, which must have one thread: a fork copies no other."""

import os
from pathlib import Path

from relay_dagster.launching.preloading import load_for_runs

# These two libraries would start a thread when they are loaded. Runs use neither numpy's
# linear algebra nor Arrow's own allocator.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"

load_for_runs()
if len([*Path("/proc/self/task").iterdir()]) > 1:
    raise RuntimeError("a library started a thread, so no run can be forked")
