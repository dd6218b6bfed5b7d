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
API = "import relay_dagster.server.app"
RUN_PROCESS = "import relay_dagster.definitions"
LOCAL_RUN = (
    "from relay_dagster.local.process import prepare; prepare(); "
    "from relay_dagster.local.command import main; "
    "assert main(sys.argv[1:]) == 0"
)
LOCAL_CHECK = "from relay_dagster.local.command import main; main([*sys.argv[1:], '--check'])"
MEMORY_LIMIT = (
    "from relay_dagster.execution.memory_limit import MemoryLimit; "
    "limit = MemoryLimit(1 << 20); limit.hold(); limit.lift()"
)
ENGINE_TASKS = """
import json
from pathlib import Path
from relay_core.config import load_config
from relay_core.onboarding.feed_sample import FeedSample
from relay_dagster.http import engine_tasks
config = load_config(json.loads(Path(sys.argv[1].partition('=')[2]).read_bytes()))
content = Path(sys.argv[2].rpartition('=')[2]).read_bytes()
sample = FeedSample(content, is_whole=True)
checks = engine_tasks.check_feeds(config, {'vendor_1': sample}, None)
assert not isinstance(checks['vendor_1'], str), checks
"""
VERDICT = (
    "from relay_core.validation import row_checks; row_checks.load_contracts()"
)
CONTRACTS = ("pandas", "pandera")
SEARCH_OF_PACKAGES = ("importlib.metadata", "email")
WORKBOOKS = ("xlrd", "xml", "relay_core.sandbox")


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
                "relay_core.library.run_files",
                "relay_core.library.checks",
                "rich",
                "typer",
                # Every row keeps the contracts, and no cause needs a patch.
                *(*CONTRACTS, "relay_core.onboarding.patches"),
                # The vendor has one file.
                "relay_core.normalize.file_lists.combining",
                "relay_core.config.inputs.tenant_inputs",
                # The config is JSON, and the feed is CSV.
                *("yaml", *WORKBOOKS),
                "relay_core.ingest.jsonl",
                "relay_core.ingest.parquet",
                # Nobody asks for plugins, cloud storage, or help on Arrow's functions.
                *(*SEARCH_OF_PACKAGES, "pyarrow._s3fs"),
                "pyarrow.vendored.docscrape",
            ),
            id="local run",
        ),
        pytest.param(LOCAL_CHECK, CONTRACTS, id="local check"),
        pytest.param(ENGINE_TASKS, CONTRACTS, id="check for the API"),
        pytest.param(
            "import relay_dagster.replay.rehearse, relay_dagster.replay.verify",
            CONTRACTS,
            id="replay",
        ),
        pytest.param(
            API,
            (
                *TESTS_ALONE,
                *ENGINE,
                "dagster",
                "pydantic_settings",
                "sqlalchemy",
                "yaml",
            ),
            id="API",
        ),
        pytest.param(
            "from relay_dagster import MerchantFeedComponent",
            (*ENGINE, "boto3", "typer", *SERVERS),
            id="component, when dg lists it",
        ),
        pytest.param(
            f"{RUN_PROCESS}; {MEMORY_LIMIT}",
            CONTRACTS,
            id="run process, while no row is in doubt",
        ),
        pytest.param(
            f"{RUN_PROCESS}; {VERDICT}",
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
    process = _loaded(tmp_path, program, unwanted, feed("A,1,2.50"))
    assert process.stdout.splitlines()[-1:] == ["[]"], process.stderr


def test_a_local_run_that_rejects_a_row_loads_only_the_contracts_and_patches(
    tmp_path: Path,
) -> None:
    unwanted = (
        *TESTS_ALONE,
        *("typeguard", "pyspark", *SEARCH_OF_PACKAGES),
        *("relay_core.onboarding.dry_run", *WORKBOOKS),
    )
    modules = (*unwanted, *CONTRACTS, "relay_core.onboarding.patches")
    rows = feed("A,1,2.50", "B,1,-2.50")
    process = _loaded(tmp_path, LOCAL_RUN, modules, rows)
    expected = [*CONTRACTS, "relay_core.onboarding.patches"]
    assert process.stdout.splitlines()[-1:] == [str(expected)], process.stderr


def _loaded(
    folder: Path,
    program: str,
    modules: tuple[str, ...],
    rows: bytes,
) -> subprocess.CompletedProcess[str]:
    """Run a program with the options of a local run; it prints which modules it loads."""
    config = folder / "config.json"
    data = folder / "feed.csv"
    policy = {"max_invalid_rows": 1, "max_invalid_row_pct": 1}
    document = config_document(error_policy=policy)
    config.write_text(json.dumps(document))
    data.write_bytes(rows)
    options = [
        f"--config={config}",
        f"--vendor-file=vendor_1={data}",
        f"--output-dir={folder}",
    ]
    whole_program = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'scripts')!r}, {str(ROOT)!r}]\n{program}\n"
        f"print([name for name in {modules} if sys.modules.get(name)])"
    )
    return subprocess.run(
        [sys.executable, "-c", whole_program, *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_the_garbage_collector_passes_over_the_api() -> None:
    program = f"import gc; {API}; print(gc.get_freeze_count() > 50_000, gc.isenabled())"
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout.split() == ["True", "True"], process.stderr
