"""The operators' pages in a headless Chromium, on the real stack: what is read there, and drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from unittest import mock
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from integration.waiting import wait_for
from relay_dagster.devstack.processes import CODE
from ui.chromium import Browser, find_chromium, open_browser
from ui.exhibits import HISTORY, Exhibits, exhibited
from ui.views import (
    API_PAGE,
    CALLS,
    CODE_LOCATIONS,
    FRAMEWORK,
    LAUNCH,
    LAUNCHPAD,
    NUMBERS,
    PAGES,
    VIEWS,
    View,
    assert_finished,
    press,
    visit,
)

pytestmark = pytest.mark.integration
BY_NAME = {view.name: view for view in VIEWS}
# Dagster's log renders the rows that are in sight.
WHOLE_LOG = 4000
RUN_MILLISECONDS = 90_000
# A line is blue; the grid and its labels are grey.
DRAWN = """canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] > 200 && data[at + 2] - data[at] > 80) return true;
    }
    return false;
}"""


@pytest.fixture(scope="module")
def exhibits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exhibits]:
    """Start the stack and do the runs, once for all tests; where no Chromium is, say so first."""
    find_chromium()
    with (
        mock.patch.dict(os.environ),
        exhibited(tmp_path_factory.mktemp("ui")) as new_exhibits,
    ):
        yield new_exhibits


@pytest.fixture(scope="module")
def chromium(exhibits: Exhibits) -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.refused.clear()
    return chromium


@pytest.mark.parametrize(
    "view", [*VIEWS, *PAGES, LAUNCHPAD, API_PAGE], ids=lambda view: view.name
)
def test_a_page_shows_what_is_looked_for_and_asks_nothing_of_the_world(
    browser: Browser, exhibits: Exhibits, view: View
) -> None:
    visit(browser, view, exhibits)
    assert browser.refused == []


@pytest.mark.parametrize("view", PAGES, ids=lambda view: view.name)
def test_axe_finds_no_fault_of_a_merchant_s_or_a_supplier_s_page_and_nothing_hangs_over(
    browser: Browser, exhibits: Exhibits, view: View
) -> None:
    visit(browser, view, exhibits)
    assert_finished(browser.page)


@pytest.mark.parametrize("name", ["failed_run", "failed_run_error"])
def test_a_failed_run_says_our_code_before_any_of_the_framework_s_calls(
    browser: Browser, exhibits: Exhibits, name: str
) -> None:
    text = visit(browser, replace(BY_NAME[name], height=WHOLE_LOG), exhibits)
    assert "STEP_FAILURE" in text
    ours = text.partition(CALLS)[0]
    assert f"DECODE_ERROR: {exhibits.failed['error_message']}" in ours
    assert [word for word in FRAMEWORK if word in ours] == []


def test_each_number_is_drawn(browser: Browser, exhibits: Exhibits) -> None:
    visit(browser, replace(BY_NAME["plots"], height=WHOLE_LOG), exhibits)
    charts = browser.page.locator("canvas")
    # Beside these, Dagster draws its own count of rows, and one tenant has prices set aside.
    assert charts.count() == len(NUMBERS) + 2
    for place in range(charts.count()):
        browser.page.wait_for_function(
            DRAWN, arg=charts.nth(place).element_handle()
        )


def test_an_address_that_is_pressed_is_copied_and_leads_to_the_file(
    browser: Browser, exhibits: Exhibits
) -> None:
    visit(browser, BY_NAME["tenant"], exhibits)
    objects = exhibits.relay.aws.objects
    key = exhibits.latest["artifacts"]["merged_inventory"]
    browser.page.get_by_text(objects.uri(key), exact=True).first.click()
    copied = str(browser.page.evaluate("navigator.clipboard.readText()"))
    assert copied == objects.uri(key)
    assert objects.read(
        copied.removeprefix(f"s3://{objects.bucket}/")
    ).startswith(b"sku,")


def test_each_tenant_s_verdict_is_the_one_of_its_latest_run(
    browser: Browser, exhibits: Exhibits
) -> None:
    checks = BY_NAME["checks"]
    partitions = replace(
        checks,
        address=lambda ex: (
            f"{checks.address(ex)}&checkDetail=invalid_rows_within_max"
        ),
        texts=lambda ex: [HISTORY, "Passed (6)", "Failed (1)", "Missing (0)"],
        act=press("Execution history", "Partitions"),
    )
    visit(browser, partitions, exhibits)


def test_the_api_s_page_calls_the_api(
    browser: Browser, exhibits: Exhibits
) -> None:
    called = replace(
        API_PAGE,
        act=press("/v1/health", "Execute"),
        texts=lambda ex: [
            "Request URL",
            f"{ex.api}/v1/health",
            '"status": "ok"',
        ],
    )
    visit(browser, called, exhibits)
    assert browser.refused == []


def test_a_code_server_that_died_is_failed_and_loaded_when_it_is_back(
    browser: Browser, exhibits: Exhibits
) -> None:
    def shows(*texts: str) -> bool:
        page_text = visit(browser, CODE_LOCATIONS, exhibits)
        return all(text in page_text for text in texts)

    exhibits.relay.kill(CODE)
    try:
        wait_for(
            "its page says Failed",
            lambda: shows("Failed", "View error"),
            within=60,
        )
    finally:
        exhibits.relay.start(CODE)
    wait_for("its page says Loaded", lambda: shows("Loaded"), within=60)


def test_what_a_page_asks_of_the_world_is_refused_and_told(
    browser: Browser, exhibits: Exhibits
) -> None:
    outside = "http://relay.example/pixel.png"
    browser.page.goto(f"{exhibits.dagster}/server_info")
    with browser.page.expect_event("requestfailed"):
        browser.page.set_content(f'<img src="{outside}">')
    assert browser.refused == [outside]


def test_a_sensor_is_switched_off_and_on_again(
    browser: Browser, exhibits: Exhibits
) -> None:
    switch = browser.page.get_by_role("checkbox").first
    for is_on in (False, True):
        visit(browser, BY_NAME["sensor"], exhibits)
        expect(switch).to_be_checked(checked=not is_on)
        switch.locator("xpath=..").click()
        expect(switch).to_be_checked(checked=is_on)


def test_a_run_that_is_launched_by_hand_is_followed_to_its_end(
    browser: Browser, exhibits: Exhibits
) -> None:
    materialize = press(
        "Materialize all…", "Select a partition or create one", HISTORY
    )
    sockets: list[str] = []
    browser.page.on("websocket", lambda socket: sockets.append(socket.url))
    launched = replace(
        BY_NAME["materialize"], act=materialize, texts=lambda ex: [LAUNCH]
    )
    visit(browser, launched, exhibits)
    press(LAUNCH, "Launch 1 run", "View")(browser.page)
    # Nothing is asked anew: what comes is told over the WebSocket.
    expect(browser.page.get_by_text("RUN_SUCCESS").first).to_be_visible(
        timeout=RUN_MILLISECONDS
    )
    assert {urlsplit(url).path for url in sockets} == {"/graphql"}
