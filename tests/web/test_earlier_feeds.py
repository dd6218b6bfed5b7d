"""The earlier feeds of a tenant, and the rollback to one of them."""

from __future__ import annotations

import pytest

from relay_dagster.feeds.pointer import PublishedBy
from support.api_world import NOBODY_S_RUN, TENANT, ApiWorld
from support.html_page import Element, errors_on, read_page
from support.page_visitor import HOME, Visitor, signed_in

FEEDS = f"{HOME}/feeds"
NOTHING = "\u2013"  # the mark of an empty cell


def publish(world: ApiWorld) -> str:
    return world.succeed(world.post_run().json()["run_id"]).run_id


def live_run_id(world: ApiWorld) -> str:
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    return pointer.in_force.run_id


def cells_of(page: Element, head: str) -> list[str]:
    return [
        cell.text
        for cell in page.all("td")
        if cell.attributes.get("data-head") == head
    ]


def error_of(page: Element) -> str:
    (error,) = errors_on(page)
    return error.text


def test_an_earlier_feed_becomes_live_again_after_a_confirmation(
    visitor: Visitor,
) -> None:
    world = visitor.world
    first = publish(world)
    second = publish(world)
    (link,) = (
        link
        for link in visitor.open(HOME).all("a")
        if link.text == "Earlier feeds"
    )
    page = visitor.open(link.attributes["href"])
    assert page.one("h1").text == "Earlier feeds"
    assert cells_of(page, "Status") == ["Live", "Earlier"]
    assert cells_of(page, "Roll back") == [NOTHING, "Roll back"]
    assert [
        link.attributes["href"]
        for link in page.all("a")
        if link.text == "View run"
    ] == [f"/app/runs/{second}", f"/app/runs/{first}"]
    path = page.all("form")[-1].attributes["action"]
    assert path == f"{FEEDS}/{first}"
    question = visitor.open(path)
    assert question.one("h1").text == "Roll back to this feed?"
    assert [item.text for item in question.all("li")] == [
        "This feed becomes the live feed again, with the files of its channels. "
        "No guard checks it.",
        "It stays live until the next run publishes a feed.",
        "Your deliveries send it to their servers.",
    ]
    assert live_run_id(world) == second
    response = visitor.fill(question, path, reason="the prices were right")
    assert (response.status_code, response.headers["location"]) == (303, HOME)
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    assert pointer.in_force.run_id == first
    assert pointer.in_force.how is PublishedBy.ROLLBACK
    entries = world.client.get(
        "/v1/audit", params={"action": "feed.rolled_back"}
    ).json()["audit"]
    assert [entry["details"] for entry in entries] == [
        {"run_id_before": second, "reason": "the prices were right"}
    ]
    after = visitor.open(FEEDS)
    assert cells_of(after, "Status") == ["Live", "Earlier", "Earlier"]
    assert cells_of(after, "Roll back") == [NOTHING, "Roll back", NOTHING]
    live = visitor.open(path)
    assert live.one("h1").text == "This feed is live"
    assert len(live.all("form")) == 1


def test_a_rollback_says_that_it_discards_the_feed_on_hold(
    visitor: Visitor,
) -> None:
    world = visitor.world
    first = publish(world)
    held = world.hold_one()
    page = visitor.open(f"{FEEDS}/{first}")
    assert page.all("li")[-1].text == "The feed that is on hold is discarded."
    visitor.fill(page, first, reason="yesterday's was right")
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    assert (pointer.in_force.run_id, pointer.held_run_id) == (first, None)
    record = world.platform.runs.get(held.run_id)
    assert record is not None
    assert record.status == "CANCELLED"


@pytest.mark.parametrize(
    ("reason", "error"),
    [("  ", "Enter a reason."), ("x" * 501, "Enter at most 500 characters.")],
)
def test_a_rollback_needs_a_reason(
    visitor: Visitor, reason: str, error: str
) -> None:
    world = visitor.world
    first = publish(world)
    second = publish(world)
    page = visitor.open(f"{FEEDS}/{first}")
    response = visitor.fill(page, first, reason=reason)
    assert response.status_code == 422
    assert error_of(read_page(response.content)) == error
    assert live_run_id(world) == second


def test_refusals_stand_beside_the_form(visitor: Visitor) -> None:
    world = visitor.world
    first = publish(world)
    second = publish(world)
    page = visitor.open(f"{FEEDS}/{first}")
    run_id = world.post_run().json()["run_id"]
    busy = visitor.fill(page, first, reason="wrong prices")
    assert busy.status_code == 409
    again = read_page(busy.content)
    assert error_of(again) == (
        "Another run is in progress. Wait until it ends, or cancel it. "
        "Then try again."
    )
    assert again.one("textarea").text == "wrong prices"
    world.fail(run_id)
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    world.platform.objects.delete(pointer.publications[1].key)
    lost = visitor.fill(page, first, reason="wrong prices")
    assert lost.status_code == 409
    assert error_of(read_page(lost.content)) == (
        "The feed is no longer kept. Nothing was published. Choose another feed "
        "under Earlier feeds."
    )
    unknown = visitor.open(f"{FEEDS}/{NOBODY_S_RUN}", status=409)
    assert unknown.one("h1").text == "The feed is no longer kept"
    assert live_run_id(world) == second


def test_a_rollback_needs_the_scope_and_the_token(world: ApiWorld) -> None:
    world.store_config()
    assert "There are no feeds yet." in signed_in(world).open(FEEDS).text
    first = publish(world)
    second = publish(world)
    reader = signed_in(world, "read")
    page = reader.open(FEEDS)
    assert cells_of(page, "Status") == ["Live", "Earlier"]
    assert cells_of(page, "Roll back") == []
    actions = [form.attributes["action"] for form in page.all("form")]
    assert actions == ["/app/sign-out"]
    path = f"{FEEDS}/{first}"
    reader.open(path, status=403)
    token = page.all("input")[0].attributes["value"]
    form = {"token": token, "reason": "x"}
    assert reader.client.post(path, data=form).status_code == 403
    refused = signed_in(world).client.post(path, data={"reason": "x"})
    assert refused.status_code == 403
    assert "The form was not accepted" in refused.text
    assert live_run_id(world) == second


def test_the_feeds_of_another_tenant_are_not_there(visitor: Visitor) -> None:
    visitor.world.store_config(tenant_id="other")
    for path in ("", f"/{NOBODY_S_RUN}"):
        visitor.open(f"/app/tenants/other/feeds{path}", status=404)
