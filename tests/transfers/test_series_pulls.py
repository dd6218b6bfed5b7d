"""Pulls of inputs with changes: every new file of a folder, in order, and none twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay_core.config import load_config
from relay_core.config.inputs.tenant_inputs import inputs_of
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.transfers.pull_transfer import PullRequest, Transfer
from relay_dagster.transfers.room import TransferRoom
from relay_dagster.triggers.pulls import PullState
from support.builders import part_document
from support.pulls_world import (
    NOON,
    VENDOR,
    PullsWorld,
    pull_all,
    series_config,
    take_pull,
)
from support.sftp_servers import PASSWORD, SftpServer, sftp_server

HOUR = timedelta(hours=1)
HEADER = b"sku,quantity_available,cost\n"


def body(text: str) -> bytes:
    return HEADER + f"{text},1,2.00\n".encode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    with sftp_server(tmp_path) as server:
        yield server


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that pulls have waited for the next second, none of which pass."""
    waits: list[float] = []
    monkeypatch.setattr(
        "relay_dagster.transfers.pull_transfer.sleep", waits.append
    )
    return waits


def config(
    world: PullsWorld, server: SftpServer, **pull: Any
) -> dict[str, Any]:
    secret = SecretValue(PASSWORD, f"127.0.0.1:{server.port}")
    world.platform.secrets.put(world.tenant_id, "granite", secret)
    url = server.url("/out/*.csv")
    return series_config(
        world.tenant_id, url=url, host_key=server.host_line, **pull
    )


def pulled_names(world: PullsWorld) -> list[str]:
    return [name.split("-", 1)[1] for name in world.files()]


def settle(world: PullsWorld) -> PullState:
    """Pull until nothing is due now."""
    state = world.pull()
    while state.due_at == world.clock():
        state = world.pull()
    return state


