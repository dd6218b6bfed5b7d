"""What each process does not load: its start is most of what a small run takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.builders import config_document, feed

ROOT = Path(__file__).resolve().parents[2]
TESTS_ALONE = ("hypothesis", "pytest", "_pytest", "moto")
ENGINE = ("numpy", "pandas", "pandera", "pyarrow", "jinja2")
SERVERS = ("fastapi", "starlette", "uvicorn", "httpx", "celery")
SYSTEM = ("dagster", "boto3", "botocore", "sqlalchemy", *SERVERS)
API, RUN_PROCESS = (
    "import relay_dagster.api.app",
    "import relay_dagster.definitions",
)
LOCAL_RUN = "from local.command import main; assert main(sys.argv[1:]) == 0"


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        pytest.param(
            LOCAL_RUN,
            (
                *TESTS_ALONE,
                *SYSTEM,
                "pydantic_settings",
                "typeguard",
                "asyncio",
                "local.explain",
                # Every row keeps the contracts.
                *("pandas", "pandera"),
            ),
            id="local run",
        ),
        pytest.param(
            API,
            (
                *TESTS_ALONE,
                *ENGINE,
                "dagster",
                "pydantic_settings",
                "sqlalchemy",
            ),
            id="API",
        ),
        pytest.param(
            f"{RUN_PROCESS}; from relay_core.validation import row_checks; "
            "row_checks.load_contracts()",
            (
                *(*TESTS_ALONE, "fastapi", "starlette", "uvicorn", "celery"),
                *("pydantic_settings", "typeguard", "paramiko", "httpcore"),
            ),
            id="run process, once it has judged rows",
        ),
    ],
)
def test_a_process_loads_nothing_that_it_does_not_use(
    tmp_path: Path, program: str, unwanted: tuple[str, ...]
) -> None:
    config, data = tmp_path / "config.json", tmp_path / "feed.csv"
    config.write_text(json.dumps(config_document()))
    data.write_bytes(feed("A,1,2.50"))
    wanted = [
        f"--config={config}",
        f"--vendor-file=vendor_1={data}",
        f"--output-dir={tmp_path}",
    ]
    shown = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'scripts')!r}, {str(ROOT)!r}]; {program}; "
        f"print([name for name in {unwanted} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", shown, *wanted],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_the_garbage_collector_passes_over_the_api() -> None:
    program = f"import gc; {API}; print(gc.get_freeze_count() > 50_000, gc.isenabled())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout.split() == ["True", "True"], done.stderr
