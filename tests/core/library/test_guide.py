"""docs/PYTHON.md: its examples run, and it names what there is."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import relay_core
from support.pages import PAGES, ROOT
from support.python_guide import blocks, run_examples

PAGE = PAGES["docs/PYTHON.md"]
USER_SCRIPT = """
from datetime import UTC, datetime

import relay_core


def feed_of(path: str) -> list[str]:
    config = relay_core.load_config(path)
    result: relay_core.Result = relay_core.run(
        config,
        {"vendor_1": b"sku", "vendor_1/stock": ["stock.csv"]},
        now=datetime.now(UTC),
        baseline="state.parquet",
        overrides=[{"sku": "A", "price": "9.99"}],
    )
    if result.status == "failed":
        raise ValueError(result.error_message)
    check: relay_core.Check = relay_core.check(config)
    text: str = relay_core.propose([path])
    result.write("out")
    return [check.verdict, text, *result.explain("A")]


def faults_of(error: relay_core.ConfigError) -> list[relay_core.Fault]:
    return error.faults
"""


def test_every_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    runs = list(run_examples(tmp_path, sys.executable))
    assert len(runs) == len(blocks("python")) == 5
    assert [run.stderr or run.stdout for run in runs if run.returncode] == []
    assert (tmp_path / "out" / "outputs" / "merged_inventory.csv").exists()


def test_the_page_has_every_name_attribute_and_argument() -> None:
    for name in relay_core.__all__:
        assert f"`{name}" in PAGE, name
    for owner in (relay_core.Result, relay_core.Check):
        names = [*vars(owner), *getattr(owner, "__annotations__", ())]
        public = [name for name in names if not name.startswith("_")]
        section = PAGE.partition(f"### `{owner.__name__}`")[2].partition(
            "\n### "
        )[0]
        for name in public:
            assert re.search(rf"`{name}[`(]", section), name
    for function in (relay_core.run, relay_core.check):
        for name in inspect.signature(function).parameters:
            assert f"| `{name}` |" in PAGE, name


def test_a_script_of_a_user_is_strictly_typed(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER_SCRIPT, "utf-8")
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--cache-dir",
            "mypy",
            "user.py",
        ],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, ""), process.stdout
