"""Threads of a run find every module of numpy loaded that their functions need."""

import subprocess
import sys
from pathlib import Path

RUN = """
import sys
import threading
import numpy

late = set()
load_late = numpy.__getattr__


def noted(name):
    # numpy calls this for a module that is not loaded yet.
    if threading.current_thread() is not threading.main_thread():
        late.add(name)
    return load_late(name)


numpy.__getattr__ = noted
sys.path.append(sys.argv[1])
from relay_core.columnar.threads import tune_process
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.keys import ArtifactKeys
from relay_core.run_stages import RunStages
from relay_core.validation.vendor_failures import InputVerdict
from support.builders import REQUESTED_AT, feed, tenant_config, vendor_document
from support.memory_sink import MemorySink

tune_process()
config = tenant_config(vendor_document("a"), vendor_document("b"))
data = feed("A,5,10.00", "B,1,9.00")
feeds = [VendorFeed.of_one(vendor, data, "f.csv") for vendor in config.vendors]
keys = ArtifactKeys("", "")
stages = RunStages(config, config.vendors, REQUESTED_AT, keys, MemorySink())
stages.normalize(InputVerdict(), feeds)
print(sorted(late))
"""


def test_no_thread_of_a_run_is_the_first_to_need_a_module_of_numpy() -> None:
    """Two threads that load one at the same moment end in a `RecursionError`.

    Python marks a module as loaded before its package has it as an attribute. In
    between, `numpy.__getattr__` calls itself for it.
    """
    tests = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(tests)], capture_output=True, text=True
    )

    assert run.stdout.strip() == "[]", run.stdout + run.stderr
