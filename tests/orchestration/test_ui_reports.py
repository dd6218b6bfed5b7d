"""Links to reports: signed when they are followed, of reports alone."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from relay_core.publish.keys import ArtifactKeys
from relay_dagster.orchestration.metadata import report_link
from relay_dagster.orchestration.ui import Guard, Reports
from support.builders import RUN_ID

KEYS = ArtifactKeys(RUN_ID, "acme")


def ask(
    path: str, *, knows_bucket: bool = True, host: str = "localhost"
) -> httpx.Response:
    app = Reports(
        PlainTextResponse("Dagster's"),
        "https://signed/{}".format if knows_bucket else None,
    )
    client = TestClient(
        Guard(app, ()), base_url=f"http://{host}", follow_redirects=False
    )
    return client.get(path)


def test_the_link_in_dagster_leads_to_the_report_and_to_nothing_that_stays() -> (
    None
):
    answer = ask(str(report_link("acme", RUN_ID).value))
    assert (answer.status_code, answer.headers["location"]) == (
        307,
        f"https://signed/{KEYS.report}",
    )
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        f"/reports/acme/{RUN_ID}/",
        f"/reports/acme/{RUN_ID}x",
        f"/reports/a.b/{RUN_ID}",
        f"/reports/acme%2F..%2Fb/{RUN_ID}",
        f"/reports/acme/{RUN_ID}%0A",
        f"/x/reports/acme/{RUN_ID}",
    ],
)
def test_every_other_address_is_dagster_s(path: str) -> None:
    assert ask(path).text == "Dagster's"


def test_where_the_bucket_is_not_known_it_says_so() -> None:
    answer = ask(f"/reports/acme/{RUN_ID}", knows_bucket=False)
    assert (answer.status_code, answer.text) == (
        503,
        "ARTIFACT_BUCKET is not set here",
    )


def test_a_foreign_host_name_gets_no_link() -> None:
    assert (
        ask(f"/reports/acme/{RUN_ID}", host="evil.example").status_code == 421
    )
