"""`relay local` in a checkout that is not installed, and from any folder."""

import sys
from pathlib import Path

# The script's folder is not searched: it has modules of its own.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from relay_dagster.local.process import run_process  # noqa: E402  # found by the path above

if __name__ == "__main__":
    run_process(sys.argv[1:], Path(sys.argv[0]).name)
