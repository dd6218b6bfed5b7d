"""A local run in a process of its own, which starts as fast as it can."""

import gc
import os
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

_CLOUD_CLIENTS = ("azurefs", "gcsfs", "hdfs", "s3fs")


def run_process(arguments: Sequence[str], program: str) -> NoReturn:
    """Run the command line of a local run, and end the process with its exit status."""
    prepare()
    from relay_dagster.local.command import main

    status = main(arguments, program)
    sys.stdout.flush()
    # A regular exit first takes everything apart, for a twentieth of a second.
    os._exit(status)


def prepare() -> None:
    """Leave out imports that a local run does not need; call it before all others."""
    # The imports create many objects and no garbage.
    gc.disable()
    # Looking for plugins of pydantic would search everything that is installed. Only the
    # search needs `importlib.metadata`, which loads email, sockets, and archives.
    stand_ins: dict[str, Any] = {
        "pydantic.plugin._loader": SimpleNamespace(get_plugins=tuple),
    }
    # Arrow would load its clients of cloud storage before the first Parquet file. It
    # works without them, as some builds of it do.
    for client in _CLOUD_CLIENTS:
        stand_ins[f"pyarrow._{client}"] = None
    sys.modules.update(stand_ins)
    # numpy would start threads for matrices, and no step has one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
