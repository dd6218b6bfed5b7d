"""The bill of materials is the image's lock; advisories that cannot be had are no clean bill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from audit import ROOT, verdict, write_sbom

CLEAN: dict[str, Any] = {"name": "numpy", "version": "2.4.0", "vulns": []}
KNOWN: dict[str, Any] = {
    **CLEAN,
    "vulns": [
        {"id": "GHSA-1", "fix_versions": ["2.4.1", "2.5.0"]},
        {"id": "GHSA-2", "fix_versions": []},
    ],
}
SKIPPED: dict[str, Any] = {"name": "h11", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([CLEAN], 0, "No known vulnerabilities in the 1 packages"),
        ([KNOWN, CLEAN], 1, "numpy 2.4.0: GHSA-1, fixed in 2.4.1, 2.5.0"),
        ([KNOWN, SKIPPED], 1, "numpy 2.4.0: GHSA-2, fixed in no version yet"),
        ([CLEAN, SKIPPED], 2, "Not audited: there are no advisories for h11"),
        ([SKIPPED] * 12, 2, " and 2 more"),
        (None, 2, "Not audited: the advisories cannot be reached"),
    ],
)
def test_the_verdict(
    packages: list[dict[str, Any]] | None, status: int, said: str
) -> None:
    verdict_status, lines = verdict(packages)
    assert verdict_status == status
    assert said in "\n".join(lines)


@pytest.mark.parametrize(("status", "passes"), [(0, 1), (1, 0), (2, 1)])
def test_integration_fails_for_a_known_vulnerability_alone(
    tmp_path: Path, status: int, passes: int
) -> None:
    (step,) = (
        line
        for line in (ROOT / ".ci/run").read_text().splitlines()
        if "audit.py" in line
    )
    program = tmp_path / ".venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\nexit {status}\n")
    program.chmod(0o755)
    script = f"set -euo pipefail\n{step}\n"
    process = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, check=False, capture_output=True
    )
    assert (process.returncode == 0) is bool(passes)


def test_the_bill_has_each_package_that_the_image_installs(
    tmp_path: Path,
) -> None:
    write_sbom(tmp_path / "sbom.json")
    bill = json.loads((tmp_path / "sbom.json").read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == (
        "CycloneDX",
        "relay-inventory",
    )
    lock = (ROOT / "deploy/image.lock").read_text().splitlines()
    pinned = {
        line.split(" ")[0]
        for line in lock
        if "==" in line and not line.startswith("#")
    }
    assert {
        f"{component['name']}=={component['version']}"
        for component in bill["components"]
    } == pinned
    assert all(
        "hashes" in component["externalReferences"][0]
        for component in bill["components"]
    )


def test_without_a_network_it_says_so_and_the_bill_is_there(
    tmp_path: Path,
) -> None:
    nowhere = {
        f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")
    }
    process = subprocess.run(
        [
            sys.executable,
            str(ROOT / "scripts/audit.py"),
            str(tmp_path / "sbom.json"),
        ],
        env={
            **os.environ,
            **nowhere,
            **{name.upper(): url for name, url in nowhere.items()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].startswith(
        "Not audited: the advisories cannot be reached"
    )
    assert (tmp_path / "sbom.json").is_file()
