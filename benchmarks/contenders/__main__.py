"""One contender, and nothing measured: ``python -m benchmarks.contenders NAME FOLDER OUT``."""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    name, folder, out = sys.argv[1:]
    importlib.import_module(f"benchmarks.contenders.{name}").run(
        Path(folder), Path(out)
    )
