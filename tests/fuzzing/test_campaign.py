"""The live API answers as its OpenAPI document says, whatever is sent."""

from pathlib import Path

import pytest

from fuzzing.campaign import UNHURRIED, Verdict, furnish, fuzz
from live_api import live_api

SEED = 1
EXAMPLES = 4
SUMMARY = "Operations:\n  Tested: 16\nTest cases:\n  1881 generated, 3 found 2 unique failures\n"


@pytest.mark.smoke
@pytest.mark.integration
def test_every_answer_of_the_live_api_is_as_its_document_says(tmp_path: Path) -> None:
    with live_api(tmp_path, **UNHURRIED) as api:
        key = furnish(api)["admin"]
        verdict = fuzz(api, tmp_path, key, examples=EXAMPLES, seed=SEED)
    assert verdict.status == 0, verdict.output
    assert verdict.count("operations") >= 16
    assert verdict.count("cases") > 500
    assert verdict.count("failures") == 0


def test_a_verdict_counts_what_the_summary_says() -> None:
    verdict = Verdict(1, SUMMARY)
    counts = [verdict.count(name) for name in ("operations", "cases", "failures")]
    assert counts == [16, 1881, 2]
    assert Verdict(0, "").count("failures") == 0
