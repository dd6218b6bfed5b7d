"""The guard before Dagster's own application: what gets through, and what does nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster_webserver.cli import WorkspaceProcessContext
from starlette.testclient import TestClient, WebSocketDenialResponse

from relay_dagster.orchestration.ui import (
    HIDDEN_TAGS,
    OWN_PAGES_ONLY,
    DagsterPages,
    Guard,
)

HOST = "relay.example.com"
OWN = f"https://{HOST}"
EVIL = "https://evil.example"
PLANTED = "planted"
FOREIGN = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}


def mutation(key: str) -> str:
    return (
        f'mutation {{ setConcurrencyLimit(concurrencyKey: "{key}", limit: 1) }}'
    )


MUTATION = mutation(PLANTED)


@pytest.fixture(scope="module")
def instance(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(
        str(tmp_path_factory.mktemp("dagster"))
    ) as new_instance:
        yield new_instance


@pytest.fixture(scope="module")
def client(instance: dg.DagsterInstance) -> Iterator[TestClient]:
    """Dagster's application over an empty workspace, behind the guard."""
    with WorkspaceProcessContext(instance, None) as context:
        app = DagsterPages(context).create_asgi_app()
        yield TestClient(Guard(app, {HOST}), base_url=f"https://{HOST}")


def was_run(instance: dg.DagsterInstance, key: str) -> bool:
    """Return whether the mutation was run that has this key."""
    return key in instance.event_log_storage.get_concurrency_keys()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-browser"),
        pytest.param(
            {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}, id="own-page"
        ),
    ],
)
def test_what_is_no_foreign_page_runs_a_mutation(
    client: TestClient,
    instance: dg.DagsterInstance,
    headers: dict[str, str],
    request: pytest.FixtureRequest,
) -> None:
    key = request.node.callspec.id
    answer = client.post(
        "/graphql", json={"query": mutation(key)}, headers=headers
    )
    assert answer.status_code == 200
    assert was_run(instance, key)


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        pytest.param("GET", {"Accept": "image/*"}, "", 405, id="an-image"),
        pytest.param(
            "POST", {"Content-Type": "text/plain"}, "", 403, id="a-form"
        ),
        pytest.param(
            "POST",
            {"Content-Type": "application/graphql"},
            MUTATION,
            403,
            id="graphql",
        ),
        pytest.param(
            "POST",
            {"Content-Type": "text/plain; application/json"},
            json.dumps({"query": MUTATION}),
            403,
            id="json-under-a-form-s-name",
        ),
        pytest.param(
            "POST",
            {"Content-Type": "application/json"},
            json.dumps({"query": MUTATION}),
            403,
            id="json",
        ),
        pytest.param(
            "POST", {"Host": "evil.example"}, "", 421, id="a-rebound-name"
        ),
    ],
)
def test_a_foreign_page_runs_none(
    client: TestClient,
    instance: dg.DagsterInstance,
    method: str,
    headers: dict[str, str],
    body: str,
    status: int,
) -> None:
    answer = client.request(
        method,
        "/graphql",
        params={"query": MUTATION},
        headers={**FOREIGN, **headers},
        content=body,
    )
    assert answer.status_code == status
    assert not was_run(instance, PLANTED)


@pytest.mark.parametrize("event", ["materialization", "check", "observation"])
def test_a_foreign_page_reports_no_event_of_an_asset(
    client: TestClient, instance: dg.DagsterInstance, event: str
) -> None:
    answer = client.post(f"/report_asset_{event}/{PLANTED}", headers=FOREIGN)
    assert answer.status_code == 403
    assert dg.AssetKey(PLANTED) not in instance.all_asset_keys()


def test_a_client_reports_an_event_of_an_asset(
    client: TestClient, instance: dg.DagsterInstance
) -> None:
    answer = client.post(
        "/report_asset_materialization/merged_inventory", json={}
    )
    assert answer.status_code == 200, answer.text
    assert dg.AssetKey("merged_inventory") in instance.all_asset_keys()


def test_a_query_by_get_is_answered(client: TestClient) -> None:
    answer = client.get("/graphql", params={"query": "{ __typename }"})
    assert answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": OWN}], ids=["no-browser", "own-page"]
)
def test_subscriptions_come_over_graphql_ws(
    client: TestClient, headers: dict[str, str]
) -> None:
    headers = {"Host": HOST, **headers}
    with client.websocket_connect(
        "/graphql", ["graphql-ws"], headers=headers
    ) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json() == {"type": "connection_ack"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": HOST, "Origin": EVIL}, 403), ({"Host": "evil.example"}, 421)],
)
def test_a_foreign_page_opens_no_websocket(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect("/graphql", ["graphql-ws"], headers=headers),
    ):
        pass
    assert denied.value.status_code == status


@pytest.mark.parametrize("host", [HOST, "evil.example"])
def test_no_answer_can_be_framed_or_loaded_by_a_foreign_page(
    client: TestClient, host: str
) -> None:
    headers = client.get("/server_info", headers={"Host": host}).headers
    assert {name: headers[name] for name in OWN_PAGES_ONLY} == OWN_PAGES_ONLY


def test_what_is_refused_is_told_in_the_log(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.post(
        "/graphql",
        json={"query": MUTATION},
        headers={"Origin": EVIL + "/x" * 500},
    )
    (line,) = capsys.readouterr().err.splitlines()
    line_logged = json.loads(line)
    assert (
        line_logged["event"],
        line_logged["status"],
        line_logged["method"],
    ) == (
        "ui_request_refused",
        403,
        "POST",
    )
    assert line_logged["origin"] == f"{(EVIL + '/x' * 500)[:200]}…"


def test_a_page_keeps_our_tags_out_of_sight_by_a_script_that_its_policy_allows(
    client: TestClient,
) -> None:
    page = client.get("/runs")
    (nonce, script) = re.findall(
        r'<script nonce="([0-9a-f]+)">([^<]*)</script>', page.text
    )[0]
    assert f"'nonce-{nonce}'" in page.headers["content-security-policy"]
    assert json.dumps(HIDDEN_TAGS) in script
    assert "relay/run_id" not in script
    assert page.headers["content-length"] == str(len(page.content))
