"""The contracts are loaded beside the reading, at the first record in doubt."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.kernel import needs_kernel

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
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, fault], capture_output=True, text=True
    )

    assert process.stdout.split() == [is_loaded], process.stderr


SCAN = """
import sys
import time
from dataclasses import replace
from unittest import mock

sys.path.append(sys.argv[1])
from relay_core.domain.limits import DEFAULT_LIMITS, ReportRoom
from relay_core.normalize import vendor_feed
from relay_core.normalize.vendor import sorted_rows
from relay_core.validation import row_checks
from relay_core.validation.row_schemas import OFFER_SCHEMA
from support.builders import REQUESTED_AT, feed, tenant_config, vendor_document

open_feed = vendor_feed.open_feed


def opened(*arguments):
    parsed = open_feed(*arguments)
    read_records = parsed.csv.read_records

    def noted(records, is_ragged):
        # The first reading has to begin the loading of the contracts, on a thread that
        # nothing else here can wait for.
        deadline = time.monotonic() + 60
        while sizes and has_fault and not row_checks.are_contracts_loaded():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        sizes.append(records.count(b"\\n"))
        return read_records(records, is_ragged)

    return replace(parsed, csv=parsed.csv._replace(read_records=noted))


sizes = []
has_fault = bool(int(sys.argv[3]))
config = tenant_config(vendor_document("a"))
reader = vendor_feed.FeedReader(
    config,
    REQUESTED_AT,
    OFFER_SCHEMA.names,
    DEFAULT_LIMITS,
    DEFAULT_LIMITS.run_bytes,
)
rows = [f"A{row:05},{row},1.25" for row in range(3000)]
for row in (50, 51, 2900):
    rows[row] = sys.argv[2]
data = feed(*rows)
with mock.patch.object(vendor_feed, "open_feed", opened):
    read = reader.read(vendor_feed.VendorFeed.of_one(config.vendors[0], data, "a"))
is_loaded = row_checks.are_contracts_loaded()
vendor = sorted_rows(read, ReportRoom(10, 1 << 20)).vendor
print(sizes, is_loaded, vendor.total_rows, vendor.invalid_rows)
"""


@needs_kernel
@pytest.mark.parametrize(
    ("row", "has_fault", "facts"),
    [
        # The first 20 plain rows are read as doubtful ones, too: they are samples.
        pytest.param("B,many,1", "1", "[22, 23] True 3000 3", id="rejected"),
        pytest.param("B,+7,1", "0", "[22, 23] False 3000 0", id="rare form"),
        pytest.param("B,7,1", "0", "[] False 3000 0", id="plain"),
    ],
)
def test_a_rejected_row_loads_the_contracts_while_the_kernel_reads_on(
    row: str, has_fault: str, facts: str
) -> None:
    tests = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", SCAN, str(tests), row, has_fault],
        capture_output=True,
        text=True,
    )

    assert process.stdout.strip() == facts, process.stderr
