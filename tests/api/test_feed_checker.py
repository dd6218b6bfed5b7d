"""The processes that check feeds: how many, for how long, and what becomes of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders import config_document
from integration.waiting import wait_for
from relay_core.config import TenantConfig, load_config
from relay_core.onboarding.head import FeedBytes
from relay_core.onboarding.reading import FeedCheck
from relay_dagster.api.feed_checker import ChecksBusyError, CheckTooSlowError, FeedChecker
from relay_dagster.api.limits import DEFAULT_API_LIMITS

FEED = FeedBytes(b"sku,quantity_available\nA-1,5\n", is_whole=True)
ENDS_WITHIN_SECONDS = 10


def config() -> TenantConfig:
    return load_config(config_document())


@pytest.fixture
def checker() -> Iterator[FeedChecker]:
    checker = FeedChecker()
    yield checker
    checker.close()


def is_read(checker: FeedChecker) -> bool:
    found = checker.check(config(), {"vendor_1": FEED})["vendor_1"]
    return isinstance(found, FeedCheck)


def children() -> set[int]:
    """Return the processes that this one has started and that have not ended."""
    return {child.pid or 0 for child in multiprocessing.active_children()}


def test_a_check_that_takes_too_much_of_the_processor_is_ended_and_the_next_one_is_made() -> None:
    before = children()
    slow = FeedChecker(replace(DEFAULT_API_LIMITS, check_cpu_seconds=0.001))
    many = FeedBytes(b"sku,quantity_available\n" + b"A-1,5\n" * 5000, is_whole=True)
    for _ in range(2):
        with pytest.raises(CheckTooSlowError):
            slow.check(config(), {"vendor_1": many})
    assert children() <= before


def test_each_check_has_its_own_time() -> None:
    # One feed takes some milliseconds; the loading of the engine, seconds, is nobody's check.
    checker = FeedChecker(replace(DEFAULT_API_LIMITS, check_cpu_seconds=1))
    try:
        started = time.monotonic()
        while time.monotonic() < started + 3:
            assert is_read(checker)
    finally:
        checker.close()


def test_a_process_that_was_killed_is_replaced(checker: FeedChecker) -> None:
    before = children()
    assert is_read(checker)
    (process,) = children() - before
    os.kill(process, signal.SIGKILL)
    assert is_read(checker)


def test_there_are_two_at_once_and_a_third_one_is_told(checker: FeedChecker) -> None:
    with checker.turn():
        with checker.turn(), pytest.raises(ChecksBusyError), checker.turn():
            pytest.fail("a third one had its turn")
        with checker.turn():
            pass


def test_a_turn_ends_however_the_check_does(checker: FeedChecker) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), checker.turn():
            raise ZeroDivisionError


def test_the_process_ends_when_the_one_that_started_it_is_killed() -> None:
    script = (
        "import sys; sys.path[:0] = ['tests']\n"
        "import os, signal\n"
        "from api.test_feed_checker import children, is_read, FeedChecker\n"
        "if __name__ == '__main__':\n"
        "    assert is_read(FeedChecker())\n"
        "    print(*children(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    process = int(done.stdout)
    wait_for("the process ended", lambda: not is_alive(process), within=ENDS_WITHIN_SECONDS)
    assert not is_alive(process)


def is_alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text("ascii")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
