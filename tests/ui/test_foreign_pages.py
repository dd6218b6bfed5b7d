"""What a foreign web page can do to Dagster's UI from an operator's browser: nothing.

Each attack is tried on `dagster-webserver` too, where it succeeds: else it would prove nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import dagster as dg
import pytest
from playwright.sync_api import Page

from relay_dagster.devstack.processes import (
    CODE,
    WEBSERVER,
    Stack,
    free_port,
    port_answers,
)
from ui.chromium import (
    REBOUND,
    Browser,
    find_chromium,
    open_browser,
    serving_a_page,
)
from ui.views import POLL_MILLISECONDS, SECONDS_TO_LOAD

pytestmark = pytest.mark.integration
BARE = "bare"
"""Dagster's own webserver, without the guard."""
_SELECTOR = (
    '{repositoryLocationName: "relay", repositoryName: "__repository__"}'
)


class TwoUis(Stack):
    """A stack with Dagster's own webserver beside ours."""

    def command(self, name: str) -> list[str]:
        if name != BARE:
            return super().command(name)
        port = str(self.ports[BARE])
        bare_command = [
            sys.executable,
            "-m",
            "dagster_webserver",
            "-h",
            self.host,
            "-p",
            port,
        ]
        return [*bare_command, "-w", str(self.workspace)]

    def readiness_check(self, name: str) -> Callable[[], bool]:
        if name != BARE:
            return super().readiness_check(name)
        return lambda: port_answers(self.host, self.ports[BARE])

    def planted(self) -> set[str]:
        """Return what mutations have left."""
        with dg.DagsterInstance.from_config(str(self.dagster_home)) as instance:
            return set(instance.get_dynamic_partitions("tenants"))

    def refusals(self) -> int:
        """Return how many requests our UI has refused."""
        return (
            self.services[WEBSERVER].log.read_text().count("ui_request_refused")
        )


@pytest.fixture(scope="module")
def uis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoUis]:
    find_chromium()
    with TwoUis(
        tmp_path_factory.mktemp("foreign"), ports={BARE: free_port()}
    ) as stack:
        stack.start(CODE, WEBSERVER, BARE)
        yield stack


@pytest.fixture(scope="module")
def browser(uis: TwoUis) -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(
    params=["localhost", "127.0.0.1"], ids=["other-site", "other-port"]
)
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Another origin's page in the operator's browser."""
    with serving_a_page() as port:
        browser.page.goto(f"http://{request.param}:{port}/")
        yield browser.page


def mutation(name: str) -> str:
    return (
        f'mutation {{ addDynamicPartition(partitionKey: "{name}", partitionsDefName: "tenants", '
        f"repositorySelector: {_SELECTOR}) {{ __typename }} }}"
    )


def acted(page: Page, script: str, argument: object) -> object:
    """Return what a page's script comes to; one that is never over is a fault."""
    limit = f"new Promise((_, fail) => setTimeout(fail, {SECONDS_TO_LOAD * 1000}, 'no answer'))"
    return page.evaluate(
        f"given => Promise.race([({script})(given), {limit}])", argument
    )


# Each is given the address of a UI's GraphQL, and a mutation.
ATTACKS = {
    "image": """([ui, query]) => {
        new Image().src = `${ui}?query=${encodeURIComponent(query)}`;
    }""",
    "fetch": """([ui, query]) => {
        fetch(`${ui}?query=${encodeURIComponent(query)}`, {method: "POST", mode: "no-cors"});
    }""",
    "json-as-text": """([ui, query]) => {
        const headers = {"Content-Type": "text/plain; application/json"};
        fetch(ui, {method: "POST", mode: "no-cors", headers, body: JSON.stringify({query})});
    }""",
    "form": """([ui, query]) => {
        const [frame, form] = ["iframe", "form"].map(name =>
            document.body.appendChild(document.createElement(name)));
        frame.name = form.target = ui;
        form.action = `${ui}?query=${encodeURIComponent(query)}`;
        Object.assign(form, {method: "post", enctype: "text/plain"}).submit();
    }""",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_foreign_page_runs_no_mutation(
    uis: TwoUis, page: Page, attack: str
) -> None:
    name = f"{attack}-from-{urlsplit(page.url).hostname}"
    before = uis.refusals()
    for ui in (BARE, WEBSERVER):
        page.evaluate(
            ATTACKS[attack],
            [f"{uis.url(ui)}/graphql", mutation(f"{name}-to-{ui}")],
        )
    wait_beside(page, lambda: uis.refusals() > before)
    wait_beside(page, lambda: f"{name}-to-{BARE}" in uis.planted())
    assert f"{name}-to-{WEBSERVER}" not in uis.planted()


def wait_beside(page: Page, look: Callable[[], bool]) -> None:
    """Wait until something holds, and let the page's requests out meanwhile."""
    deadline = time.monotonic() + SECONDS_TO_LOAD
    while not look():
        assert time.monotonic() < deadline
        page.wait_for_timeout(POLL_MILLISECONDS)


OPEN_SOCKET = """ui => new Promise(over => {
    const socket = new WebSocket(`${ui.replace("http", "ws")}/graphql`, "graphql-ws");
    socket.onopen = () => over("open");
    socket.onerror = () => over("refused");
})"""


def test_a_foreign_page_opens_no_websocket(uis: TwoUis, page: Page) -> None:
    assert acted(page, OPEN_SOCKET, uis.url(BARE)) == "open"
    assert acted(page, OPEN_SOCKET, uis.url(WEBSERVER)) == "refused"


def test_a_foreign_page_shows_no_button_of_ours_in_its_frame(
    uis: TwoUis, page: Page
) -> None:
    framed = {}
    for ui in (BARE, WEBSERVER):
        page.set_content(f'<iframe src="{uis.url(ui)}/server_info"></iframe>')
        page.wait_for_load_state("networkidle")
        framed[ui] = "dagster_version" in page.frames[1].content()
    assert framed == {BARE: True, WEBSERVER: False}


def test_a_name_that_was_bound_to_this_machine_reads_nothing(
    uis: TwoUis, browser: Browser
) -> None:
    answers = {}
    for ui in (BARE, WEBSERVER):
        answer = browser.page.goto(
            f"http://{REBOUND}:{uis.ports[ui]}/server_info"
        )
        assert answer is not None
        answers[ui] = (answer.status, "dagster_version" in answer.text())
    assert answers == {BARE: (200, True), WEBSERVER: (421, False)}


def test_the_own_page_runs_mutations_and_opens_websockets(
    uis: TwoUis, browser: Browser
) -> None:
    browser.page.goto(f"{uis.url(WEBSERVER)}/server_info")
    sent = """query => fetch("/graphql", {method: "POST", body: JSON.stringify({query}),
        headers: {"Content-Type": "application/json"}}).then(answer => answer.status)"""
    assert acted(browser.page, sent, mutation("own-page")) == 200
    assert "own-page" in uis.planted()
    assert acted(browser.page, OPEN_SOCKET, uis.url(WEBSERVER)) == "open"
