"""The small commands that docs/PERFORMANCE.md names run to their end and print what it quotes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sitting import ROOT

pytestmark = pytest.mark.integration


def printed_by(module: str, *options: str, path: Path = ROOT) -> str:
    command = [sys.executable, "-m", f"benchmarks.{module}", *options]
    environment = {**os.environ, "PYTHONPATH": str(path)}
    process = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return process.stdout


def test_a_run_in_its_process_is_told_in_parts_that_make_the_whole() -> None:
    printed = printed_by("run_steps", "--runs", "1")

    numbers = [
        int(figure)
        for figure in re.findall(r" {2,}(\d+)$", printed, re.MULTILINE)
    ]
    whole, clients, calls, count, remainder = numbers
    assert abs(whole - clients - calls - remainder) <= 2  # each is rounded
    assert count > 0


def test_whole_processes_are_measured_ours_peers_and_a_run_in_dagster(
    tmp_path: Path,
) -> None:
    printed = printed_by(
        "process_bench", "--sizes=1", "--rounds=1", f"--folder={tmp_path}"
    )

    assert re.findall(
        r"^\| (\w[\w, ]*\w) +\| +\d+\.\d\d \| +\d", printed, re.MULTILINE
    ) == [
        *("engine", "engine, no kernel", "Polars", "DuckDB", "floor"),
        "engine, a run in Dagster",
    ]
    assert "whole process, one row" in printed
    assert "a run in Dagster: CPU to its first step" in printed


def test_the_figure_of_continuous_integration_is_a_ratio() -> None:
    printed = printed_by("constant_work", "--rows=300", "--rounds=1")

    assert re.fullmatch(
        r"300 rows, whole process: \d+\.\d\d s CPU, \d+\.\d\d x the constant work of \d+\.\d\d s\n",
        printed,
    )


def test_runs_with_a_baseline_are_measured_beside_those_without(
    tmp_path: Path,
) -> None:
    printed = printed_by(
        "changes_bench", "--rows=3000", "--rounds=1", f"--folder={tmp_path}"
    )

    assert re.findall(r"^\| (\w+ \w+(?: \w+)?) +\|", printed, re.MULTILINE) == [
        "no baseline",
        "another feed",
        "the same feed",
    ]
    assert printed.count("time without a baseline: ") == 2


def test_webhooks_are_measured_until_the_last_that_can_arrive() -> None:
    printed = printed_by("webhooks_bench", "--share=50")

    assert re.findall(
        r"^\| (\S+ tenants, \d+)[^|]+\| +(\d+) \|", printed, re.MULTILINE
    ) == [
        ("100 tenants, 10", "18"),
        ("1,000 tenants, 1", "18"),
    ]


def test_pulls_are_measured_until_the_last_vendor_was_looked_at() -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.pulls_bench",
        "--vendors=20",
        "--megabytes=20",
    ]
    printed = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True
    ).stdout

    assert re.findall(
        r"^\| ([^|]+?) +\| +\S+ (\S+) ", printed, re.MULTILINE
    ) == [
        ("20 vendors looked at", "s"),
        ("longest tick", "s"),
        ("memory for 20 MB", "MiB"),
        ("memory beside floods (T1)", "MiB"),
        ("CPU of all floods (T6)", "s"),
        ("garbage that is no failure (T7)", "pulls"),
        ("wait beside drips / 60 (T5)", "s"),
    ]
    assert "2 tenants' pulls noted in " in printed


def test_an_idle_stack_is_measured_a_process_at_a_time() -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.idle_bench",
        "--settle=0",
        "--seconds=1",
    ]
    printed = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True
    ).stdout

    assert re.findall(
        r"^\| (\w[\w ]+\w) +\| +\d+\.\d %", printed, re.MULTILINE
    ) == [
        "webserver",
        "daemon",
        "code",
        "moto",
        "without moto",
    ]
    assert "goal: at most 6 % of a core: " in printed


def test_the_code_is_counted_and_a_run_is_followed_through_it() -> None:
    printed = printed_by("figures", "--rounds=0")

    values = dict(
        re.findall(r"^\| ([^|]+) \| ([^|]+) \|", printed, re.MULTILINE)
    )
    assert list(values) == [
        "figure",
        "---",
        "product, lines without samples",
        "private functions with one caller",
        "class names used again in a package",
        "workbooks, JSON Lines, compression, lines",
        "sensors",
        "import graph of relay_core",
        "import graph of relay_dagster",
        "files crossed by a run, POST to acknowledged",
        "functions crossed",
    ]
    assert (
        int(values["functions crossed"]) > int(list(values.values())[-2]) > 50
    )
