"""The one script of the pages: a run's progress, followed to its end whatever comes between."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from support.api_world import TENANT, ApiWorld, served
from support.fakes import served_platform
from ui.chromium import find_chromium, open_browser
from ui.views import sign_in

pytestmark = pytest.mark.integration
SECONDS = 60


@pytest.mark.parametrize("status", [None, 429, 503])
def test_a_request_that_fails_does_not_end_it(status: int | None) -> None:
    find_chromium()
    failed: list[str] = []

    def fail_once(route: Route) -> None:
        if route.request.resource_type != "fetch" or failed:
            route.fallback()
            return
        failed.append(route.request.url)
        if status is None:
            route.abort()
        else:
            route.fulfill(status=status, body="later")

    with served_platform() as platform:
        world = ApiWorld(platform)
        world.store_config()
        key = world.issue_key(TENANT)
        run_id = world.post_run().json()["run_id"]
        with served(world.app) as port, open_browser() as browser:
            page = browser.page
            page.goto(f"http://127.0.0.1:{port}/app/runs/{run_id}")
            sign_in(page, key)
            expect(page.locator("h1")).to_have_text("The run is in progress")
            page.route("**/app/runs/*", fail_once)
            with page.expect_request(
                lambda asked: asked.resource_type == "fetch"
            ):
                pass
            world.succeed(run_id)
            expect(page.locator("h1")).to_contain_text(
                "A new feed", timeout=SECONDS * 1000
            )
    assert len(failed) == 1
