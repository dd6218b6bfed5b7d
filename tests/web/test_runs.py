"""A run's page: its result, and the decisions that people take there with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure, VendorResult
from relay_dagster.runs.model import Outcome, RunRecord
from support.api_world import NOBODY_S_RUN, TENANT, ApiWorld
from support.html_page import Element, errors_on, read_page
from support.page_visitor import HOME, Visitor, signed_in

SUMMARY = {
    "record_count": 1370,
    "total_rows": 10,
    "invalid_rows": 3,
    "unpriced_skus": 0,
    "rows": {
        "vendor_1": {
            "read": 10, "skipped": 0, "refused": 3, "duplicates": 0, "left_out": 0,
            "same_sku": 1, "outbid": 0, "unpriced": 0, "won": 6,
        }
    },
    "quarantined": 2,
}  # fmt: skip


def path_of(run_id: str) -> str:
    return f"/app/runs/{run_id}"


def audit(world: ApiWorld, action: str) -> dict[str, Any]:
    entries = world.client.get("/v1/audit", params={"action": action}).json()[
        "audit"
    ]
    entry: dict[str, Any] = entries[0]
    return entry


def test_a_held_feed_is_released_with_a_reason_as_it_was_shown(
    visitor: Visitor,
) -> None:
    held = visitor.world.hold_one()
    page = visitor.open(path_of(held.run_id))
    assert "is on hold" in page.one("h1").text
    assert "Tripped" in page.text
    response = visitor.fill(page, "/release", reason="the line is discontinued")
    assert response.headers["location"] == path_of(held.run_id)
    after = visitor.open(path_of(held.run_id))
    assert "released from hold. Reason: the line is discontinued" in after.text
    entry = audit(visitor.world, "run.released")
    assert (entry["actor"]["kind"], entry["target"]) == ("session", held.run_id)
    late = visitor.fill(page, "/cancel", reason="too late")
    assert (late.status_code, "The run has already ended" in late.text) == (
        409,
        True,
    )


def test_a_held_feed_is_discarded_with_a_reason(visitor: Visitor) -> None:
    held = visitor.world.hold_one()
    page = visitor.open(path_of(held.run_id))
    assert (
        visitor.fill(page, "/cancel", reason="prices are wrong").status_code
        == 303
    )
    assert "Canceled" in visitor.open(path_of(held.run_id)).text
    assert audit(visitor.world, "run.cancelled")["details"] == {
        "reason": "prices are wrong"
    }
    stale = visitor.fill(page, "/release", reason="no, they are right")
    assert stale.status_code == 409


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_decision_needs_a_reason(visitor: Visitor, reason: str) -> None:
    held = visitor.world.hold_one()
    page = visitor.open(path_of(held.run_id))
    for act in ("/release", "/cancel"):
        rejected = visitor.fill(page, act, reason=reason)
        assert rejected.status_code == 422
        again = read_page(rejected.content)
        (error,) = errors_on(again)
        expected_error = (
            "Enter at most 500" if reason.strip() else "Enter a reason."
        )
        assert expected_error in error.text
        fields = [
            text_area
            for text_area in again.all("textarea")
            if "aria-invalid" in str(text_area)
        ]
        (field,) = (
            f for f in fields if f.attributes.get("aria-invalid") == "true"
        )
        assert (
            error.attributes["id"]
            in field.attributes["aria-describedby"].split()
        )
        assert field.text == reason.strip()
        assert field.attributes["id"] == f"reason-{act[1:]}"
    assert visitor.world.platform.runs.get(held.run_id).status == "HELD"  # type: ignore[union-attr]


def test_a_feed_that_is_another_by_now_is_not_released(
    visitor: Visitor,
) -> None:
    held = visitor.world.hold_one()
    page = visitor.open(path_of(held.run_id))
    refused = visitor.fill(page, "/release", reason="seen", sha256="0" * 64)
    assert (
        refused.status_code,
        "The feed on hold has changed" in refused.text,
    ) == (
        412,
        True,
    )


def test_a_run_under_way_shows_how_far_it_is_and_can_be_cancelled(
    visitor: Visitor,
) -> None:
    run_id = visitor.world.post_run().json()["run_id"]
    answer = visitor.client.get(path_of(run_id))
    assert (
        "script-src 'self'; connect-src 'self'"
        in answer.headers["content-security-policy"]
    )
    page = visitor.open(path_of(run_id))
    (script,) = page.all("script")
    assert (script.text, script.attributes["src"].split("?")[0]) == (
        "",
        "/app/progress.js",
    )
    served = visitor.client.get(script.attributes["src"])
    assert served.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "Waiting to start." in page.text
    assert [
        link.text
        for link in page.all("a")
        if link.attributes["href"] == path_of(run_id)
    ]
    assert visitor.fill(page, "/cancel", reason="too early").status_code == 303
    cancelled = visitor.open(path_of(run_id))
    assert (
        "The run was cancelled" in cancelled.text,
        cancelled.all("script"),
    ) == (
        True,
        [],
    )


def test_a_failed_run_says_why_and_what_to_do(visitor: Visitor) -> None:
    run_id = visitor.world.post_run().json()["run_id"]
    visitor.world.fail(run_id)
    page = visitor.open(path_of(run_id))
    assert page.one("h1").text == "No new feed was made"
    assert "Details: decode error: vendor_1" in page.text
    assert "Next step: Check the vendor's latest file." in page.text


def test_a_failed_run_leads_to_the_files_that_it_could_not_use(
    visitor: Visitor,
) -> None:
    world = visitor.world
    record = world.claim(world.post_run().json()["run_id"])
    failure = RunFailure(
        "DECODE_ERROR", "decode error: vendor_1", Stage.NORMALIZE
    )
    results = (
        VendorResult("vendor_1", "found", None, None, None, None, None),
        VendorResult("vendor_2", "found", None, None, 5, 0, None),
        VendorResult("vendor_3", "found", None, None, 5, 1, None),
    )
    world.platform.ledger.fail(
        record.fence, failure, Outcome(vendor_results=results)
    )
    links = [
        link.attributes["href"]
        for link in visitor.open(path_of(record.run_id)).all("a")
        if link.text.startswith("Check the file of")
    ]
    vendors = f"/app/tenants/{TENANT}/vendors"
    assert links == [f"{vendors}/vendor_1/check", f"{vendors}/vendor_3/check"]


def end_with_two_suspects(world: ApiWorld) -> RunRecord:
    """End a run that has a summary, and two SKUs in its quarantine."""
    record = world.claim(world.post_run().json()["run_id"])
    summary = record.keys.run_summary
    quarantine = record.keys.quarantine
    world.platform.objects.put(summary, json.dumps(SUMMARY).encode())
    rows = "".join(
        f"<b>{n},keep,1.00,9.00,vendor_1,{n},2026-03-01T12:00:00Z\n"
        for n in range(2)
    )
    head = "sku,action,price_published,price_computed,vendor_id,row_number,suspect_since\n"
    world.platform.objects.put(quarantine, f"{head}{rows}".encode())
    artifacts = {"run_summary": summary, "quarantine": quarantine}
    end(world, record, artifacts)
    return record


def test_where_rows_went_and_what_is_quarantined_stand_there(
    visitor: Visitor,
) -> None:
    world = visitor.world
    record = end_with_two_suspects(world)
    page = visitor.open(path_of(record.run_id))
    assert page.one("h1").text == "A new feed with 1,370 SKUs"
    assert "Where the rows went" in page.text
    assert "<b>0" in page.text
    assert "These new prices are far from the published prices" in page.text
    assert "Mar 1, 2026" in page.text
    assert "SKUs that keep their published price, in USD" in page.text
    nothing = visitor.fill(page, "/accept", reason="which?")
    assert nothing.status_code == 422
    again = read_page(nothing.content)
    assert "Select at least one price." in again.text
    (reason,) = again.all("textarea")
    assert (reason.text, reason.attributes.get("aria-invalid")) == (
        "which?",
        None,
    )
    silent = read_page(
        visitor.fill(page, "/accept", sku="<b>1", reason=" ").content
    )
    assert "Enter a reason." in silent.text
    boxes = {
        box.attributes["value"]: "checked" in box.attributes
        for box in silent.all("input")
        if box.attributes["name"] == "sku"
    }
    assert boxes == {"<b>0": False, "<b>1": True}
    unknown = visitor.fill(page, "/accept", sku="<b>7", reason="that one")
    assert unknown.status_code == 404
    overview = visitor.open(HOME)
    assert "2 new prices to review." in overview.text
    one_price = visitor.fill(page, "/accept", sku="<b>1", reason="a sale")
    assert (
        one_price.headers["location"] == f"{path_of(record.run_id)}?accepted=1"
    )
    accepted = visitor.open(one_price.headers["location"])
    assert "1 price accepted" in accepted.text
    assert accepted.text.count("Mar 1, 2026 Accepted") == 1
    assert [
        field.attributes["value"]
        for field in accepted.all("input")
        if field.attributes["name"] == "sku"
    ] == ["<b>0"]
    assert "1 new price to review." in visitor.open(HOME).text
    assert_all_can_be_accepted(visitor, page)


def assert_all_can_be_accepted(visitor: Visitor, page: Element) -> None:
    everything = visitor.fill(
        page, "/accept", all="true", reason="a sale, all of it"
    )
    assert everything.headers["location"].endswith("?accepted=2")
    accepted = audit(visitor.world, "skus.accepted")
    assert accepted["actor"]["kind"] == "session"
    last_page = visitor.open(everything.headers["location"])
    assert last_page.text.count("Accepted") == 2
    assert last_page.all("textarea") == []
    assert "to review." not in visitor.open(HOME).text


@pytest.mark.parametrize(("count", "status"), [(1100, 403), (1101, 413)])
def test_a_form_of_too_many_fields_is_refused_before_its_fields_are_read(
    visitor: Visitor, count: int, status: int
) -> None:
    action = f"{path_of(NOBODY_S_RUN)}/accept"
    answer = visitor.client.post(action, data={"sku": ["A"] * count})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("form", "size", "status"),
    [
        ("accept", 1 << 20, 403),
        ("release", 64 << 10, 403),
        ("release", (64 << 10) + 1, 413),
    ],
)
def test_a_form_is_as_long_as_it_may_be(
    visitor: Visitor, form: str, size: int, status: int
) -> None:
    action = f"{path_of(NOBODY_S_RUN)}/{form}"
    body = b"reason=".ljust(size, b"x")
    for content in (body, iter([body[:7], body[7:]])):
        answer = visitor.client.post(action, content=content)
        assert answer.status_code == status


def test_a_sku_of_any_text_is_named_whole_and_shown_short(
    visitor: Visitor,
) -> None:
    world = visitor.world
    sku = "\u202e<b>" + "x" * 10_000
    record = world.claim(world.post_run().json()["run_id"])
    head = "sku,action,price_published,price_computed,vendor_id,row_number,suspect_since\n"
    row = f"{sku},keep,1.00,9.00,vendor_1,1,2026-03-01T12:00:00Z\n"
    world.platform.objects.put(record.keys.quarantine, f"{head}{row}".encode())
    summary = record.keys.run_summary
    world.platform.objects.put(summary, json.dumps(SUMMARY).encode())
    artifacts = {"run_summary": summary, "quarantine": record.keys.quarantine}
    end(world, record, artifacts)
    page = visitor.open(path_of(record.run_id))
    (box,) = (
        field
        for field in page.all("input")
        if field.attributes["name"] == "sku"
    )
    assert box.attributes["value"] == sku
    assert "x" * 2001 not in page.text


def end(world: ApiWorld, record: Any, artifacts: dict[str, str]) -> None:
    from dataclasses import replace

    from support.fakes import published_outcome

    outcome = published_outcome(world.platform, record)
    outcome = replace(outcome, artifacts={**outcome.artifacts, **artifacts})
    world.platform.ledger.succeed(record.fence, outcome)


def test_a_file_is_a_link_away(visitor: Visitor) -> None:
    record = visitor.world.succeed(visitor.world.post_run().json()["run_id"])
    page = visitor.open(path_of(record.run_id))
    (link,) = (a for a in page.all("a") if a.text == "Feed")
    answer = visitor.client.get(link.attributes["href"])
    assert (
        answer.status_code,
        "X-Amz-Signature" in answer.headers["location"],
    ) == (
        302,
        True,
    )
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert (
        visitor.client.get(f"{path_of(record.run_id)}/files/secret").status_code
        == 410
    )


def test_rows_without_a_product_and_products_without_an_offer_are_lists(
    visitor: Visitor,
) -> None:
    world = visitor.world
    record = world.claim(world.post_run().json()["run_id"])
    matched = {"sku_map": 1, "gtin": 1200, "mpn": 0, "sku": 4}
    catalog = {
        "rows": 1300,
        "matched_by": {"vendor_1": matched},
        "unmatched": 1,
        "ambiguous": 0,
        "uncovered": 1095,
    }
    summary = json.dumps({**SUMMARY, "catalog": catalog}).encode()
    keys = {
        "run_summary": record.keys.run_summary,
        "unmatched": record.keys.unmatched,
        "uncovered": record.keys.uncovered,
    }
    world.platform.objects.put(keys["run_summary"], summary)
    for name in ("unmatched", "uncovered"):
        world.platform.objects.put(keys[name], b"sku\n")
    end(world, record, keys)
    page = visitor.open(path_of(record.run_id))
    assert "Your products" in [heading.text for heading in page.all("h3")]
    assert "vendor_1 1 1,200 0 4" in page.text
    assert "Rows without a product 1 row" in page.text
    assert "Products without an offer 1,095 products" in page.text
    links = [
        link.attributes["href"]
        for link in page.all("a")
        if link.text in ("unmatched.csv", "uncovered.csv")
    ]
    for name, link in zip(("unmatched", "uncovered"), links, strict=True):
        assert link == f"{path_of(record.run_id)}/files/{name}"
        location = visitor.client.get(link).headers["location"]
        assert f"reports/{name}.csv" in location


def test_a_run_that_merged_nothing_has_no_list_of_products_without_an_offer(
    visitor: Visitor,
) -> None:
    world = visitor.world
    record = world.claim(world.post_run().json()["run_id"])
    catalog = {
        "rows": 2,
        "matched_by": {},
        "unmatched": 0,
        "ambiguous": 0,
        "uncovered": None,
    }
    summary = json.dumps({**SUMMARY, "catalog": catalog}).encode()
    world.platform.objects.put(record.keys.run_summary, summary)
    end(world, record, {"run_summary": record.keys.run_summary})
    text = visitor.open(path_of(record.run_id)).text
    assert "Rows without a product 0 rows" in text
    assert "without an offer" not in text
    assert "unmatched.csv" not in text


def test_scopes_decide_what_is_offered_and_what_is_taken(
    world: ApiWorld,
) -> None:
    world.store_config()
    held = world.hold_one()
    reader = signed_in(world, "read")
    full = signed_in(world)
    page = reader.open(path_of(held.run_id))
    actions = [form.attributes["action"] for form in page.all("form")]
    assert actions == ["/app/sign-out"]
    token = page.all("input")[0].attributes["value"]
    decision = full.open(path_of(held.run_id))
    assert len(decision.all("textarea")) == 2
    for act in ("release", "cancel"):
        form = {"token": token, "reason": "x"}
        refused = reader.client.post(f"{path_of(held.run_id)}/{act}", data=form)
        assert (
            refused.status_code,
            "a key with the scope" in refused.text,
        ) == (
            403,
            True,
        )


def test_a_run_of_another_tenant_is_not_there(world: ApiWorld) -> None:
    world.store_config()
    world.store_config(tenant_id="other")
    posted = world.client.post(
        "/v1/runs", json={"tenant_id": "other", "run_type": "inventory_sync"}
    ).json()
    visitor = signed_in(world)
    for run_id in (posted["run_id"], NOBODY_S_RUN):
        for act in ("", "/files/report"):
            assert (
                visitor.client.get(f"{path_of(run_id)}{act}").status_code == 404
            )
        token = (
            visitor.open(f"/app/tenants/{TENANT}")
            .all("input")[0]
            .attributes["value"]
        )
        form = {"token": token, "reason": "x", "sha256": "0"}
        for act in ("release", "cancel"):
            answer = visitor.client.post(f"{path_of(run_id)}/{act}", data=form)
            assert answer.status_code == 404
