"""A watched run: what is shown of it, how long it is waited for, and what ends the watching."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
import typer
from rich.console import Console
from rich.text import Text

from relay_core.domain.codes import Stage
from relay_dagster.client.api_client import ApiClient
from relay_dagster.client.errors import ApiError, NoResponseError
from relay_dagster.client.run_watch import (
    MAX_SILENT_SECONDS,
    exit_status,
    watch,
)
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import Screen
from support.api_world import ADMIN
from support.builders import feed
from support.client_world import ClientWorld, served

GOOD = {"vendor_1": feed("A-1,5,10.00")}


@dataclass
class Watcher:
    """Watches from a console of its own; each pause is one of the acts, in order."""

    api: ApiClient
    acts: Sequence[Callable[[], object]] = ()
    terminal: bool = False
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out = io.StringIO()
        self.err = io.StringIO()
        out = Console(file=self.out, force_terminal=self.terminal, width=80)
        err = Console(file=self.err, width=200)
        self.session = Session(self.api, Screen(out, err), self.pause)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) <= len(self.acts):
            self.acts[len(self.pauses) - 1]()

    def lines(self) -> list[str]:
        """Return what was told, without the times at which it was."""
        return [
            line.split("  ", 1)[1] for line in self.out.getvalue().splitlines()
        ]


@pytest.fixture
def api(world: ClientWorld) -> Iterator[ApiClient]:
    with ApiClient(world.url, ADMIN) as api:
        yield api


def started(world: ClientWorld) -> str:
    world.api.store_config()
    return world.start()


def test_each_change_is_one_line_and_the_wait_is_as_long_as_the_api_asks(
    world: ClientWorld, api: ApiClient
) -> None:
    run_id = started(world)
    acts = [
        lambda: None,
        lambda: world.api.claim(run_id),
        lambda: world.platform.ledger.enter_stage(
            world.record(run_id).fence, Stage.NORMALIZE
        ),
        lambda: world.end(run_id, GOOD),
    ]
    watcher = Watcher(api, acts)
    record = watch(watcher.session, api.run(run_id))
    assert watcher.lines() == [
        "QUEUED  QUEUE  attempt 0",
        "RUNNING  FETCH_INPUTS  attempt 1",
        "RUNNING  NORMALIZE  attempt 1",
        "SUCCEEDED  COMPLETE  attempt 1",
    ]
    assert watcher.pauses == [2.0] * 4
    assert exit_status(watcher.session, record) == 0


def test_between_two_attempts_the_cause_and_the_time_of_the_next_are_told(
    world: ClientWorld, api: ApiClient
) -> None:
    run_id = started(world)
    fence = world.api.claim(run_id).fence
    world.platform.ledger.retry_later(fence, "ThrottledError", "S3 is\nbusy")
    watcher = Watcher(
        api, [lambda: world.platform.ledger.request_cancel(run_id)]
    )
    watch(watcher.session, api.run(run_id))
    assert "attempt 1 ended, ThrottledError: S3 is busy" in watcher.lines()[0]
    assert "next attempt at 2" in watcher.lines()[0]


def test_a_terminal_sees_the_stages_of_the_end_ticked(
    world: ClientWorld, api: ApiClient
) -> None:
    run_id = started(world)
    watcher = Watcher(api, [lambda: world.end(run_id, GOOD)], terminal=True)
    watch(watcher.session, api.run(run_id))
    drawn = Text.from_ansi(watcher.out.getvalue()).plain.splitlines()
    assert [line.split()[-1] for line in drawn[-6:]] == [
        str(stage) for stage in Stage
    ]
    assert all("✔" in line for line in drawn[-6:])


def test_who_stops_watching_is_told_that_the_run_goes_on(
    world: ClientWorld, api: ApiClient
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    run_id = started(world)
    watcher = Watcher(api, [interrupt])
    with pytest.raises(typer.Exit) as stopped:
        watch(watcher.session, api.run(run_id))
    assert stopped.value.exit_code == 130
    assert watcher.err.getvalue() == (
        f"Run {run_id} continues. Watch it again with: relay runs show {run_id} --watch\n"
    )


def test_an_api_that_is_away_for_a_while_is_waited_for(
    world: ClientWorld,
) -> None:
    run_id = started(world)
    with served(world.api) as url, ApiClient(url, ADMIN) as api:
        polled = api.run(run_id)
    port = int(url.rpartition(":")[2])
    with ExitStack() as stack, ApiClient(url, ADMIN) as api:
        acts = [
            lambda: None,
            lambda: None,
            lambda: (
                world.end(run_id, GOOD)
                and stack.enter_context(served(world.api, port))
            ),
        ]
        watcher = Watcher(api, acts)
        assert watch(watcher.session, polled).succeeded
    lines = watcher.lines()
    assert lines[1].startswith(
        f"No response, retrying. The API at {url} cannot be reached"
    )
    assert lines[2:] == ["SUCCEEDED  COMPLETE  attempt 1"]


def test_an_api_that_stays_away_ends_the_watching_and_says_how_to_look_again(
    world: ClientWorld, api: ApiClient
) -> None:
    run_id = started(world)
    with ApiClient("http://127.0.0.1:9", ADMIN) as nobody:
        watcher = Watcher(nobody)
        with pytest.raises(NoResponseError):
            watch(watcher.session, api.run(run_id))
    assert sum(watcher.pauses[1:]) == MAX_SILENT_SECONDS
    assert f"relay runs show {run_id} --watch" in watcher.err.getvalue()


def test_a_key_that_is_revoked_meanwhile_ends_the_watching_at_once(
    world: ClientWorld, api: ApiClient
) -> None:
    run_id = started(world)
    with ApiClient(world.url, "revoked") as stranger:
        watcher = Watcher(stranger)
        with pytest.raises(ApiError, match="RELAY_API_KEY"):
            watch(watcher.session, api.run(run_id))
    assert watcher.pauses == [2.0]
