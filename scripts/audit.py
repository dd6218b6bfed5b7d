"""Say what the image is made of, and what is known against what is locked, by `make audit`.

    python scripts/audit.py [SBOM]

The bill of materials (CycloneDX, JSON) is of deploy/image.lock and needs no network; the advisories
are asked for all of requirements.lock. Exit status 0 where nothing is known, 1 where something is,
2 where the advisories could not be asked for, whole or in part.
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
_SHOWN = 10


def write_sbom(path: Path) -> None:
    """Write what the image installs, the same bytes for the same lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, project = ROOT / "deploy" / "image.lock", ROOT / "pyproject.toml"
    options = ["--short-PURLs", "--output-reproducible", "--of", "JSON"]
    command = [
        "requirements",
        str(lock),
        "--pyproject",
        str(project),
        *options,
        "-o",
        str(path),
    ]
    _tool("cyclonedx_py", *command).check_returncode()


def advisories() -> list[dict[str, Any]] | None:
    """Return each locked package with what is known against it, None where nobody answers."""
    done = _tool(
        *("pip_audit", "--requirement", str(ROOT / "requirements.lock")),
        *(
            "--require-hashes",
            "--disable-pip",
            "--progress-spinner",
            "off",
            "--format",
            "json",
        ),
    )
    if not done.stdout.startswith("{"):
        print(done.stderr.strip().rpartition("\n")[2], file=sys.stderr)
        return None
    packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    return packages


def verdict(packages: Sequence[Mapping[str, Any]] | None) -> tuple[int, list[str]]:
    """Return the exit status, and what to say."""
    if packages is None:
        return 2, [
            "not audited: the advisories cannot be reached; run it where they can"
        ]
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, "
        f"mended in {', '.join(found['fix_versions']) or 'no version yet'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    if lines:
        return 1, [
            *lines,
            f"{len(lines)} advisories: raise the versions, then `make lock`",
        ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        named = f"{', '.join(unknown[:_SHOWN])}{more}"
        return 2, [f"not audited: the advisories have no answer for {named}"]
    return 0, [
        f"nothing is known against the {len(packages)} packages of requirements.lock"
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the bill, ask for advisories; return the exit status."""
    sbom = Path(arguments[0]) if arguments else SBOM
    write_sbom(sbom)
    print(f"what the image is made of: {sbom}")
    status, lines = verdict(advisories())
    print("\n".join(lines), file=sys.stderr if status else sys.stdout)
    return status


def _tool(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
