"""A report that is read after people have decided on its run."""

from __future__ import annotations

from relay_core.report.blocks import (
    Action,
    Block,
    Figure,
    Figures,
    Sentence,
    Steps,
    Verdict,
    text_of,
)
from relay_core.report.current import current_report
from relay_core.report.report import Chapter, Report

SENTENCE = Sentence(text_of("Think before you paint."))
FIGURES = Figures((Figure("walls", "Walls", 4),))
STEPS = Steps((text_of("Paint the wall."),))
PAINT = Action("paint", "Paint wall", "If the wall is dull")


def report(*chapters: tuple[Block, ...]) -> Report:
    return Report(
        run_id="r",
        tenant_id="acme",
        status="HELD",
        requested_at="2026-03-01T12:00:00Z",
        timezone="UTC",
        currency="USD",
        config_version=1,
        engine_version="1",
        is_compiled=True,
        verdict=Verdict("warn", "On hold", "The feed is on hold", ""),
        chapters=tuple(Chapter("c", "C", blocks) for blocks in chapters),
    )


def left(
    *chapters: tuple[Block, ...], status: str = "HELD", allowed: bool = True
) -> list[tuple[Block, ...]]:
    """Return the blocks of each chapter that is left of a report of a run on hold."""
    current = current_report(report(*chapters), status, lambda _: allowed)
    return [chapter.blocks for chapter in current.chapters]


def test_a_report_of_the_runs_status_is_whole() -> None:
    chapters = [(SENTENCE, PAINT), (STEPS,), (FIGURES,)]
    assert left(*chapters) == chapters


def test_an_action_that_is_not_possible_goes_with_the_sentences_on_it() -> None:
    assert left((SENTENCE, PAINT), (FIGURES, PAINT), allowed=False) == [
        (FIGURES,)
    ]


def test_steps_go_when_the_run_has_another_status() -> None:
    assert left((STEPS,), (FIGURES, STEPS), status="SUCCEEDED") == [(FIGURES,)]


def test_a_chapter_of_sentences_alone_stays() -> None:
    assert left((SENTENCE,), status="SUCCEEDED", allowed=False) == [(SENTENCE,)]
