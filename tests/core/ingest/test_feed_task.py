"""A process that reads for another: what comes back, and what its end means."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reference_runs import run_document
from relay_core.config import ParserConfig
from relay_core.domain.errors import ContractBrokenError, FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.feed_task import MODULES, read_apart
from relay_core.sandbox import Sandbox
from support.builders import config_document, feed, vendor_document
from support.workbooks import text_row, workbook

PARSER = ParserConfig.model_validate({"format": "xlsx"})
ROWS = [
    text_row(1, "sku", "qty"),
    *(text_row(n, f"A-{n}", "x" * 400) for n in range(2, 60_000)),
]
LARGE = workbook("".join(ROWS))


def children() -> set[str]:
    return set(
        Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        .read_text("ascii")
        .split()
    )


def test_a_reading_process_ends_when_its_reader_wants_no_more() -> None:
    before = children()
    parsed = read_apart(memoryview(LARGE), PARSER, DEFAULT_LIMITS)
    assert len(next(parsed.batches).row_numbers)
    assert len(children() - before) == 1
    del parsed
    gc.collect()
    assert children() == before


def test_a_program_that_runs_many_threads_can_read_apart() -> None:
    program = (
        "import sys, threading; from concurrent.futures import ThreadPoolExecutor as T\n"
        "from relay_core.config import ParserConfig\n"
        "from relay_core.domain.limits import DEFAULT_LIMITS\n"
        "from relay_core.ingest.feed_task import read_apart\n"
        "data = sys.stdin.buffer.read()\n"
        "parser = ParserConfig.model_validate({'format': 'xlsx'})\n"
        "def rows(_): return sum(len(b.row_numbers)"
        " for b in read_apart(data, parser, DEFAULT_LIMITS).batches)\n"
        "print(*T(3).map(rows, range(3)))"
    )
    small = workbook(text_row(1, "sku") + text_row(2, "A"))
    process = subprocess.run(
        [sys.executable, "-c", program],
        input=small,
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert process.stdout.split() == [b"1", b"1", b"1"]


@pytest.mark.parametrize(
    ("program", "error", "message"),
    [
        ("import os; os.abort()", FeedUnreadableError, "ended by signal 6"),
        (
            "import os; os.kill(os.getpid(), 9)",
            FeedUnreadableError,
            "ended by signal 9",
        ),
        ("raise SystemExit(3)", ContractBrokenError, "ended with status 3"),
    ],
)
def test_the_end_of_a_process_is_the_feeds_fault_or_a_defect(
    program: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        read_apart(
            LARGE, PARSER, DEFAULT_LIMITS, Sandbox.start(program=program)
        )
    if isinstance(caught.value, FeedUnreadableError):
        assert caught.value.error_code == "feed_too_large"


@pytest.mark.parametrize("limit", [40 << 20, 90 << 20])
def test_a_process_that_is_refused_memory_tells_of_it(limit: int) -> None:
    sandbox = Sandbox.start(MODULES, memory_bytes=limit)
    with pytest.raises(FeedUnreadableError) as caught:
        list(read_apart(LARGE, PARSER, DEFAULT_LIMITS, sandbox).batches)
    assert caught.value.error_code == "feed_too_large"


def test_a_vendor_whose_workbook_is_unreadable_harms_no_other() -> None:
    corners = text_row(1, "sku", "quantity_available", "cost")
    bomb = workbook(corners + text_row(2, "x" * (20 << 20)))
    vendors = [
        vendor_document(
            "bad", parser={"format": "xlsx"}, on_trouble="leave_out"
        ),
        vendor_document("good"),
    ]
    limits = Limits(feed_bytes=8 << 20)
    run = run_document(
        config_document(*vendors),
        {"bad": bomb, "good": feed("A,1,2")},
        limits=limits,
    )
    assert [row["vendor_id"] for row in run.merged] == ["good"]
    assert [entry.error_code for entry in run.warnings] == ["VENDOR_LEFT_OUT"]
    assert "feed_too_large" in run.warnings[0].error_message
