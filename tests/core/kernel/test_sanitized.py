"""The kernel, compiled with sanitizers, touches no byte that is not its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "relay_core" / "kernel" / "scan.pyx"
CAMPAIGN = ROOT / "tests" / "fuzzing" / "kernel_campaign.py"
COMPILER = ("gcc", "-shared", "-fPIC", "-O0", "-g1")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FEEDS = 60
TESTS_OF_COLUMNS = (
    "tests/core/kernel/test_csv_lines.py",
    "tests/core/kernel/test_taken_texts.py",
    "tests/core/merge/test_competition.py",
)
RUN_TESTS = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("relay_core.kernel.scan", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


def sanitizer() -> str | None:
    """Return the paths of the sanitizer's libraries, if the compiler has them."""
    if shutil.which("gcc") is None:
        return None
    paths = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so", "libstdc++.so")
    ]
    return " ".join(paths) if all(map(os.path.isabs, paths)) else None


# The libraries are parts of gcc that some systems package apart. Without them, the kernel
# cannot be compiled for these tests; without gcc, there is no kernel at all.
pytestmark = pytest.mark.skipif(
    sanitizer() is None, reason="gcc has no sanitizers here"
)


def compiled_kernel(source: Path, folder: Path) -> Path:
    """Compile a source of the kernel with sanitizers."""
    c_source = folder / "scan.c"
    kernel = folder / f"scan{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run(
        [sys.executable, "-m", "cython", source, "-o", c_source], check=True
    )
    include = f"-I{sysconfig.get_paths()['include']}"
    subprocess.run(
        [*COMPILER, *SANITIZE, include, c_source, "-o", kernel],
        check=True,
    )
    return kernel


def sanitized(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the sanitizer's libraries, in the project's folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={
            **os.environ,
            "LD_PRELOAD": str(sanitizer()),
            "ASAN_OPTIONS": "detect_leaks=0",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def campaign(kernel: Path) -> subprocess.CompletedProcess[str]:
    options = ["--kernel", kernel, "--feeds", str(FEEDS), "--seed", "7"]
    return sanitized(CAMPAIGN, *options)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the kernel, compiled with sanitizers."""
    return compiled_kernel(SOURCE, tmp_path_factory.mktemp("kernel"))


def test_the_kernel_stays_within_its_buffers(kernel: Path) -> None:
    process = campaign(kernel)
    assert process.returncode == 0, (
        process.stdout[-2000:] + process.stderr[-4000:]
    )
    assert "equal" in process.stdout


def test_columns_are_read_and_written_within_their_buffers(
    kernel: Path,
) -> None:
    process = sanitized("-c", RUN_TESTS, kernel, *TESTS_OF_COLUMNS)
    assert process.returncode == 0, (
        process.stdout[-2000:] + process.stderr[-4000:]
    )
    assert "skipped" not in process.stdout


def test_a_write_behind_a_buffer_is_found(tmp_path: Path) -> None:
    """Lines are written although there is no room for them."""
    for path in SOURCE.parent.glob("*.p*"):
        shutil.copy(path, tmp_path / path.name)
    rows = tmp_path / "rows.pxi"
    text = rows.read_text("utf-8")
    checked = "if end - at < _LINE_ROOM"
    assert text.count(checked) == 1
    rows.write_text(text.replace(checked, "if end + 4096 - at < _LINE_ROOM"))
    process = campaign(compiled_kernel(tmp_path / "scan.pyx", tmp_path))
    assert process.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in process.stderr
