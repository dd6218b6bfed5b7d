"""The local runner as an installation without the compiled kernel runs it.

The options of ``python -m benchmarks.engine_without_kernel`` are those of the runner.
"""

import runpy
import sys
from pathlib import Path

_LOCAL_RUN = Path(__file__).resolve().parents[1] / "scripts" / "local_run.py"

if __name__ == "__main__":
    # The import of the kernel fails, as it does where it was not compiled.
    sys.modules["relay_core.kernel.scan"] = None  # type: ignore[assignment]  # no module
    runpy.run_path(str(_LOCAL_RUN), run_name="__main__")
