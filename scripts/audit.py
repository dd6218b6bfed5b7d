"""Write the image's bill of materials, and ask for known vulnerabilities: `make audit`.

    python scripts/audit.py [SBOM]

The bill of materials (CycloneDX, JSON) lists deploy/image.lock and needs no network. The
advisories are requested for all of requirements.lock. The exit status is 0 if no
vulnerability is known, 1 if one is, and 2 if the advisories are not all available.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "out" / "sbom.cdx.json"
_MAX_LISTED = 10


def write_sbom(path: Path) -> None:
    """Write the bill of materials of the image; the same lock gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    result = _run_tool(
        "cyclonedx_py",
        "requirements",
        str(ROOT / "deploy" / "image.lock"),
        "--pyproject",
        str(ROOT / "pyproject.toml"),
        "--short-PURLs",
        "--output-reproducible",
        "--of",
        "JSON",
        "-o",
        str(path),
    )
    result.check_returncode()


def advisories() -> list[dict[str, Any]] | None:
    """Return each locked package with its advisories, or None if there is no response."""
    result = _run_tool(
        "pip_audit",
        "--requirement",
        str(ROOT / "requirements.lock"),
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner",
        "off",
        "--format",
        "json",
    )
    if not result.stdout.startswith("{"):
        last_line = result.stderr.strip().rpartition("\n")[2]
        print(last_line, file=sys.stderr)
        return None
    packages: list[dict[str, Any]] = json.loads(result.stdout)["dependencies"]
    return packages


def verdict(
    packages: Sequence[Mapping[str, Any]] | None,
) -> tuple[int, list[str]]:
    """Return the exit status, and the lines to print."""
    if packages is None:
        return 2, [
            "Not audited: the advisories cannot be reached. Run the audit with access to them.",
        ]
    lines = []
    for package in packages:
        for advisory in package.get("vulns", ()):
            fix_versions = (
                ", ".join(advisory["fix_versions"]) or "no version yet"
            )
            lines.append(
                f"{package['name']} {package['version']}: {advisory['id']}, "
                f"fixed in {fix_versions}",
            )
    if lines:
        lines.append(
            f"Advisories: {len(lines)}. Raise the versions, and run `make lock`.",
        )
        return 1, lines
    skipped = [
        package["name"] for package in packages if "skip_reason" in package
    ]
    if skipped:
        names = ", ".join(skipped[:_MAX_LISTED])
        if len(skipped) > _MAX_LISTED:
            names += f" and {len(skipped) - _MAX_LISTED} more"
        return 2, [f"Not audited: there are no advisories for {names}."]
    return 0, [
        f"No known vulnerabilities in the {len(packages)} packages of requirements.lock.",
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the bill of materials, print the advisories, and return the exit status."""
    sbom = Path(arguments[0]) if arguments else SBOM
    write_sbom(sbom)
    print(f"Bill of materials of the image: {sbom}")
    status, lines = verdict(advisories())
    print("\n".join(lines), file=sys.stderr if status else sys.stdout)
    return status


def _run_tool(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
