from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from relay_dagster.aws.dynamodb.pause_store import PauseStore
from relay_dagster.runs.ports import Pause
from support.fakes import NOW, FakeClock, embedded_platform


@pytest.fixture
def pauses() -> Iterator[PauseStore]:
    with embedded_platform() as platform:
        yield PauseStore(replace(platform.database, clock=FakeClock()))


def test_nothing_is_paused_at_first(pauses: PauseStore) -> None:
    assert pauses.of("acme") is None


def test_a_pause_of_one_tenant_is_its_own(pauses: PauseStore) -> None:
    assert pauses.begin("acme", "audit") == Pause("acme", "audit", NOW)
    assert pauses.of("acme") == Pause("acme", "audit", NOW)
    assert pauses.of("other") is None


def test_a_pause_of_all_holds_for_each_and_comes_first(
    pauses: PauseStore,
) -> None:
    pauses.begin("acme", "audit")
    pauses.begin(None, "backlog")
    assert (
        pauses.of("acme") == pauses.of("other") == Pause(None, "backlog", NOW)
    )


def test_the_latest_reason_counts(pauses: PauseStore) -> None:
    pauses.begin(None, "backlog")
    pauses.begin(None, "deployment")
    pause = pauses.of("acme")
    assert pause is not None
    assert pause.reason == "deployment"


@pytest.mark.parametrize(("ended", "left"), [(None, "acme"), ("acme", None)])
def test_the_end_of_one_pause_leaves_the_other(
    pauses: PauseStore, ended: str | None, left: str | None
) -> None:
    pauses.begin(None, "backlog")
    pauses.begin("acme", "audit")
    pauses.end(ended)
    pause = pauses.of("acme")
    assert pause is not None
    assert pause.tenant_id == left


def test_the_end_of_what_is_not_paused_is_no_error(pauses: PauseStore) -> None:
    pauses.end("acme")
    assert pauses.of("acme") is None
