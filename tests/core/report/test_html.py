"""The page: readable by everybody, running and fetching nothing, whatever stands in a feed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import jinja2
import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import ReportEntry, RunFailure
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.report import html as html_module
from relay_core.report.blocks import Bar, Bars
from relay_core.report.contents import report_of
from relay_core.report.html import BlockView, load_templates, report_html
from relay_core.report.templating import pages
from support.builders import REQUESTED_AT, feed, run_context
from support.html_page import Element, read_page
from support.reported_runs import ReportedRun, go_through

MANY = [f"SKU-{n:03},5,{n}.00" for n in range(1, 41)]
HOSTILE = (
    "\"'><script>alert(1)</script></style><img src=//x onerror=a>"
    "{{ 7 * 7 }}{% raw %}&amp;\x01"
)
SHOWN = HOSTILE.replace("\x01", "␁")


def succeeded() -> ReportedRun:
    return go_through(
        {
            "north": feed(*MANY),
            "south": feed("SKU-001,1,0.50", "FREE,1,", "X,many,1.00"),
        },
        uploaded_at={"north": REQUESTED_AT - timedelta(hours=3)},
    )


def held() -> ReportedRun:
    moved = [f"SKU-{n:03},{n % 2},{n * 3}.00" for n in range(1, 16)]
    published = go_through({"north": feed(*MANY)})
    return go_through(
        {"north": feed(*moved, "NEW,1,1.00")}, baseline=published.baseline
    )


def failed() -> ReportedRun:
    return go_through(
        {"north": feed(*MANY), "south": b"\xff\xfe\xff", "west": feed("A,x,1")}
    )


def left_out() -> ReportedRun:
    return go_through(
        {"north": feed(*MANY), "south": b"\xff"},
        vendors={"north": {}, "south": {"on_trouble": "leave_out"}},
    )


def html_of(status: RunStatus, findings: RunFindings) -> bytes:
    return report_html(report_of(run_context(), findings, status))


PAGES: Mapping[str, Callable[[], bytes]] = {
    "succeeded": lambda: succeeded().html,
    "held": lambda: held().html,
    "failed": lambda: failed().html,
    "left out": lambda: left_out().html,
    "cancelled": lambda: html_of(
        RunStatus.CANCELLED, RunFindings(scope=RunScope(["north"]))
    ),
    "reported by the reconciler": lambda: html_of(
        RunStatus.FAILED, _poisoned()
    ),
}


def _poisoned() -> RunFindings:
    failure = RunFailure(
        "POISON_JOB", "attempts used up (3 of 3)", Stage.NORMALIZE
    )
    return RunFindings(scope=RunScope(["north"], vendor_count=1)).failed(
        failure
    )


@pytest.fixture(params=PAGES, scope="module")
def html(request: pytest.FixtureRequest) -> bytes:
    return PAGES[request.param]()


@pytest.fixture(scope="module")
def page(html: bytes) -> Element:
    return read_page(html)


# --- nothing runs, nothing is fetched -----------------------------------------------------------


def test_nothing_runs_and_nothing_is_fetched(
    html: bytes, page: Element
) -> None:
    assert (
        page.all(
            "script",
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
            "a",
        )
        == []
    )
    names = {name for element in page.all() for name in element.attributes}
    assert not {name for name in names if name.startswith("on")}
    assert names.isdisjoint(
        {"src", "href", "xlink:href", "srcset", "action", "style"}
    )
    assert not re.search(r"url\(|@import|https?:|javascript:", html.decode())


def test_the_browser_is_told_to_run_and_fetch_nothing(page: Element) -> None:
    first, second = page.one("head").all("meta")[:2]
    assert first.attributes == {"charset": "utf-8"}
    assert second.attributes["http-equiv"] == "Content-Security-Policy"
    policy = second.attributes["content"]
    assert policy.startswith(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    )
    assert "script" not in policy


# --- who reads it without eyes, on a phone, on paper --------------------------------------------


def test_the_page_says_its_language_and_its_title(page: Element) -> None:
    assert page.one("html").attributes["lang"] == "en"
    (title,) = page.one("head").all("title")
    assert "acme" in str(title.parts[0])
    (viewport,) = [
        m for m in page.all("meta") if m.attributes.get("name") == "viewport"
    ]
    assert (
        viewport.attributes["content"] == "width=device-width, initial-scale=1"
    )


def test_there_is_one_first_heading_and_no_level_is_left_out(
    page: Element,
) -> None:
    levels = [
        int(heading.tag[1])
        for heading in page.all("h1", "h2", "h3", "h4", "h5", "h6")
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    assert all(heading.text for heading in page.all("h1", "h2", "h3"))


def test_each_table_has_a_caption_and_each_head_says_what_it_is_of(
    page: Element,
) -> None:
    for table in page.all("table"):
        assert table.one("caption").text
        heads = table.one("thead").all("th")
        assert {head.attributes["scope"] for head in heads} == {"col"}
        for row in table.one("tbody").all("tr"):
            cells = row.all("th", "td")
            assert len(cells) == len(heads)
            assert [
                cell.attributes.get("scope")
                for cell in cells
                if cell.tag == "th"
            ] == ["row"]


def test_a_table_that_is_too_wide_can_be_moved_by_keyboard(
    page: Element,
) -> None:
    names = {element.attributes.get("id") for element in page.all()}
    regions = [
        division
        for division in page.all("div")
        if division.attributes.get("role") == "region"
    ]
    assert len(regions) == len(page.all("table"))
    for region in regions:
        assert region.attributes["tabindex"] == "0"
        assert region.attributes["aria-labelledby"] in names


def test_a_chart_says_in_words_what_it_shows(page: Element) -> None:
    outer = [chart for chart in page.all("svg") if "role" in chart.attributes]
    for svg in outer:
        title = svg.all("title")[0]
        text = svg.all("desc")[0]
        assert svg.attributes["role"] == "img"
        named = svg.attributes["aria-labelledby"].split()
        assert named == [title.attributes["id"], text.attributes["id"]]
        assert title.parts
        assert text.parts
    hidden = [
        chart for chart in page.all("svg") if "viewbox" in chart.attributes
    ]
    assert {chart.attributes["aria-hidden"] for chart in hidden} == {"true"}


def test_no_name_is_given_twice(page: Element) -> None:
    names = [
        element.attributes["id"]
        for element in page.all()
        if "id" in element.attributes
    ]
    assert len(names) == len(set(names))


# --- colours ------------------------------------------------------------------------------------

CSS = (Path(html_module.__file__).parent / "templates" / "page.css").read_text(
    "utf-8"
)
PAIRS = [
    *((ink, ground) for ink in ("ink", "soft") for ground in ("card", "page")),
    *((tone, "card") for tone in ("good", "warn", "bad", "idle", "accent")),
    *(("bad", "bad-page"), ("ink", "idle-page")),
]


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("pair", PAIRS, ids=" on ".join)
def test_words_stand_out_from_their_ground(
    scheme: str, pair: tuple[str, str]
) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    colors = dict(
        re.findall(
            r"--([a-z-]+): (#[0-9a-f]{6});", dark if scheme == "dark" else light
        )
    )
    low, high = sorted(luminance(colors[name]) for name in pair)
    assert (high + 0.05) / (low + 0.05) >= 4.5


# --- bars ---------------------------------------------------------------------------------------


def drawn(bars: Bars) -> list[tuple[str, str]]:
    """Return where each bar starts and how long it is, in percent."""
    view = BlockView(go_through({"north": feed("A,1,1")}).report)
    return [(bar.start, bar.length) for bar in view.bars(bars)]


def bars_of(*numbers: int, parts_of: int | None = None) -> Bars:
    bars = tuple(Bar(f"b{n}", "", n) for n in numbers)
    return Bars("b", "B", bars, parts_of=parts_of)


def test_a_bar_is_as_long_as_its_part_of_the_longest() -> None:
    assert drawn(bars_of(0, 1, 3)) == [
        ("0.0", "0.0"),
        ("0.0", "33.3"),
        ("0.0", "100.0"),
    ]
    assert drawn(bars_of(0)) == [("0.0", "0.0")]
    assert drawn(bars_of()) == []


def test_the_parts_of_a_total_follow_each_other() -> None:
    assert drawn(bars_of(1, 3, parts_of=8)) == [
        ("0.0", "12.5"),
        ("12.5", "37.5"),
    ]


# --- what others write --------------------------------------------------------------------------


def hostile_runs() -> list[ReportedRun]:
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    rows = [f'{quoted[:-1]}{n:02}",5,{n}.00' for n in range(1, 31)]
    published = go_through({"north": feed(*rows)})
    moved = [
        line.replace(",5,", ",0,").replace(".00", "9.00") for line in rows[:12]
    ]
    refused = [f"A{n},{quoted},1" for n in range(3)]
    unpriced = [f"{quoted},1,"]
    return [
        go_through(
            {"north": feed(*moved, *refused, *unpriced)},
            baseline=published.baseline,
        ),
        go_through({"north": feed(header=f"sku,{quoted}")}),
    ]


def test_what_others_write_is_text_and_nothing_else() -> None:
    for run in hostile_runs():
        findings = run.findings
        ctx = run_context(tenant_id=HOSTILE, run_id=HOSTILE)
        page = read_page(report_html(report_of(ctx, findings, findings.status)))
        assert page.all("script", "img") == []
        assert len(page.all("style")) == 1
        assert SHOWN in page.text
        harmless = read_page(run.html)
        assert [element.tag for element in page.all()] == [
            element.tag for element in harmless.all()
        ]


@pytest.mark.parametrize("place", ["sku of a guard", "message", "vendor"])
def test_hostile_words_can_be_read_where_they_stand(place: str) -> None:
    if place == "message":
        failure = RunFailure("invalid_input", HOSTILE, Stage.NORMALIZE)
        findings = RunFindings().failed(failure)
    elif place == "vendor":
        findings = go_through({"north": feed("A,1,1")}).findings
        states = {HOSTILE: findings.states["north"]}
        scope = RunScope([HOSTILE])
        findings = replace(findings, scope=scope, states=states)
    else:
        findings = hostile_runs()[0].findings
    page = read_page(html_of(findings.status, findings))
    assert SHOWN in page.one("main").text


def test_an_endless_report_stays_within_two_mebibytes() -> None:
    vendors = {
        f"{'v' * 60}{n:03}": {"on_trouble": "leave_out"} for n in range(200)
    }
    run = go_through(
        {name: feed(*MANY[:2]) for name in vendors}, vendors=vendors
    )
    long = "'" * 1_000_000
    warnings = [
        ReportEntry("EMPTY_FEED", long, vendor_id=name) for name in vendors
    ]
    warnings += [
        ReportEntry("UNPRICED_SKU", "", sku=long) for _ in range(2_000)
    ]
    faults = [ReportEntry("DECODE_ERROR", long) for _ in vendors]
    for status, failure in (
        (RunStatus.SUCCEEDED, None),
        (
            RunStatus.FAILED,
            RunFailure("DECODE_ERROR", long, Stage.NORMALIZE, tuple(vendors)),
        ),
    ):
        findings = replace(
            run.findings,
            warnings=warnings,
            unpriced_skus=2_000,
            failure=failure,
            faults=faults,
        )
        html = html_of(status, findings)
        assert len(html) < 2 << 20
        assert read_page(html).all("h1")


def test_a_vendor_too_many_is_told_of_in_number() -> None:
    findings = go_through({"north": feed("A,1,1")}).findings
    names = [f"v{n}" for n in range(203)]
    states = dict.fromkeys(names, findings.states["north"])
    findings = replace(findings, scope=RunScope(names), states=states)
    page = read_page(html_of(RunStatus.SUCCEEDED, findings))
    assert "input_manifest.json lists 3 more." in page.text


# --- the same run, the same bytes ---------------------------------------------------------------


def test_the_same_run_has_the_same_page_whenever_it_is_made() -> None:
    assert held().html == held().html


def test_another_attempt_of_a_run_has_the_same_page() -> None:
    findings = succeeded().findings
    first, second = (
        report_html(
            report_of(
                replace(run_context(), attempt=n), findings, findings.status
            )
        )
        for n in (1, 2)
    )
    assert first == second


def test_templates_are_compiled_once_and_not_by_each_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    pages.cache_clear()
    load_templates()
    pages.cache_clear()  # as another process begins
    monkeypatch.setattr(jinja2.Environment, "compile", None)
    load_templates()
    monkeypatch.undo()
    pages.cache_clear()