def test_the_newest_full_file_and_its_deltas_are_pulled_then_every_new_file(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    server.put("full-1.csv", body("A"), 100)
    server.put("delta-1.csv", body("B"), 200)
    server.put("full-2.csv", body("C"), 300)
    server.put("delta-3.csv", body("E"), 400)
    server.put("delta-2.csv", body("D"), 400)
    server.put("other.csv", body("X"), 500)
    world.store_document(config(world, server))
    state = settle(world)
    assert world.files() == [
        "20260301T120000Z-full-2.csv",
        "20260301T120001Z-delta-2.csv",
        "20260301T120002Z-delta-3.csv",
    ]
    assert world.uploads() == [body("C"), body("D"), body("E")]
    assert (state.last_error, state.failures) == (None, 0)
    assert state.last_success_at == NOON
    assert state.due_at == NOON + HOUR
    assert server.logins == ["acme"]
    # The second in which a file was pulled is over before the next one is pulled.
    assert no_wait == [0.0, 1.0, 1.0]

    server.put("delta-5.csv", body("H"), 700)
    server.put("delta-4.csv", body("F"), 600)
    server.put("full-3.csv", body("G"), 650)
    state = world.pull(after=HOUR)
    assert pulled_names(world) == [
        # The newest five stay.
        "delta-2.csv",
        "delta-3.csv",
        "delta-4.csv",
        "full-3.csv",
        "delta-5.csv",
    ]
    assert state.last_success_at == NOON + HOUR
    reads = list(server.reads)

    state = world.pull(after=HOUR)
    assert state.last_unchanged_at == NOON + 2 * HOUR
    assert (server.reads, len(server.logins)) == (reads, 3)


def test_all_files_from_the_last_full_one_on_stay(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    server.put("full-1.csv", body("A"), 100)
    server.put("full-2.csv", body("B"), 200)
    for number in range(7):
        server.put(f"delta-{number}.csv", body(f"D{number}"), 300 + number)
    world.store_document(config(world, server))
    settle(world)
    assert pulled_names(world) == [
        "full-2.csv",
        *(f"delta-{number}.csv" for number in range(7)),
    ]


def test_deltas_of_an_hour_without_the_server_are_all_pulled_in_order(
    world: PullsWorld, tmp_path: Path, no_wait: list[float]
) -> None:
    with sftp_server(tmp_path) as server:
        server.put("full-1.csv", body("A"), 100)
        world.store_document(config(world, server))
        settle(world)
        key = server.host_key
        port = server.port
    state = world.pull(after=HOUR)
    assert (state.failures, pulled_names(world)) == (1, ["full-1.csv"])
    for number in range(12):
        server.put(f"delta-{number:02}.csv", body(f"D{number}"), 200 + number)
    with sftp_server(tmp_path, host_key=key, port=port) as server:
        state = world.pull(after=HOUR)
        state = settle(world)
    assert (state.failures, state.last_error) == (0, None)
    assert pulled_names(world) == [
        "full-1.csv",
        *(f"delta-{number:02}.csv" for number in range(12)),
    ]
    stored = world.platform.objects.list_objects(world.key(""))
    by_time = sorted(stored, key=lambda upload: upload.age_order)
    assert [upload.key for upload in by_time] == [
        upload.key for upload in stored
    ]


def test_a_process_that_dies_between_two_files_loses_none_and_repeats_none(
    world: PullsWorld,
    server: SftpServer,
    no_wait: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.put("full-1.csv", body("A"), 100)
    server.put("delta-1.csv", body("B"), 200)
    server.put("delta-2.csv", body("C"), 300)
    document = config(world, server)
    world.store_document(document)
    objects = world.platform.objects
    copy = type(objects).copy
    copies: list[str] = []

    def die_at_second(self: Any, source_key: str, target_key: str) -> None:
        copies.append(target_key)
        if len(copies) == 2:
            raise ProcessLookupError
        copy(self, source_key, target_key)

    monkeypatch.setattr(type(objects), "copy", die_at_second)
    leased = take_pull(
        world.platform.pulls, world.tenant_id, VENDOR, world.clock()
    )
    tenant_input = inputs_of(load_config(document))[VENDOR]
    assert tenant_input.pull is not None
    request = PullRequest(
        leased, tenant_input, tenant_input.pull, TransferRoom()
    )
    with pytest.raises(ProcessLookupError):
        Transfer(world.platform, request, world.clock).run()
    monkeypatch.setattr(type(objects), "copy", copy)
    world.clock.advance(seconds=120)
    for _ in range(3):
        pull_all(world.puller)
    assert pulled_names(world) == ["full-1.csv", "delta-1.csv", "delta-2.csv"]
    assert world.uploads() == [body("A"), body("B"), body("C")]
    assert world.staged() == []


def test_the_same_bytes_are_no_new_file_unless_they_are_of_another_kind(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    server.put("full-1.csv", body("A"), 100)
    server.put("delta-1.csv", body("A"), 200)
    server.put("delta-2.csv", body("A"), 300)
    world.store_document(config(world, server))
    settle(world)
    assert pulled_names(world) == ["full-1.csv", "delta-1.csv"]
    server.put("full-2.csv", body("A"), 400)
    world.pull(after=HOUR)
    assert pulled_names(world)[2:] == ["full-2.csv"]


def test_the_bytes_that_were_pulled_as_no_input_are_pulled_again(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    server.put("stock.csv", body("A"), 100)
    document = config(world, server)
    vendor = document["vendors"][0]
    changes = vendor.pop("changes")
    world.store_document(document)
    world.pull()
    assert pulled_names(world) == ["stock.csv"]
    vendor["changes"] = changes
    server.put("full-1.csv", body("A"), 200)
    world.store_document(document)
    world.pull(after=HOUR)
    assert pulled_names(world) == ["stock.csv", "full-1.csv"]


def test_an_empty_delta_changes_nothing_and_holds_nothing_up(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    server.put("full-1.csv", body("A"), 100)
    server.put("delta-1.csv", b"", 200)
    server.put("delta-2.csv", body("B"), 300)
    world.store_document(config(world, server))
    state = settle(world)
    assert pulled_names(world) == ["full-1.csv", "delta-2.csv"]
    assert state.failures == 0


def test_a_file_that_cannot_be_used_holds_up_the_next_until_a_full_one_comes(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    server.put("full-1.csv", body("A"), 100)
    server.put("delta-1.csv", b"<!DOCTYPE html><html></html>", 200)
    server.put("delta-2.csv", body("B"), 300)
    world.store_document(config(world, server))
    state = world.pull()
    assert pulled_names(world) == ["full-1.csv"]
    assert state.failures == 1
    assert "page" in str(state.last_error)
    server.put("full-2.csv", body("C"), 400)
    state = world.pull(after=HOUR)
    assert pulled_names(world) == ["full-1.csv", "delta-2.csv", "full-2.csv"]
    assert state.failures == 0


def test_a_file_that_is_being_written_holds_up_those_behind_it(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    server.put("full-1.csv", body("A"), 100)
    world.store_document(config(world, server, settle_seconds=60))
    state = world.pull()
    assert (world.files(), state.due_at) == ([], NOON + timedelta(seconds=60))
    server.put("delta-1.csv", body("B"), 200)
    state = world.pull(after=timedelta(seconds=60))
    assert pulled_names(world) == ["full-1.csv"]
    assert state.due_at == NOON + timedelta(seconds=120)
    world.pull(after=timedelta(seconds=60))
    assert pulled_names(world) == ["full-1.csv", "delta-1.csv"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("delta-1.csv", "no file in the folder matches changes.full"),
        ("other.csv", "no file in the folder matches the patterns in changes"),
    ],
)
def test_a_folder_without_a_full_file_is_a_failure(
    world: PullsWorld, server: SftpServer, name: str, error: str
) -> None:
    server.put(name, body("A"), 100)
    world.store_document(config(world, server))
    state = world.pull()
    assert (state.last_error, state.failures) == (error, 1)
    assert world.files() == []


def test_after_its_first_minute_a_pull_gives_its_turn_to_others(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    server.put("full-1.csv", body("A"), 100)
    server.put("delta-1.csv", body("B"), 200)
    world.store_document(config(world, server))
    world.puller.room.pace = type(world.puller.room.pace)(first_seconds=0)
    state = world.pull()
    assert pulled_names(world) == ["full-1.csv"]
    assert state.due_at == world.clock()
    world.pull()
    assert pulled_names(world) == ["full-1.csv", "delta-1.csv"]
    assert len(server.logins) == 2


def test_another_url_begins_again_with_the_newest_full_file(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    server.put("full-1.csv", body("A"), 100)
    server.put("full-2.csv", body("B"), 200)
    server.put("delta-1.csv", body("C"), 300)
    document = config(world, server)
    world.store_document(document)
    settle(world)
    pull = document["vendors"][0]["inbound"]["pull"]
    pull["url"] = server.url("/out/?*.csv")
    world.store_document(document)
    settle(world)
    assert pulled_names(world) == [
        "full-2.csv",
        "delta-1.csv",
        "full-2.csv",
        "delta-1.csv",
    ]


def test_a_part_is_pulled_beside_its_vendor_s_own_file(
    world: PullsWorld, server: SftpServer, no_wait: list[float]
) -> None:
    document = config(world, server)
    vendor = document["vendors"][0]
    pull = vendor["inbound"]["pull"]
    prefix = f"tenants/{world.tenant_id}/inbound/prices/"
    vendor["parts"] = [
        part_document(
            inbound={"type": "s3", "s3_prefix": prefix, "pull": pull},
            changes=vendor.pop("changes"),
        )
    ]
    own_pull = {**pull, "url": server.url("/out/stock.csv")}
    vendor["inbound"] = {**vendor["inbound"], "pull": own_pull}
    server.put("stock.csv", body("S"), 100)
    server.put("full-1.csv", body("A"), 200)
    server.put("delta-1.csv", body("B"), 300)
    # What another process stages of the part is not swept with the vendor's own.
    staged_key = f"published/{world.tenant_id}/pulls/{VENDOR}!prices/other"
    world.platform.objects.put(staged_key, b"x")
    world.store_document(document)
    take_pull(world.platform.pulls, world.tenant_id, VENDOR, world.clock())
    world.clock.advance(seconds=120)
    for _ in range(3):
        pull_all(world.puller)
        world.clock.advance(seconds=600)
    part_state = world.state(f"{VENDOR}/prices")
    assert (part_state.part_id, part_state.failures) == ("prices", 0)
    stored = world.platform.objects.list_objects(prefix)
    names = [upload.key.rpartition("Z-")[2] for upload in stored]
    assert names == ["full-1.csv", "delta-1.csv"]
    uploads = world.platform.objects.list_objects(world.key(""))
    assert [upload.key.rpartition("Z-")[2] for upload in uploads] == [
        "stock.csv"
    ]
    assert world.staged() == [staged_key]
