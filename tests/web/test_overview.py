"""The overview: the live feed, the tasks, the vendors, the runs, and a tenant without any."""

from __future__ import annotations

import re

import pytest

from relay_core.domain.records import VendorResult
from relay_dagster.runs.ports import utc_now
from relay_dagster.transfers.pull_planner import PullPlanner
from relay_dagster.triggers.pulls import asked, failed
from support.builders import part_document, vendor_document
from support.html_page import read_page
from support.page_visitor import HOME, Visitor
from support.pulls_world import take_pull


def result(vendor_id: str = "vendor_1", **changes: object) -> VendorResult:
    facts = {
        "vendor_id": vendor_id,
        "status": "found",
        "uploaded_at": utc_now(),
        "age_hours": 0,
        "rows": 1200,
        "invalid_rows": 0,
        "skus_won": 900,
    }
    return VendorResult(**(facts | changes))  # type: ignore[arg-type]


def test_a_tenant_without_a_run_is_told_what_to_begin_with(
    visitor: Visitor,
) -> None:
    page = visitor.open(HOME)
    assert page.one("h1").text == "Create your first feed"
    assert "No runs yet." in page.text
    assert "vendor_1 has not been in a run yet." in page.text


def test_a_run_is_started_and_followed(visitor: Visitor) -> None:
    response = visitor.fill(visitor.open(HOME), "/runs")
    assert response.status_code == 303
    run_id = response.headers["location"].rpartition("/")[2]
    page = visitor.open(HOME)
    (button,) = (
        link
        for link in page.all("a")
        if link.attributes.get("class") == "button"
    )
    assert button.attributes["href"] == f"/app/runs/{run_id}"
    again = visitor.client.post(
        f"{HOME}/runs", data={"token": token_of(visitor)}
    )
    assert again.status_code == 409


def token_of(visitor: Visitor) -> str:
    return visitor.open(HOME).all("input")[0].attributes["value"]


def test_a_live_feed_has_its_age_and_its_vendors(visitor: Visitor) -> None:
    world = visitor.world
    run_id = world.post_run().json()["run_id"]
    world.succeed(run_id, result(), result("vendor_2", invalid_rows=12))
    world.store_config(vendor_document(), vendor_document("vendor_2"))
    page = visitor.open(HOME)
    assert "just now" in page.text
    assert "12 rows of vendor_2 were rejected." in page.text
    cells = [
        cell.text
        for cell in page.all("td")
        if cell.attributes.get("data-head") == "Rows"
    ]
    assert cells == ["1,200", "1,200"]


def test_a_list_that_cannot_be_pulled_is_something_to_do(
    visitor: Visitor,
) -> None:
    inbound = {"type": "s3", "s3_prefix": "tenants/acme/inbound/vendor_1/"}
    pull = {"url": "https://files.example.com/stock.csv?token=s3cr3t"}
    visitor.world.store_config(
        vendor_document(inbound={**inbound, "pull": pull})
    )
    platform = visitor.world.platform
    PullPlanner(platform).run()
    for times_listed in (0, 0, 1):
        platform.pulls.change("acme", "vendor_1", asked(utc_now()))
        leased = take_pull(platform.pulls, "acme", "vendor_1", utc_now())
        leased.finish(failed("the server answered 500", utc_now()))
        page = visitor.open(HOME)
        assert (
            page.text.count(
                "cannot be fetched from its server: the server answered 500."
            )
            == times_listed
        )
        assert "s3cr3t" not in page.text
        assert "Not in a run yet" in page.text


def test_a_pull_of_a_part_that_fails_is_named(visitor: Visitor) -> None:
    inbound = {"type": "s3", "s3_prefix": "tenants/acme/inbound/prices/"}
    pull = {"url": "https://files.example.com/prices.csv"}
    part = part_document(inbound={**inbound, "pull": pull})
    visitor.world.store_config(vendor_document(parts=[part]))
    platform = visitor.world.platform
    PullPlanner(platform).run()
    name = "vendor_1/prices"
    for _ in range(3):
        platform.pulls.change("acme", name, asked(utc_now()))
        leased = take_pull(platform.pulls, "acme", name, utc_now())
        leased.finish(failed("the server answered 500", utc_now()))
    assert (
        "The file of vendor_1/prices cannot be fetched from its server: "
        "the server answered 500."
    ) in visitor.open(HOME).text


