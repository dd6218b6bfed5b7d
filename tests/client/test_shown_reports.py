"""`relay runs show` and report.html say the same of a run, of whatever kind the run is."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from relay_core.report import display
from relay_core.report.blocks import Bars, Block, Figures, Heading, Table
from relay_core.report.report import Report, read_report
from support.client_world import ClientWorld
from support.html_page import read_page
from support.run_kinds import KINDS
from support.run_world import World


def figures_in(block: Block, zone: ZoneInfo) -> Iterator[tuple[str, ...]]:
    """Yield the texts that belong together in each number or row of a block."""
    match block:
        case Heading(text=text, code=code):
            yield text, code, display.heading_total(block)
        case Figures(figures=figures):
            for figure in figures:
                yield display.figure(figure, zone), figure.label
        case Bars(bars=bars):
            for bar in bars:
                number = display.number(bar.value)
                yield number, display.bar_label(bar, block, zone)
        case Table(columns=columns, rows=rows):
            for row in rows:
                yield tuple(
                    cell.note
                    if cell.note and cell.value is None
                    else display.cell(cell, column.kind, zone)
                    for cell, column in zip(row, columns, strict=True)
                )


def figures_of(report: Report) -> list[tuple[str, ...]]:
    zone = ZoneInfo(report.timezone)
    return [
        texts for block in report.blocks() for texts in figures_in(block, zone)
    ]


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("kind", KINDS)
def test_show_and_the_page_print_every_figure_of_the_report(
    kind: str, world: ClientWorld, instance: dg.DagsterInstance
) -> None:
    run_id = KINDS[kind](World(world.platform, instance))
    artifacts = world.record(run_id).artifacts
    objects = world.platform.objects
    report = read_report(objects.read(artifacts["report_data"]))
    page = read_page(objects.read(artifacts["report"])).text
    result = world.relay("runs", "show", run_id)
    assert result.exit_code == 0, result.output
    figures = figures_of(report)
    assert len(figures) > 3
    lines = [one_line(line) for line in result.stdout.splitlines()]
    for texts in figures:
        figure_text = one_line(" ".join(texts))
        assert any(line.startswith(figure_text) for line in lines), figure_text
        assert all(one_line(text) in page for text in texts), texts
