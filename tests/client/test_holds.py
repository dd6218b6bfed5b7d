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
    out = io.StringIO()
    err = io.StringIO()
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
    result = world.relay("runs", "show", held.run_id)
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[1] == "HELD: the feed is not published"
    words = [" ".join(line.split()) for line in lines]
    assert "SKUs removed Tripped 90% 50% 18 of 20" in words
    assert "A-1 10.00 removed" in words
    at = words.index("SKUs by kind of change")
    assert words[at + 1 : at + 3] == [
        "0 New in the feed",
        "18 Removed from the feed",
    ]
    assert command_in(result.stdout) == (
        f"relay feed release {held.run_id} --sha256 {sha256(held)} --guard skus_removed "
        "--reason 'why the feed is correct'"
    )


def test_the_command_that_show_gives_releases_the_run(
    world: ClientWorld,
) -> None:
    held = world.api.hold_one()
    command = command_in(world.relay("runs", "show", held.run_id).stdout)
    result = world.relay(*shlex.split(command)[1:])
    assert (result.exit_code, result.stderr) == (0, "")
    assert (
        result.stdout
        == f"Run {held.run_id} of {TENANT} is released, and its feed is published.\n"
    )
    assert published_run(world) == held.run_id


def test_a_run_that_was_released_shows_by_whom_and_why_and_proposes_nothing(
    world: ClientWorld,
) -> None:
    held = world.api.hold_one()
    options = (
        "--sha256",
        sha256(held),
        "--guard",
        "skus_removed",
        "--reason",
        "a clearance",
    )
    world.relay("feed", "release", held.run_id, *options)
    output = world.relay("runs", "show", held.run_id).stdout
    assert ": a clearance\n" in output
    assert "18 of 20" in output
    assert "relay feed release" not in output


def test_a_held_run_that_is_watched_ends_with_status_3_and_its_guards(
    world: ClientWorld,
) -> None:
    held = world.api.hold_one()
    result = world.relay("runs", "show", held.run_id, "--watch")
    assert result.exit_code == 3, result.output
    assert result.stderr == "HELD: skus_removed\n"


def test_a_run_that_is_started_and_held_ends_with_status_3_and_how_to_look_at_it(
    world: ClientWorld,
) -> None:
    world.api.succeed(world.start())
    command = ("run", TENANT, "--idempotency-key", "once")
    run_id = world.relay(*command).stdout.strip()
    world.api.hold(run_id)
    result = world.relay(*command, "--watch")
    assert result.exit_code == 3, result.output
    hint, last = result.stderr.splitlines()
    assert hint.endswith(f": relay runs show {run_id}")
    assert last == "HELD: skus_removed"


# --- relay feed release ---------------------------------------------------------------------------


def test_where_nobody_can_be_asked_nothing_is_released_and_the_command_is_given(
    world: ClientWorld,
) -> None:
    held = world.api.hold_one()
    result = world.relay(
        "feed", "release", held.run_id, "--reason", "it's a clearance"
    )
    assert result.exit_code == 1
    assert "skus_removed: 18 of 20" in result.stdout
    assert world.record(held.run_id).status is RunStatus.HELD
    assert (
        world.relay(*shlex.split(command_in(result.stderr))[1:]).exit_code == 0
    )
    assert world.record(held.run_id).release_reason == "it's a clearance"


def test_without_a_reason_the_hold_is_shown_and_asked_about_too(
    world: ClientWorld, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = world.api.hold_one()
    result = world.relay("feed", "release", held.run_id)
    assert result.exit_code == 1
    assert "skus_removed: 18 of 20" in result.stdout
    assert "--reason 'why the feed is correct'" in result.stderr
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
    with pytest.raises(typer.Exit) as system_exit:
        release(session, held.run_id, "a clearance")
    assert (system_exit.value.exit_code, err.getvalue()) == (
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
    result = world.relay(
        "feed", "release", held.run_id, *named, "--reason", "r"
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{code}: ")
    assert world.record(held.run_id).status is RunStatus.HELD


def test_a_hash_without_guards_is_bad_usage(world: ClientWorld) -> None:
    held = world.api.hold_one()
    result = world.relay(
        "feed",
        "release",
        held.run_id,
        "--sha256",
        sha256(held),
        "--reason",
        "r",
    )
    assert result.exit_code == 2
    assert "--guard" in result.stderr


def test_a_run_that_is_not_held_has_nothing_to_release(
    world: ClientWorld,
) -> None:
    run = world.api.succeed(world.start())
    result = world.relay("feed", "release", run.run_id, "--reason", "r")
    assert result.exit_code == 1
    assert (
        result.stderr
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
        result = world.relay(
            "feed", "rollback", TENANT, first.run_id, "--reason", "wrong prices"
        )
        assert result.exit_code == 0, result.output
        assert (
            result.stdout
            == f"The feed of run {first.run_id} is published again for {TENANT}.\n"
        )
    assert published_run(world) == first.run_id


def test_a_feed_that_is_not_kept_is_not_rolled_back_to(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    published = world.api.succeed(world.start())
    result = world.relay(
        "feed", "rollback", TENANT, NOBODY_S_RUN, "--reason", "r"
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("FEED_NOT_KEPT: ")
    assert published_run(world) == published.run_id