def test_the_last_and_the_next_pull_of_a_vendor_are_shown(
    visitor: Visitor,
) -> None:
    inbound = {"type": "s3", "s3_prefix": "tenants/acme/inbound/vendor_1/"}
    pull = {"url": "https://files.example.com/stock.csv"}
    visitor.world.store_config(
        vendor_document(inbound={**inbound, "pull": pull})
    )
    platform = visitor.world.platform
    PullPlanner(platform).run()
    platform.pulls.change("acme", "vendor_1", asked(utc_now()))
    leased = take_pull(platform.pulls, "acme", "vendor_1", utc_now())
    leased.finish(failed("the server answered 500", utc_now()))
    page = visitor.open(HOME)
    assert "The last pull failed: the server answered 500" in page.text
    assert re.search(r"Next pull: \w{3} \d+, \d{4}", page.text)


def test_a_pause_is_shown_in_place_of_the_button(visitor: Visitor) -> None:
    platform = visitor.world.platform
    platform.pauses.begin("acme", "moving", "maintenance until noon")
    page = visitor.open(HOME)
    assert "Runs are paused: maintenance until noon" in page.text
    assert "moving" not in page.text
    assert page.all("button")[-1].text != "Start run"
    platform.pauses.begin("acme", "moving", None)
    assert "Contact your administrator" in visitor.open(HOME).text


def test_after_a_failed_run_no_file_is_shown_as_used(visitor: Visitor) -> None:
    world = visitor.world
    world.succeed(world.post_run().json()["run_id"], result())
    assert "Latest file" in visitor.open(HOME).text
    run_id = world.post_run().json()["run_id"]
    world.fail(run_id, result())
    page = visitor.open(HOME)
    assert "Not used, because the run failed" in page.text


def test_the_live_feed_can_be_downloaded(visitor: Visitor) -> None:
    world = visitor.world
    assert "Download feed" not in visitor.open(HOME).text
    world.succeed(world.post_run().json()["run_id"], result())
    (link,) = (
        link
        for link in visitor.open(HOME).all("a")
        if link.text == "Download feed"
    )
    answer = visitor.client.get(link.attributes["href"])
    assert answer.status_code == 302
    assert "/published/" in answer.headers["location"]


def test_a_tenant_without_vendors_has_no_run_to_start(visitor: Visitor) -> None:
    visitor.world.store_config(vendors=[])
    page = visitor.open(HOME)
    assert "Start run" not in page.text


def test_a_held_feed_is_the_first_thing_to_do(visitor: Visitor) -> None:
    held = visitor.world.hold_one()
    (first, *_) = visitor.open(HOME).one("ul").all("li")
    assert "A new feed is on hold" in first.text
    assert first.one("a").attributes["href"] == f"/app/runs/{held.run_id}"


def test_a_failed_run_says_what_to_do(visitor: Visitor) -> None:
    run_id = visitor.world.post_run().json()["run_id"]
    visitor.world.fail(run_id)
    (first, *_) = visitor.open(HOME).one("ul").all("li")
    assert "Check the vendor's latest file." in first.text
    assert first.one("a").attributes["href"] == f"/app/runs/{run_id}"


def test_times_are_those_of_the_tenant_s_zone(visitor: Visitor) -> None:
    visitor.world.store_config(
        vendor_document(),
        timezone="America/Chicago",
        triggers={"schedule": {"cron": "0 6 * * *"}},
    )
    visitor.world.post_run()
    page = visitor.open(HOME)
    assert re.search(
        r"Next scheduled run: \w{3} \d+, \d{4}, 6:00 AM \(America/Chicago\)",
        page.text,
    )
    assert "newest first. Time zone: America/Chicago" in page.text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rows": None}, "The latest run could not read the file of vendor_1."),
        ({"status": "last_good"}, "It used the last good file instead."),
        ({"status": "left_out"}, "It left the vendor out."),
        ({"status": "missing"}, "It found no file."),
        ({"invalid_rows": 1}, "1 row of vendor_1 was rejected."),
    ],
)
def test_a_vendor_whose_file_was_not_used_whole_is_a_task(
    visitor: Visitor, changes: dict[str, object], text: str
) -> None:
    run_id = visitor.world.post_run().json()["run_id"]
    visitor.world.succeed(run_id, result(**changes))
    (task,) = visitor.open(HOME).one("ul").all("li")
    assert text in task.text
    assert task.one("a").attributes["href"] == f"{HOME}/vendors/vendor_1"


def test_runs_that_are_paused_are_told_as_such(visitor: Visitor) -> None:
    overview = visitor.open(HOME)
    pause = {"tenant_id": "acme", "reason": "x", "public_reason": "until noon"}
    assert (
        visitor.world.client.post("/v1/admin/pause", json=pause).status_code
        < 300
    )
    response = visitor.fill(overview, "/runs")
    page = read_page(response.content)
    assert (response.status_code, page.one("h1").text) == (
        503,
        "Runs are paused",
    )
    assert "until noon" in page.text
