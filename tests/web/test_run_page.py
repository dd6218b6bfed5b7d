"""The report of a run on its page: its blocks with links, and the forms of its actions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay_core.domain.codes import Stage
from relay_core.report.blocks import (
    Action,
    Block,
    Cell,
    Column,
    Figure,
    Figures,
    File,
    Files,
    Heading,
    Sentence,
    Steps,
    Table,
    Verdict,
    text_of,
)
from relay_core.report.report import Chapter, Report, report_json
from relay_dagster.runs.model import RunRecord
from support.api_world import ApiWorld
from support.fakes import held_outcome, published_outcome
from support.html_page import Element
from support.page_visitor import HOME, Visitor, signed_in

WALLS = Figures((Figure("walls", "Walls", 1200),))
STEPS = Steps((text_of("Paint the wall."),))
DISCARD = Action(
    "discard",
    "Discard feed",
    "If something is wrong",
    reason="Reason for discarding the feed",
    tone="bad",
)


def report_of(record: RunRecord, status: str, *blocks: Block) -> Report:
    return Report(
        run_id=record.run_id,
        tenant_id=record.tenant_id,
        status=status,
        requested_at="2026-03-01T12:00:00Z",
        timezone="UTC",
        currency="USD",
        config_version=1,
        engine_version="1",
        is_compiled=True,
        verdict=Verdict("warn", "Done, with doubts", "The wall is blue", "So."),
        chapters=(Chapter("walls", "Your walls", blocks),),
    )


def with_report(
    world: ApiWorld, record: RunRecord, outcome: Any, data: bytes
) -> Any:
    """Return the outcome with a report.json of these bytes."""
    key = record.keys.report_data
    world.platform.objects.put(key, data)
    return replace(outcome, artifacts={**outcome.artifacts, "report_data": key})


def succeeded(world: ApiWorld, *blocks: Block, data: bytes = b"") -> RunRecord:
    """End a run well with a report of these blocks."""
    record = world.claim(world.post_run().json()["run_id"])
    data = data or report_json(report_of(record, "SUCCEEDED", *blocks))
    outcome = published_outcome(world.platform, record)
    outcome = with_report(world, record, outcome, data)
    return world.platform.ledger.succeed(record.fence, outcome)


def held(world: ApiWorld, *blocks: Block) -> RunRecord:
    """Let the feed of a run be held back, with a report of these blocks."""
    world.succeed(world.post_run().json()["run_id"])
    ledger = world.platform.ledger
    record = world.claim(world.post_run().json()["run_id"])
    record = ledger.pin(record.fence, 1, "baseline-run")
    record = ledger.enter_stage(record.fence, Stage.WRITE_OUTPUTS)
    data = report_json(report_of(record, "HELD", *blocks))
    outcome = held_outcome(world.platform, record, {})
    outcome = with_report(world, record, outcome, data)
    return ledger.feeds.hold(record.fence, outcome)


def opened(visitor: Visitor, record: RunRecord) -> Element:
    return visitor.open(f"/app/runs/{record.run_id}")


def titles(page: Element) -> list[str]:
    return [heading.text for heading in page.all("h2")]


def addresses(page: Element) -> dict[str, str]:
    return {link.text: link.attributes["href"] for link in page.all("a")}


def forms(page: Element) -> list[str]:
    """Return the ends of the addresses of the forms, without the one of the frame."""
    ends = [
        form.attributes["action"].rpartition("/")[2]
        for form in page.all("form")
    ]
    return ends[1:]


def test_the_page_has_the_result_and_the_chapters_of_the_report(
    visitor: Visitor,
) -> None:
    page = opened(visitor, succeeded(visitor.world, WALLS))
    assert page.one("h1").text == "The wall is blue"
    assert "Done, with doubts" in page.text
    assert titles(page) == ["Your walls", "Files"]
    assert "Walls 1,200" in page.text


def test_a_report_that_cannot_be_read_leaves_the_numbers_of_the_record(
    visitor: Visitor,
) -> None:
    page = opened(visitor, succeeded(visitor.world, data=b"[]"))
    assert page.one("h1").text.startswith("A new feed")
    assert titles(page) == ["Files"]


def test_files_and_skus_lead_to_their_pages(visitor: Visitor) -> None:
    columns = (Column("sku", "SKU", "code"),)
    rows = ((Cell("A&1"),), (Cell("cut…"),))
    table = Table("t", "Caption", columns, rows, 5, artifact="merged_inventory")
    gone = File("gone", "Gone", "gone.csv", "lists nothing")
    record = succeeded(visitor.world, table, Files((gone,)))
    page = opened(visitor, record)
    links = addresses(page)
    run = f"/app/runs/{record.run_id}"
    assert links["A&1"] == f"{HOME}/skus?sku=A%261&run={record.run_id}"
    assert f"{run}/files/merged_inventory" in links.values()
    assert "lists 3 more." in page.text
    assert not {"cut…", "gone.csv"} & links.keys()


def test_an_action_has_the_form_of_its_name_as_long_as_it_is_possible(
    visitor: Visitor,
) -> None:
    unknown = Action("paint", "Paint wall", "If the wall is dull")
    record = held(visitor.world, WALLS, DISCARD, unknown)
    page = opened(visitor, record)
    assert forms(page) == ["cancel"]
    assert "Reason for discarding the feed" in page.text
    assert "Paint wall" not in page.text
    visitor.fill(page, "/cancel", reason="wrong")
    after = opened(visitor, record)
    assert (forms(after), titles(after)[0]) == ([], "Your walls")
    assert after.one("h1").text == "The run was cancelled"


def test_who_may_not_act_sees_the_report_without_its_actions(
    world: ApiWorld,
) -> None:
    world.store_config()
    record = held(world, Sentence(text_of("Decide.")), DISCARD)
    page = opened(signed_in(world, "read"), record)
    assert (forms(page), titles(page)) == ([], ["Files"])


def test_steps_are_shown_until_somebody_has_decided(visitor: Visitor) -> None:
    record = held(visitor.world, Heading("North"), STEPS, DISCARD)
    page = opened(visitor, record)
    assert "Paint the wall." in page.text
    visitor.fill(page, "/cancel", reason="wrong")
    assert "Paint the wall." not in opened(visitor, record).text


@pytest.mark.parametrize("text", ["<script>", "\u202e", "x" * 3_000])
def test_texts_of_a_report_are_escaped_and_cut(
    visitor: Visitor, text: str
) -> None:
    record = succeeded(visitor.world, Sentence(text_of(text)))
    page = opened(visitor, record)
    assert not page.all("script")
    assert text[:100] in page.text
    assert "x" * 2_001 not in page.text


def test_a_run_in_progress_shows_no_report(visitor: Visitor) -> None:
    record = visitor.world.claim(visitor.world.post_run().json()["run_id"])
    page = opened(visitor, record)
    assert page.one("h1").text == "The run is in progress"
    assert titles(page) == ["Cancel this run"]
