"""The contracts are loaded beside the reading, at the first record in doubt."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
from relay_core.columnar.text import empty_texts
from relay_core.ingest.feed import TextBatch
from relay_core.normalize.row_validator import RowValidator
from relay_core.normalize.typed_batch import TypedBatch
from relay_core.validation import row_checks

batch = TypedBatch(
    raw=TextBatch([empty_texts(2)], np.array([1, 2])),
    texts={},
    numbers={},
    faults={"cost": np.array([0, int(sys.argv[1])], np.uint8)},
)
validator = RowValidator(log=None)
validator.add(batch)
validator.rejected()  # which waits for the thread; nothing was checked
print(row_checks.are_contracts_loaded())
"""


@pytest.mark.parametrize(
    ("fault", "is_loaded"), [("0", "False"), ("1", "True")]
)
def test_the_first_doubtful_row_loads_the_contracts_before_any_check(
    fault: str, is_loaded: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, fault], capture_output=True, text=True
    )

    assert done.stdout.split() == [is_loaded], done.stderr
