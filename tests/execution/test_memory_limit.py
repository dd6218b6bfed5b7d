"""The limit of a run's memory is on top of its code, loaded before or later."""

import subprocess
import sys

PROGRAM = """
import resource
from pathlib import Path
import relay_dagster.execution.session
from relay_core.columnar.threads import tune_process
from relay_core.report.html import load_templates
from relay_core.validation.row_checks import load_contracts
from relay_dagster.execution.memory_limit import CONTRACTS_BYTES, MemoryLimit


def mapped() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[0]
    return int(pages) * resource.getpagesize()


def limit_of_code() -> int:
    limit = MemoryLimit(1 << 20)
    limit.hold()
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    limit.lift()
    return allowed - (1 << 40)


tune_process()
load_templates()
before = mapped()
print(limit_of_code() - before == CONTRACTS_BYTES)
load_contracts()
after = mapped()
print(CONTRACTS_BYTES // 4 < after - before <= CONTRACTS_BYTES)
print(limit_of_code() == after)
"""


def test_the_contracts_are_code_whether_they_are_loaded_or_not() -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True
    )

    assert process.stdout.split() == ["True", "True", "True"], process.stderr
