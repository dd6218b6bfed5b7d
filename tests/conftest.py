"""What every folder of tests shares: a clean environment, and no way out of this machine."""

from __future__ import annotations

import gc
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# How long an example takes is no matter of right or wrong, and machines are noisy. The examples are
# the same each time; RELAY_FUZZ_EXAMPLES asks for as many others.
EXAMPLES = os.environ.get("RELAY_FUZZ_EXAMPLES")
settings.register_profile(
    "relay",
    deadline=None,
    derandomize=EXAMPLES is None,
    max_examples=int(EXAMPLES or 50),
)
settings.load_profile("relay")

SLOW = {
    "api/http/test_config_schema.py": "a document for each rule of a config",
    "api/http/test_generated_client.py": "a client that is generated",
    "api/routes/test_audit.py": "every call that changes something",
    "api/routes/test_config_checks.py": "uploads that are read in processes of their own",
    "api/routes/test_feed_links.py": "feeds of whole runs",
    "api/routes/test_holds.py": "feeds of whole runs",
    "api/routes/test_overrides.py": "feeds of whole runs",
    "api/routes/test_skus.py": "feeds of whole runs",
    "api/routes/test_webhooks.py": "a call for each URL that is refused",
    "api/security/test_auth.py": "every route, with every kind of key",
    "api/test_app.py": "processes of their own",
    "api/web/test_runs.py": "feeds of whole runs",
    "api/web/test_sign_in.py": "sessions of many pages",
    "api/web/test_skus.py": "feeds of whole runs",
    "api/web/test_suppliers.py": "sessions of many pages",
    "api/web/test_vendors.py": "sessions of many pages",
    "aws/dynamodb/test_tenant_store.py": "writers at once, over a server on a port",
    "aws/provisioning": "resources made anew",
    "core/ingest/test_cell_sizes.py": "feeds of many megabytes",
    "core/ingest/test_compression.py": "feeds of many megabytes",
    "core/ingest/test_feed_task.py": "processes of their own",
    "core/ingest/test_jsonl.py": "feeds of many megabytes",
    "core/ingest/test_ods.py": "feeds of many megabytes",
    "core/merge/test_price_rules.py": "a search over generated rules",
    "core/merge/test_result.py": "feeds of many rows",
    "core/onboarding/test_container_guess.py": "files of every kind, each read by a run too",
    "core/onboarding/test_feed_check.py": "files of every kind, each read by a run too",
    "core/publish/report/test_page.py": "reports of many megabytes",
    "core/publish/test_changes.py": "a search over generated feeds",
    "core/publish/test_explanation.py": "a search over generated feeds",
    "core/test_golden.py": "whole runs of every tenant",
    "core/test_quarantine.py": "a search over runs in a row",
    "core/test_sandbox.py": "processes of their own",
    "deploy/test_roles.py": "the calls of whole processes",
    "deploy/test_run_launcher.py": "an instance of Dagster",
    "deploy/test_template.py": "a linter of templates",
    "devstack/test_option_effects.py": "every option of the program",
    "explorer": "a search over the deaths and interleavings of actors",
    "integration": "stacks of real processes",
    "maintenance": "ticks over many records",
    "orchestration": "processes and instances of Dagster",
    "project/test_cli.py": "resources made anew",
    "project/test_loading.py": "processes of their own",
    "intake/test_trigger_check.py": "ticks over many tenants",
    "intake/test_upload_events.py": "ticks over queues",
}
"""What `make test` leaves out and `make check` runs, and why it takes long."""
THOROUGH = {
    "aws/dynamodb/test_run_store.py": "hundreds of records",
    "aws/dynamodb/test_stored_items.py": "items of every kind, of every release",
    "aws/provisioning/test_bootstrap.py": "resources made anew",
    "aws/test_clients.py": "waits for servers that do not answer",
    "aws/test_removal.py": "thousands of objects",
    "benchmarks": "commands that measure, each a process of its own",
    "client": "an API on a port, and commands that wait for its runs",
    "core/config/test_limits.py": "hostile documents of many megabytes",
    "core/ingest/test_parquet.py": "hostile files of many megabytes",
    "core/test_against_reference.py": "a search over generated feeds",
    "core/test_rules_against_reference.py": "a search over generated rules",
    "deploy/test_dagster_yaml.py": "instances with the storage of a deployment",
    "explorer/test_state_search.py": "a search to its end",
    "fuzzing": "a search over the API's calls",
    "intake/test_dead_letters.py": "queues that are read whole",
    "maintenance/test_dead_letter_sweep.py": "queues that are read whole",
    "maintenance/test_deletion.py": "each step's death and repetition",
    "maintenance/test_doctor.py": "damages of a whole platform",
    "maintenance/test_housekeeping.py": "hundreds of records",
    "maintenance/test_lost_messages.py": "queues of hundreds",
    "maintenance/test_many_runs.py": "queues of hundreds",
    "maintenance/test_reconciler.py": "deaths of runs",
    "maintenance/test_recovery.py": "a platform that is restored",
    "orchestration/test_assets.py": "whole runs in Dagster",
    "orchestration/test_dagster_history.py": "Dagster's tables on disk",
    "orchestration/test_feed_events.py": "whole runs in Dagster",
    "orchestration/test_held_runs.py": "whole runs in Dagster",
    "orchestration/test_output_formats.py": "whole runs in Dagster",
    "orchestration/test_quarantined_runs.py": "whole runs in Dagster",
    "orchestration/test_tenant_deletions.py": "whole runs in Dagster",
    "project/test_celery_app.py": "processes of their own",
    "project/test_definitions.py": "processes of their own",
    "project/test_next_release.py": "every process over the items of another release",
    "replay": "an API on a port, and engines over its runs",
    "runbook": "the procedures on a stack",
    "scripts": "whole runs on this machine",
    "intake/test_uploads.py": "ticks over queues",
    "ui": "pages in a browser",
    "transfers": "servers and receivers on ports, and waits",
    "webhooks/test_outbox.py": "events of whole runs",
}
"""What `make check` leaves to `make thorough`, which continuous integration runs too, and why."""
TIERS = {"slow": SLOW, "thorough": THOROUGH}

