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

from relay_core.kernel import compiled
from support.fixtures import (
    clock,
    either_reader,
    instance,
    ledger,
    platform,
    world,
)

__all__ = [
    "clock",
    "either_reader",
    "instance",
    "ledger",
    "platform",
    "world",
]

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
    "http/test_config_schema.py": "a document for each rule of a config",
    "api/test_generated_client.py": "a client that is generated",
    "api/routes/test_audit.py": "every call that changes something",
    "api/routes/test_config_checks.py": "uploads that are read in processes of their own",
    "api/routes/test_feed_links.py": "feeds of whole runs",
    "api/routes/test_holds.py": "feeds of whole runs",
    "api/routes/test_overrides.py": "feeds of whole runs",
    "api/routes/test_parts.py": "uploads that are read in processes of their own",
    "api/routes/test_skus.py": "feeds of whole runs",
    "api/routes/test_webhooks.py": "a call for each URL that is refused",
    "http/security/test_auth.py": "every route, with every kind of key",
    "server/test_app.py": "processes of their own",
    "web/settings": "sessions of many pages",
    "web/test_part_pages.py": "sessions of many pages",
    "web/test_runs.py": "feeds of whole runs",
    "web/test_sign_in.py": "sessions of many pages",
    "web/test_skus.py": "feeds of whole runs",
    "web/test_suppliers.py": "sessions of many pages",
    "web/test_vendors.py": "sessions of many pages",
    "aws/dynamodb/test_tenant_store.py": "writers at once, over a server on a port",
    "aws/provisioning": "resources made anew",
    "component": "whole runs in Dagster",
    "core/ingest/test_cell_sizes.py": "feeds of many megabytes",
    "core/ingest/test_compression.py": "feeds of many megabytes",
    "core/ingest/test_feed_task.py": "processes of their own",
    "core/ingest/test_jsonl.py": "feeds of many megabytes",
    "core/ingest/test_ods.py": "feeds of many megabytes",
    "core/merge/test_price_rules.py": "a search over generated rules",
    "core/merge/test_result.py": "feeds of many rows",
    "core/onboarding/test_container_guess.py": "files of every kind, each read by a run too",
    "core/onboarding/test_feed_check.py": "files of every kind, each read by a run too",
    "core/report/test_html.py": "reports of many megabytes",
    "core/publish/test_changes.py": "a search over generated feeds",
    "core/publish/explaining/test_explanation.py": "a search over generated feeds",
    "core/test_golden.py": "whole runs of every tenant",
    "core/test_quarantine.py": "a search over runs in a row",
    "core/test_sandbox.py": "processes of their own",
    "deploy/test_roles.py": "the calls of whole processes",
    "deploy/test_run_launcher.py": "an instance of Dagster",
    "deploy/test_template.py": "a linter of templates",
    "devstack/test_option_effects.py": "every option of the program",
    "explorer": "a search over the deaths and interleavings of actors",
    "feeds/test_changed_files.py": "processes of their own",
    "integration": "stacks of real processes",
    "maintenance": "ticks over many records",
    "orchestration": "processes and instances of Dagster",
    "project/test_cli.py": "resources made anew",
    "project/test_loading.py": "processes of their own",
    "local/test_new.py": "files of every kind, each read by a run too",
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
    "component/test_project.py": "a project of its own, with Dagster on a port",
    "client": "an API on a port, and commands that wait for its runs",
    "core/config/test_limits.py": "hostile documents of many megabytes",
    "core/ingest/test_parquet.py": "hostile files of many megabytes",
    "core/kernel/test_sanitized.py": "a kernel that is compiled with sanitizers",
    "core/onboarding/test_never_a_wrong_price.py": "a search over generated lists",
    "core/test_against_reference.py": "a search over generated feeds",
    "core/test_rules_against_reference.py": "a search over generated rules",
    "deploy/test_dagster_yaml.py": "instances with the storage of a deployment",
    "explorer/test_state_search.py": "a search to its end",
    "fuzzing": "a search over the API's calls",
    "intake/test_dead_letters.py": "queues that are read whole",
    "intake/test_part_uploads.py": "ticks over queues",
    "intake/test_trigger_check.py": "ticks over many tenants",
    "launching": "processes that load all code, and wait for each other",
    "maintenance/test_dead_letter_sweep.py": "queues that are read whole",
    "maintenance/test_deletion.py": "each step's death and repetition",
    "maintenance/test_doctor.py": "damages of a whole platform",
    "maintenance/test_housekeeping.py": "hundreds of records",
    "maintenance/test_lost_messages.py": "queues of hundreds",
    "maintenance/test_many_runs.py": "queues of hundreds",
    "maintenance/test_reconciler.py": "deaths of runs",
    "maintenance/test_recovery.py": "a platform that is restored",
    "orchestration/test_assets.py": "whole runs in Dagster",
    "orchestration/test_channel_files.py": "whole runs in Dagster",
    "orchestration/test_dagster_history.py": "Dagster's tables on disk",
    "orchestration/test_feed_events.py": "whole runs in Dagster",
    "orchestration/test_held_runs.py": "whole runs in Dagster",
    "orchestration/test_last_good_files.py": "whole runs in Dagster",
    "orchestration/test_output_formats.py": "whole runs in Dagster",
    "orchestration/test_quarantined_runs.py": "whole runs in Dagster",
    "orchestration/test_sqlite_storage.py": "Dagster's tables on disk",
    "orchestration/test_tenant_deletions.py": "whole runs in Dagster",
    "project/test_celery_app.py": "processes of their own",
    "project/test_definitions.py": "processes of their own",
    "project/test_next_release.py": "every process over the items of another release",
    "replay": "an API on a port, and engines over its runs",
    "runbook": "the procedures on a stack",
    "scripts": "whole runs on this machine",
    "intake/test_uploads.py": "ticks over queues",
    "scripts/test_check_corpus.py": "a check of each list of the corpus",
    "ui": "pages in a browser",
    "transfers": "servers and receivers on ports, and waits",
    "webhooks/test_outbox.py": "events of whole runs",
    "wheel": "wheels that are built and installed",
}
"""What `make check` leaves to `make thorough`, which continuous integration runs too, and why."""
TIERS = {"slow": SLOW, "thorough": THOROUGH}

