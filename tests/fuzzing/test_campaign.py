"""The live API answers as its OpenAPI document says, whatever is sent."""

from pathlib import Path

import pytest

from fuzzing.campaign import PARTS, UNHURRIED, Verdict, furnish, fuzz
from relay_dagster.webhooks.model import EventType
from support.live_api import live_api
from support.webhooks_world import events_told

SEED = 1
EXAMPLES = 4
SUMMARY = "Operations:\n  Tested: 16\nTest cases:\n  1881 generated, 3 found 2 unique failures\n"


@pytest.mark.smoke
@pytest.mark.integration
def test_every_answer_of_the_live_api_is_as_its_document_says(
    tmp_path: Path,
) -> None:
    verdicts = []
    actions = set[str]()
    for number, part in enumerate(PARTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with live_api(folder, **UNHURRIED) as api:
            key = furnish(api)["admin"]
            verdict = fuzz(
                api, folder, key, examples=EXAMPLES, seed=SEED, only=part
            )
            actions |= {
                str(entry.action)
                for entry in api.platform.audit.list_entries(limit=1000).items
            }
        assert verdict.status == 0, verdict.output
        verdicts.append(verdict)
    assert "tenant.deletion_asked" in actions
    assert sum(verdict.count("operations") for verdict in verdicts) >= 24
    assert sum(verdict.count("cases") for verdict in verdicts) > 500
    assert sum(verdict.count("failures") for verdict in verdicts) == 0


@pytest.mark.smoke
@pytest.mark.integration
def test_what_a_tenant_s_key_is_answered_of_webhooks_is_as_the_document_says(
    tmp_path: Path,
) -> None:
    with live_api(tmp_path, **UNHURRIED) as api:
        key = furnish(api)["tenant"]
        verdict = fuzz(
            api, tmp_path, key, examples=EXAMPLES, seed=SEED, only="/webhooks"
        )
        actions = {
            str(entry.action)
            for entry in api.platform.audit.list_entries(limit=1000).items
        }
        event_types = {event.type for event in events_told(api.platform)}
    assert verdict.status == 0, verdict.output
    assert verdict.count("operations") == 8
    assert verdict.count("failures") == 0
    assert {"webhook.created", "webhook.changed", "webhook.deleted"} <= actions
    assert EventType.TEST in event_types


def test_a_verdict_counts_what_the_summary_says() -> None:
    verdict = Verdict(1, SUMMARY)
    counts = [
        verdict.count(name) for name in ("operations", "cases", "failures")
    ]
    assert counts == [16, 1881, 2]
    assert Verdict(0, "").count("failures") == 0
