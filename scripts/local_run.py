"""Run one tenant's feeds on this machine, without AWS and Dagster, or check a vendor's file.

A run writes `normalized/`, `outputs/`, `reports/` and `published/` below `--output-dir`.
Its exit status is 0 if there is a feed, 1 if the run failed (its reports say why), 2 for bad
usage or a bad config (nothing is written), and 3 if guards hold the feed.

With `--check` nothing runs and nothing is written: the first rows of the feeds are read.
The exit status is 0 if nothing is wrong. If something is wrong, it is 1, and the errors and
the config patch that fixes them are printed as YAML.
"""

import gc
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# The imports create many objects and no garbage.
gc.disable()
# Looking for plugins of pydantic would search everything that is installed. Only the
# search needs `importlib.metadata`, which loads email, sockets, and archives.
_stand_ins: dict[str, Any] = {
    "pydantic.plugin._loader": SimpleNamespace(get_plugins=tuple),
}
# Arrow would load its clients of cloud storage before the first Parquet file. It works
# without them, as some builds of it do.
for _client in ("azurefs", "gcsfs", "hdfs", "s3fs"):
    _stand_ins[f"pyarrow._{_client}"] = None
sys.modules.update(_stand_ins)
# numpy would start threads for matrices, and no step has one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The script also works in a checkout that is not installed, and from any folder.
_SCRIPT = Path(__file__).resolve()
sys.path[:0] = [str(_SCRIPT.parent), str(_SCRIPT.parent.parent)]

from local.command import main  # noqa: E402  # found by the path above

if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # A regular exit first takes everything apart, for a twentieth of a second.
    os._exit(status)