REPRESENTATIVES = {
    "aws/dynamodb/test_run_store.py": "test_a_record_is_written_over_only_as_it_was_read",
    "aws/dynamodb/test_stored_items.py": "test_items_are_stored_as_they_were",
    "client/test_commands.py": "test_a_watched_run_that_succeeds_ends_with_status_0",
    "intake/test_part_uploads.py": (
        "test_an_upload_is_spent_by_what_was_pinned_of_its_part"
    ),
    "intake/test_trigger_check.py": "test_each_due_time_leads_to_one_run",
    "intake/test_uploads.py": "test_what_the_bucket_itself_tells_starts_a_run_of_all_vendors",
    "launching/test_warm_process.py": "test_a_process_is_forked_with_all_code_and_one_thread",
    "maintenance/test_deletion.py": "test_a_run_that_is_not_settled_is_waited_for",
    "maintenance/test_doctor.py": "test_what_is_whole_has_no_finding",
    "maintenance/test_reconciler.py": "test_a_silent_run_is_ended_in_dagster_too",
    "orchestration/test_assets.py": "test_a_run_from_the_queue_publishes_the_best_offers",
    "orchestration/test_channel_files.py": "test_a_held_feed_is_released_with_its_channels",
    "orchestration/test_sqlite_storage.py": "test_the_death_of_a_process_loses_no_event",
    "replay/test_verify.py": "test_a_run_is_proved_by_the_bytes_of_each_of_its_csv_files",
    "scripts/test_check_corpus.py": "test_one_list_of_each_cause_is_right",
    "local/test_run.py": "test_refused_rows_are_reported_beside_the_feed",
    "transfers/test_delivery_sender.py": "test_a_publication_is_sent_under_its_name",
    "transfers/test_hostile_servers.py": (
        "test_a_server_that_sends_too_much_before_the_login_fails_its_own_pull"
    ),
    "transfers/test_puller.py": "test_a_new_file_becomes_an_upload_like_any_other",
    "transfers/test_series_pulls.py": (
        "test_the_newest_full_file_and_its_deltas_are_pulled_then_every_new_file"
    ),
    "transfers/test_sftp_pulls.py": "test_the_newest_file_of_a_pattern_is_pulled",
    "transfers/test_webhook_sender.py": "test_a_failure_is_tried_again_with_the_same_id_and_body",
}
"""One fast test of each thing that can break alone: of these modules, `make check` runs it."""

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
    parser.addoption(
        "--without-kernel",
        action="store_true",
        help="read feeds as an installation without a compiler does",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a list that names a test that does not exist, and turn the kernel off if asked."""
    if config.getoption("--without-kernel"):
        compiled.is_enabled = False
    tests = config.rootpath / "tests"
    places = [place for tier in TIERS.values() for place in tier]
    absent = [place for place in places if not (tests / place).exists()]
    for module, name in REPRESENTATIVES.items():
        if f"def {name}(" not in (tests / module).read_text("utf-8"):
            absent.append(f"{module}::{name}")
    if absent:
        raise pytest.UsageError(
            f"tests/conftest.py names tests that are absent: {absent}"
        )


def pytest_ignore_collect(
    collection_path: Path, config: pytest.Config
) -> bool | None:
    """Leave out the folders and modules of the tiers that the caller does without."""
    place = os.path.relpath(collection_path, config.rootpath / "tests")
    without = config.getoption("without")
    if "slow" not in without and _has_representatives(place):
        return None
    places = {place, *map(str, Path(place).parents)}
    is_left_out = any(places & TIERS[tier].keys() for tier in without)
    return is_left_out or None


def _has_representatives(place: str) -> bool:
    """Return whether a module, or a folder, has tests that stand for a thorough module."""
    return any(
        module == place or module.startswith(f"{place}/")
        for module in REPRESENTATIVES
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Mark the tests of each tier by their place; leave out those of unwanted tiers."""
    without = config.getoption("without")
    selected = []
    deselected = []
    for item in items:
        tiers = _tiers_of(item, config.rootpath / "tests")
        for tier in tiers:
            item.add_marker(tier)
        (deselected if tiers & {*without} else selected).append(item)
    config.hook.pytest_deselected(items=deselected)
    items[:] = selected


def _tiers_of(item: pytest.Item, tests: Path) -> set[str]:
    module = item.path.relative_to(tests)
    if REPRESENTATIVES.get(str(module)) == getattr(
        item, "originalname", item.name
    ):
        return {"slow"}
    places = {str(module), *map(str, module.parents)}
    return {tier for tier, reasons in TIERS.items() if places & reasons.keys()}


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