_PREFIXES = ("AWS_", "RELAY_", "WORKER_", "DAGSTER_", "CLOUDWATCH_", "SQS_")
_NAMES = (
    "API_KEYS",
    "ARTIFACT_BUCKET",
    "AUDIT_TABLE",
    "ENVIRONMENT",
    "RETENTION_DAYS",
    "RUNS_TABLE",
    "TENANTS_TABLE",
    "UPLOADS_QUEUE_URL",
)
_MADE_UP = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "DAGSTER_DISABLE_TELEMETRY": "true",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a target leave out what takes long before it is imported."""
    parser.addoption(
        "--without",
        action="append",
        choices=sorted(TIERS),
        default=[],
        help="a tier to leave out",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a place that is not there."""
    tests = config.rootpath / "tests"
    places = [place for tier in TIERS.values() for place in tier]
    if gone := [place for place in places if not (tests / place).exists()]:
        raise pytest.UsageError(
            f"tests/conftest.py calls slow what is not there: {gone}"
        )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the folders and modules of the tiers that the caller does without."""
    place = os.path.relpath(collection_path, config.rootpath / "tests")
    left_out = any(place in TIERS[tier] for tier in config.getoption("without"))
    return left_out or None


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Mark the tests of each tier by their place."""
    for item in items:
        place = item.path.relative_to(config.rootpath / "tests")
        places = {str(place), *map(str, place.parents)}
        for tier, those in TIERS.items():
            if places & those.keys():
                item.add_marker(tier)


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass by what is there for good, and come less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the caller's settings and credentials from the test."""
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _NAMES:
            monkeypatch.delenv(name)
    for name, value in _MADE_UP.items():
        monkeypatch.setenv(name, value)


def _is_local(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a path: a Unix socket
    host = str(address[0])
    if host in ("", "localhost"):
        return True
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return ip.is_loopback or ip.is_unspecified


@pytest.fixture(autouse=True, scope="session")
def no_way_out() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    patch = pytest.MonkeyPatch()

    def guarded(name: str) -> Any:
        original = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            if not _is_local(address):
                raise RuntimeError(
                    f"a test tried to reach {address!r}; tests stay on this machine"
                )
            return original(self, address)

        return connect

    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, guarded(name))
    yield
    patch.undo()
