"""Run one tenant's feeds on this machine: no AWS, no Dagster; what to check a vendor's file with.

Writes ``normalized/``, ``outputs/``, ``reports/`` and ``published/`` under ``--output-dir``. Exit
status 0: a feed came out; 1: a failed run, whose reports say why; 2: bad usage or config, and
nothing is written; 3: guards hold the feed back. With ``--check`` nothing runs and nothing is
written: the feeds' heads are looked at. Exit status 0: nothing is wrong; 1: what is, and the config
patch that mends it, are printed as YAML.
"""

import gc
import os
import sys
from pathlib import Path

gc.disable()  # until all is loaded: many objects, and no garbage
# To look for plugins of pydantic, all that is installed is gone through.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# Also works from a checkout that is not installed, and from any folder.
sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (0, 1)]

from local.command import main  # noqa: E402  # found by the path above

if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(
        status
    )  # a twentieth of a second to take all apart first; the system does it at once
