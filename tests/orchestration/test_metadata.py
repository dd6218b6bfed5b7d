"""What people read of a run in Dagster: labels that stay what they are, and what stands first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest

from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure
from relay_dagster import tags
from relay_dagster.execution.attempt import Attempt, Launch, RunStoppedError
from relay_dagster.execution.session import ASSETS
from relay_dagster.external_errors import ThrottledError
from relay_dagster.orchestration.metadata import (
    failure_metadata,
    normalized_metadata,
)
from relay_dagster.wiring import Platform
from support.builders import RUN_ID
from support.fakes import dispatch_run, embedded_platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    with embedded_platform(heartbeat_seconds=3600) as platform:
        dispatch_run(platform)
        yield platform


@contextmanager
def claimed(platform: Platform) -> Iterator[Attempt]:
    run_tags = tags.run_tags(RUN_ID, "acme", attempt=1)
    attempt = Attempt.claim(
        platform, Launch("d", "acme", run_tags, frozenset(ASSETS))
    )
    try:
        yield attempt
    finally:
        attempt.close()


def test_a_failure_names_run_stage_and_attempt_and_the_reports_that_there_are(
    platform: Platform,
) -> None:
    with claimed(platform) as attempt:
        attempt.sink.artifacts["errors"] = "key/errors.json"
        metadata = failure_metadata(attempt)
    assert list(metadata) == [
        "run_id",
        "stage",
        "attempt",
        "started_by",
        "artifact/errors",
    ]
    assert (metadata["run_id"], metadata["stage"], metadata["attempt"]) == (
        RUN_ID,
        "FETCH_INPUTS",
        1,
    )
    assert metadata["started_by"] == "api"
    assert metadata["artifact/errors"] == dg.MetadataValue.path(
        platform.objects.uri("key/errors.json")
    )


def test_a_run_that_has_failed_says_whose_it_is_and_what_to_do(
    platform: Platform,
) -> None:
    with claimed(platform) as attempt:
        with pytest.raises(RunStoppedError):
            attempt.fail(
                RunFailure(
                    "DECODE_ERROR", "decode error", Stage.NORMALIZE, ("acme",)
                )
            )
        metadata = failure_metadata(attempt)
    assert list(metadata)[:5] == [
        "run_id",
        "stage",
        "attempt",
        "failure_class",
        "next_action",
    ]
    assert metadata["failure_class"] == "vendor_data"
    assert metadata["next_action"].startswith(
        "Set parser.encoding of vendor acme"
    )


def test_a_failure_that_is_tried_again_says_when(platform: Platform) -> None:
    with claimed(platform) as attempt:
        attempt.release_for_retry(ThrottledError("s3.PutObject", "slow down"))
        metadata = failure_metadata(attempt)
    assert metadata["next_attempt_at"].endswith("Z")


def test_no_vendors_are_no_rows(platform: Platform) -> None:
    with claimed(platform) as attempt:
        metadata = normalized_metadata([], attempt.sink)
    counts = [
        metadata[name] for name in ("rows_in", "rows_valid", "rows_invalid")
    ]
    assert (counts, metadata["dagster/row_count"]) == ([0, 0, 0], 0)
    assert metadata["vendors"].records == []
