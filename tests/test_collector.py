"""Loading without the garbage collector."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay_dagster.collector import spared

ROOT = Path(__file__).resolve().parents[1]
_LOADED = """
import gc
import relay_dagster.definitions
print(gc.get_freeze_count() > 100_000, gc.isenabled())
"""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_while_code_loads() -> None:
    with spared():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_loaded_is_not_looked_at_any_more() -> None:
    with spared():
        kept = [[]]
    assert not any(each is kept for each in gc.get_objects())


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with spared():
        pass
    assert not gc.isenabled()


def test_loading_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), spared():
        raise ImportError("no such module")
    assert gc.isenabled()


def test_the_definitions_are_loaded_so() -> None:
    loaded = [sys.executable, "-c", _LOADED]
    shown = subprocess.run(loaded, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["True", "True"]
