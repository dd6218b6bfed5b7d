"""An installation without a compiler works, and says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from relay_core.kernel import compiled
from support.builders import feed
from support.reported_runs import go_through

SAYS = "Compiled kernel"


def foot() -> str:
    reported = go_through({"north": feed("A,1,2.00")})
    page = reported.html
    return page.decode().split("<footer>")[1]


def test_the_foot_of_the_report_says_that_the_kernel_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The feed is read without the kernel, which this installation may lack.
    monkeypatch.setattr(compiled, "is_enabled", False)
    monkeypatch.setattr(compiled, "is_installed", True)
    assert SAYS not in foot()
    monkeypatch.setattr(compiled, "is_installed", False)
    assert "Not installed, so files are read more slowly" in foot()


def test_the_kernel_is_used_if_it_is_installed_and_not_turned_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "is_installed", True)
    monkeypatch.setattr(compiled, "is_enabled", True)
    assert compiled.is_used()
    monkeypatch.setattr(compiled, "is_enabled", False)
    assert not compiled.is_used()


def test_the_engine_loads_without_the_compiled_module() -> None:
    code = (
        "import sys; sys.modules['relay_core.kernel.scan'] = None\n"
        "import relay_core.run_stages; from relay_core.kernel import compiled\n"
        "print(compiled.is_installed, compiled.is_used())"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == ["False", "False"]


def test_a_kernel_of_another_version_is_not_used() -> None:
    code = (
        "import sys, types; kernel = types.ModuleType('relay_core.kernel.scan')\n"
        "kernel.VERSION = 0; sys.modules['relay_core.kernel.scan'] = kernel\n"
        "import relay_core.kernel; relay_core.kernel.scan = kernel\n"
        "from relay_core.kernel import compiled; print(compiled.is_installed)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "False"
