"""docs/OUTPUTS.md: each `output` of the page gives the file that stands below it."""

from __future__ import annotations

import re

import pytest

from reference_runs import run_document
from relay_core.config import parse_document
from support.pages import PAGES

PAGE = PAGES["docs/OUTPUTS.md"]
SMALLEST = re.findall(r"```yaml\n(.*?)```", PAGES["docs/CONFIG.md"], re.DOTALL)[
    0
]
(UPLOAD, *_) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
EXAMPLES = re.findall(
    r"### ([^\n]+)\n\n```yaml\n(.*?)```\n\n```(?:csv|tsv|json)\n(.*?)```",
    PAGE,
    re.DOTALL,
)


def test_every_output_of_the_page_is_tried() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") == 4


@pytest.mark.parametrize(
    ("output", "file"),
    [pytest.param(*each, id=title) for title, *each in EXAMPLES],
)
def test_an_output_of_the_page_gives_the_file_below_it(
    output: str, file: str
) -> None:
    document = {
        **parse_document(SMALLEST, format="yaml"),
        **parse_document(output, format="yaml"),
    }
    run = run_document(document, {"vendor_1": UPLOAD.encode()})
    assert (run.outcome.merged or b"").decode() == file
