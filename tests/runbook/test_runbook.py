"""The runbook's page, and its procedures on the real stack."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from alarms import AlarmKind, AlarmPlan, alarm_definitions
from relay_core.domain.codes import FailureCode, WarningCode
from relay_dagster.maintenance.doctor import Invariant
from relay_dagster.orchestration.duties import DUTIES
from runbook.drills import all_drills

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = (ROOT / "docs" / "RUNBOOK.md").read_text("utf-8")
HEADINGS = re.findall(r"^#+ (.+)$", RUNBOOK, flags=re.MULTILINE)
DRILLED = {drill.name for drill in all_drills()}


@pytest.mark.integration
def test_every_procedure_does_what_the_runbook_says() -> None:
    process = subprocess.run(
        [sys.executable, "tests/runbook/rehearsal.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize("code", [code.value for code in FailureCode])
def test_every_failure_has_an_entry_and_a_drill(code: str) -> None:
    assert code in HEADINGS
    assert code in DRILLED


@pytest.mark.parametrize("code", [code.value for code in FailureCode])
def test_every_failure_s_entry_has_symptom_cause_and_fix(code: str) -> None:
    entry = RUNBOOK.partition(f"\n### {code}\n")[2].partition("\n#")[0]
    for word in ("*Symptom*", "*Cause*", "*Fix*"):
        assert entry.count(word) == 1, f"{code} has no {word}"


@pytest.mark.parametrize("code", [code.value for code in WarningCode])
def test_every_warning_is_explained(code: str) -> None:
    assert f"`{code}`" in RUNBOOK


def test_every_drill_follows_a_part_of_the_runbook() -> None:
    assert sorted(name for name in DRILLED if name not in RUNBOOK) == []
    assert all(drill.claim for drill in all_drills())


@pytest.mark.parametrize("kind", list(AlarmKind))
def test_every_alarm_has_an_entry_under_its_own_name(kind: AlarmKind) -> None:
    names = {
        "environment": "<environment>",
        "namespace": "n",
        "queue_name": "q",
        "dlq_name": "d",
    }
    plan = AlarmPlan(**names, kinds=[kind])
    (alarm,) = alarm_definitions(plan)
    assert f"`{alarm['AlarmName']}" in RUNBOOK


def test_every_duty_and_every_invariant_is_named() -> None:
    names = [*(duty.name for duty in DUTIES), *Invariant]
    assert [name for name in names if f"`{name}`" not in RUNBOOK] == []


def test_the_alarms_numbers_are_those_of_the_script() -> None:
    plan = AlarmPlan(
        environment="e", namespace="n", queue_name="q", dlq_name="d"
    )
    for flag, number in (
        ("--backlog-threshold", plan.backlog_threshold),
        ("--backlog-minutes", plan.backlog_minutes),
        ("--worker-error-threshold", plan.worker_error_threshold),
        ("--heartbeat-minutes", plan.heartbeat_minutes),
        ("--refusal-threshold", plan.refusal_threshold),
        ("--denial-threshold", plan.denial_threshold),
        ("--pull-failure-threshold", plan.pull_failure_threshold),
        ("--delivery-failure-threshold", plan.delivery_failure_threshold),
    ):
        assert re.search(rf"`{flag}`\s+\({number}\)", RUNBOOK), flag


def test_links_within_the_page_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-")
        for text in HEADINGS
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK))
    assert links - anchors == set()


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"\b(?:scripts|docs)/\w+\.\w+", RUNBOOK)))
)
def test_files_that_are_named_exist(path: str) -> None:
    assert (ROOT / path).is_file()
