"""A feed that is held back, from the terminal: shown, released, and rolled back."""

import io
import shlex
from collections.abc import Iterator

import pytest
import typer
from rich.console import Console

from relay_core.domain.codes import RunStatus
from relay_dagster.client.api_client import ApiClient
from relay_dagster.client.commands.holds import release
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import Screen
from relay_dagster.runs.model import RunRecord
from support.api_world import ADMIN, NOBODY_S_RUN, TENANT
from support.client_world import ClientWorld


def at_a_terminal(api: ApiClient) -> tuple[Session, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(
        Console(file=out, force_terminal=True, width=60),
        Console(file=err, width=200),
    )
    return Session(api, screen), out, err


@pytest.fixture
def api(world: ClientWorld) -> Iterator[ApiClient]:
    with ApiClient(world.url, ADMIN) as api:
        yield api


def sha256(record: RunRecord) -> str:
    assert record.hold is not None
    return record.hold.sha256


def command_in(text: str) -> str:
    """Return the release that is proposed."""
    (line,) = [
        line for line in text.splitlines() if "relay feed release " in line
    ]
    return line[line.index("relay feed release ") :]


def published_run(world: ClientWorld) -> str:
    feed = world.platform.runs.feed(TENANT)
    assert feed is not None
    return feed.in_force.run_id


# --- relay runs show ------------------------------------------------------------------------------


def test_show_says_what_holds_a_run_and_what_releases_it(
    world: ClientWorld,
) -> None:
    held = world.api.hold_one()
    told = world.relay("runs", "show", held.run_id)
    assert told.exit_code == 0, told.output
    lines = [line.strip() for line in told.stdout.splitlines()]
    assert lines[1] == "HELD: the feed is not published"
    assert "on hold, compared with the feed of run baseline-run" in lines
    assert "skus_removed: 18 of 20, 0.9000; limit 0.50" in lines
    assert "A-1: 10.00 -> gone" in lines
    at = lines.index("changes from the feed of run baseline-run")
    assert lines[at + 1 : at + 5] == [
        "0  SKUs added",
        "18  removed",
        "1  changed",
        "1    price up",
    ]
    assert command_in(told.stdout) == (
        f"relay feed release {held.run_id} --sha256 {sha256(held)} --guard skus_removed "
        "--reason 'why the feed is correct'"
    )


def test_the_command_that_show_gives_releases_the_run(
    world: ClientWorld,
) -> None:
    held = world.api.hold_one()
    command = command_in(world.relay("runs", "show", held.run_id).stdout)
    told = world.relay(*shlex.split(command)[1:])
    assert (told.exit_code, told.stderr) == (0, "")
    assert (
        told.stdout
        == f"Run {held.run_id} of {TENANT} is released, and its feed is published.\n"
    )
    assert published_run(world) == held.run_id


def test_a_run_that_was_released_shows_by_whom_and_why_and_proposes_nothing(
    world: ClientWorld,
) -> None:
    held = world.api.hold_one()
    asked = (
        "--sha256",
        sha256(held),
        "--guard",
        "skus_removed",
        "--reason",
        "a clearance",
    )
    world.relay("feed", "release", held.run_id, *asked)
    shown = world.relay("runs", "show", held.run_id).stdout
    assert ": a clearance\n" in shown
    assert "skus_removed: 18 of 20" in shown
    assert "relay feed release" not in shown


def test_a_held_run_that_is_watched_ends_with_status_3_and_its_guards(
    world: ClientWorld,
) -> None:
    held = world.api.hold_one()
    told = world.relay("runs", "show", held.run_id, "--watch")
    assert told.exit_code == 3, told.output
    assert told.stderr == "HELD: skus_removed\n"


def test_a_run_that_is_started_and_held_ends_with_status_3_and_how_to_look_at_it(
    world: ClientWorld,
) -> None:
    world.api.succeed(world.start())
    asked = ("run", TENANT, "--idempotency-key", "once")
    run_id = world.relay(*asked).stdout.strip()
    world.api.hold(run_id)
    told = world.relay(*asked, "--watch")
    assert told.exit_code == 3, told.output
    how, last = told.stderr.splitlines()
    assert how.endswith(f": relay runs show {run_id}")
    assert last == "HELD: skus_removed"


# --- relay feed release ---------------------------------------------------------------------------


def test_where_nobody_can_be_asked_nothing_is_released_and_the_command_is_given(
    world: ClientWorld,
) -> None:
    held = world.api.hold_one()
    told = world.relay(
        "feed", "release", held.run_id, "--reason", "it's a clearance"
    )
    assert told.exit_code == 1
    assert "skus_removed: 18 of 20" in told.stdout
    assert world.record(held.run_id).status is RunStatus.HELD
    assert world.relay(*shlex.split(command_in(told.stderr))[1:]).exit_code == 0
    assert world.record(held.run_id).release_reason == "it's a clearance"


def test_without_a_reason_the_hold_is_shown_and_asked_about_too(
    world: ClientWorld, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = world.api.hold_one()
    told = world.relay("feed", "release", held.run_id)
    assert told.exit_code == 1
    assert "skus_removed: 18 of 20" in told.stdout
    assert "--reason 'why the feed is correct'" in told.stderr
    unexplained = ("--sha256", sha256(held), "--guard", "skus_removed")
    assert (
        world.relay("feed", "release", held.run_id, *unexplained).exit_code == 2
    )
    assert world.record(held.run_id).status is RunStatus.HELD


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_at_a_terminal_a_yes_releases_what_was_shown(
    world: ClientWorld,
    api: ApiClient,
    answer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = world.api.hold_one()
    session, out, _ = at_a_terminal(api)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    release(session, held.run_id, "a clearance")
    assert published_run(world) == held.run_id
    assert "Publish this feed? [y/N]" in out.getvalue()
    assert command_in(out.getvalue()).startswith(
        f"relay feed release {held.run_id} --sha256 "
    )


@pytest.mark.parametrize("answer", ["n\n", "\n", "yesterday\n", ""], ids=repr)
def test_at_a_terminal_anything_else_leaves_it_held(
    world: ClientWorld,
    api: ApiClient,
    answer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = world.api.hold_one()
    session, _, err = at_a_terminal(api)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    with pytest.raises(typer.Exit) as ended:
        release(session, held.run_id, "a clearance")
    assert (ended.value.exit_code, err.getvalue()) == (
        1,
        "The feed was not released.\n",
    )
    assert world.record(held.run_id).status is RunStatus.HELD


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (("--sha256", "0" * 64, "--guard", "skus_removed"), "HOLD_MISMATCH"),
        (("--sha256", "SHA256", "--guard", "price_drop"), "HOLD_MISMATCH"),
    ],
    ids=["another feed", "another guard"],
)
def test_what_was_not_looked_at_is_not_released(
    world: ClientWorld, wrong: tuple[str, ...], code: str
) -> None:
    held = world.api.hold_one()
    named = [sha256(held) if word == "SHA256" else word for word in wrong]
    told = world.relay("feed", "release", held.run_id, *named, "--reason", "r")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith(f"{code}: ")
    assert world.record(held.run_id).status is RunStatus.HELD


def test_a_hash_without_guards_is_bad_usage(world: ClientWorld) -> None:
    held = world.api.hold_one()
    told = world.relay(
        "feed",
        "release",
        held.run_id,
        "--sha256",
        sha256(held),
        "--reason",
        "r",
    )
    assert told.exit_code == 2
    assert "--guard" in told.stderr


def test_a_run_that_is_not_held_has_nothing_to_release(
    world: ClientWorld,
) -> None:
    run = world.api.succeed(world.start())
    told = world.relay("feed", "release", run.run_id, "--reason", "r")
    assert told.exit_code == 1
    assert (
        told.stderr
        == f"Run {run.run_id} is SUCCEEDED. It has no feed on hold.\n"
    )


# --- relay feed rollback --------------------------------------------------------------------------


def test_a_rollback_publishes_an_earlier_feed_and_again_changes_nothing(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    first = world.api.succeed(world.start())
    world.api.succeed(world.start())
    for _ in range(2):
        told = world.relay(
            "feed", "rollback", TENANT, first.run_id, "--reason", "wrong prices"
        )
        assert told.exit_code == 0, told.output
        assert (
            told.stdout
            == f"The feed of run {first.run_id} is published again for {TENANT}.\n"
        )
    assert published_run(world) == first.run_id


def test_a_feed_that_is_not_kept_is_not_rolled_back_to(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    kept = world.api.succeed(world.start())
    told = world.relay(
        "feed", "rollback", TENANT, NOBODY_S_RUN, "--reason", "r"
    )
    assert told.exit_code == 1
    assert told.stderr.startswith("FEED_NOT_KEPT: ")
    assert published_run(world) == kept.run_id
