"""The decision on a request's head, as a table."""

from __future__ import annotations

import pytest

from relay_dagster.orchestration.ui_rules import (
    FOREIGN_PAGE,
    MUTATION_BY_GET,
    NOT_JSON,
    NOT_OUR_HOST,
    UPGRADE,
    Head,
    Refusal,
    refusal,
)

NAME = "relay.example.com"
JSON = "application/json"
MUTATION = "mutation { stopSensor(id: 1) { __typename } }"


def judged(
    method: str, path: str = "/graphql", *queries: str, **headers: str
) -> Refusal | None:
    """Judge a request to ``localhost:3000``, or to the host that the headers name."""
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return refusal(
        Head(method, path, {"host": ["localhost:3000"], **named}, queries),
        {NAME},
    )


# --- Host -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "localhost:3000",
            "LOCALHOST:3000",
            "127.0.0.1:3000",
            "127.0.0.2",
        ),
        *("[::1]", "[::1]:3000", NAME, f"{NAME}:443", "Relay.Example.Com"),
    ],
)
def test_the_pages_answer_to_their_names_with_any_port(host: str) -> None:
    assert judged("GET", "/", host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:3000",
            f"evil.{NAME}",
            f"{NAME}.evil.example",
            f"{NAME}.",
        ),
        *(
            "0.0.0.0:3000",
            "10.0.0.1:3000",
            "[::]",
            "[::ffff:10.0.0.1]",
            "localhost.evil.example",
        ),
        *(
            "",
            " ",
            "localhost:",
            "localhost:x",
            "localhost@evil.example",
            "localhost, evil.example",
        ),
        *(
            "[localhost]",
            "::1",
            "localhost/evil.example",
            "127.0.0.1.evil.example",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", UPGRADE])
def test_no_request_with_another_host_is_answered(
    method: str, host: str
) -> None:
    verdict = judged(method, "/", host=host, content_type=JSON)
    assert verdict == NOT_OUR_HOST
    assert verdict.status == 421


@pytest.mark.parametrize(
    "hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]]
)
def test_a_request_has_one_host(hosts: list[str]) -> None:
    assert refusal(Head("GET", "/", {"host": hosts}), {NAME}) == NOT_OUR_HOST


# --- whose page it is -----------------------------------------------------------------------------

OWN = [
    pytest.param({}, id="no-browser"),
    pytest.param({"origin": "http://localhost:3000"}, id="own-page"),
    pytest.param({"origin": "HTTP://LocalHost:3000"}, id="in-other-letters"),
    pytest.param({"origin": "https://localhost:3000"}, id="with-tls"),
    pytest.param({"sec_fetch_site": "same-origin"}, id="says-same-origin"),
    pytest.param({"sec_fetch_site": "none"}, id="typed-by-the-user"),
    pytest.param(
        {"host": NAME, "origin": f"https://{NAME}"}, id="behind-a-proxy"
    ),
    pytest.param(
        {"host": f"{NAME}:443", "origin": f"https://{NAME}"},
        id="default-port-in-host",
    ),
    pytest.param(
        {"host": NAME, "origin": f"http://{NAME}:80"},
        id="default-port-in-origin",
    ),
    pytest.param(
        {"host": "[::1]:3000", "origin": "http://[::1]:3000"}, id="ipv6"
    ),
]
FOREIGN = [
    pytest.param({"origin": "https://evil.example"}, id="other-host"),
    pytest.param({"origin": "http://localhost:3001"}, id="other-port"),
    pytest.param({"origin": "http://localhost"}, id="default-port"),
    pytest.param(
        {"origin": "http://127.0.0.1:3000"}, id="other-name-of-loopback"
    ),
    pytest.param({"origin": "null"}, id="sandboxed-frame"),
    pytest.param({"origin": ""}, id="empty"),
    pytest.param({"origin": "localhost:3000"}, id="no-scheme"),
    pytest.param({"origin": "file://localhost:3000"}, id="other-scheme"),
    pytest.param({"origin": "http://localhost:3000/"}, id="with-a-path"),
    pytest.param({"origin": "http://user@localhost:3000"}, id="with-a-user"),
    pytest.param(
        {"origin": "http://localhost:3000 http://localhost:3000"}, id="two"
    ),
    pytest.param({"sec_fetch_site": "cross-site"}, id="says-cross-site"),
    pytest.param({"sec_fetch_site": "same-site"}, id="says-same-site"),
    pytest.param({"sec_fetch_site": ""}, id="says-nothing"),
    pytest.param(
        {"host": NAME, "origin": f"https://{NAME}:8443"},
        id="other-port-of-a-name",
    ),
    pytest.param(
        {"host": f"{NAME}:443", "origin": f"http://{NAME}"},
        id="other-scheme-s-port",
    ),
    pytest.param(
        {"origin": "https://evil.example", "sec_fetch_site": "same-origin"},
        id="origin-counts",
    ),
]


@pytest.mark.parametrize(
    "path", ["/graphql", "/report_asset_materialization/merged_inventory"]
)
@pytest.mark.parametrize("headers", OWN)
def test_a_post_of_json_from_an_own_page_passes(
    headers: dict[str, str], path: str
) -> None:
    assert judged("POST", path, content_type=JSON, **headers) is None


@pytest.mark.parametrize(
    "path", ["/graphql", "/report_asset_materialization/merged_inventory"]
)
@pytest.mark.parametrize("headers", FOREIGN)
def test_a_post_from_a_foreign_page_does_not(
    headers: dict[str, str], path: str
) -> None:
    verdict = judged("POST", path, content_type=JSON, **headers)
    assert verdict == FOREIGN_PAGE
    assert verdict.status == 403


@pytest.mark.parametrize("headers", OWN)
def test_a_websocket_of_an_own_page_is_opened(headers: dict[str, str]) -> None:
    assert judged(UPGRADE, **headers) is None


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_websocket_of_a_foreign_page_is_not(headers: dict[str, str]) -> None:
    assert judged(UPGRADE, **headers) == FOREIGN_PAGE


@pytest.mark.parametrize("name", ["origin", "sec-fetch-site"])
def test_a_header_that_comes_twice_is_believed_where_all_of_it_is_own(
    name: str,
) -> None:
    own_value = {
        "origin": "http://localhost:3000",
        "sec-fetch-site": "same-origin",
    }[name]
    headers = {
        "host": ["localhost:3000"],
        "content-type": [JSON],
        name: [own_value, "cross-site"],
    }
    assert refusal(Head("POST", "/graphql", headers), set()) == FOREIGN_PAGE


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_page_may_lead_to_a_page(headers: dict[str, str]) -> None:
    assert judged("GET", "/runs", **headers) is None


# --- what a POST brings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [JSON, "application/json; charset=utf-8", "Application/JSON"]
)
def test_json_is_json_in_every_spelling(kind: str) -> None:
    assert judged("POST", content_type=kind) is None


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ),
        *(
            "application/graphql",
            "application/jsonp",
            "text/plain; application/json",
        ),
        *("text/plain, application/json", "application/json, text/plain"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/graphql", "/report_asset_check/merged_inventory", "/runs"]
)
def test_what_a_form_can_send_does_not_pass(path: str, kind: str) -> None:
    verdict = judged("POST", path, content_type=kind)
    assert verdict == NOT_JSON
    assert verdict.status == 403


def test_a_post_without_a_type_does_not_pass() -> None:
    assert (
        judged("POST", "/report_asset_materialization/merged_inventory")
        == NOT_JSON
    )


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "get"])
def test_any_other_method_is_judged_as_a_post(method: str) -> None:
    assert judged(method, "/runs") == NOT_JSON
    assert (
        judged(method, "/runs", content_type=JSON, origin="null")
        == FOREIGN_PAGE
    )


# --- GraphQL by GET -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "queries",
    [
        (),
        ("",),
        ("{ version }",),
        ("query a { version } query b { version }",),
        ("fragment f on Query { version } { ...f }",),
        ('{ sensor(name: "mutation { a }") { id } }',),
        ("mutation {",),
    ],
)
def test_a_query_by_get_passes(queries: tuple[str, ...]) -> None:
    assert judged("GET", "/graphql", *queries) is None


@pytest.mark.parametrize(
    "queries",
    [
        (MUTATION,),
        (f"# a remark\n\ufeff {MUTATION}",),
        (f"query a {{ version }} {MUTATION}",),
        ("subscription { pipelineRunLogs(runId: 1) { __typename } }",),
        (MUTATION, "{ version }"),
        ("{ version }", MUTATION),
    ],
    ids=[
        "plain",
        "behind-a-remark",
        "second",
        "subscription",
        "first-given",
        "last-given",
    ],
)
def test_what_is_no_query_does_not_pass_by_get(
    queries: tuple[str, ...],
) -> None:
    verdict = judged("GET", "/graphql", *queries)
    assert verdict == MUTATION_BY_GET
    assert verdict.status == 405


def test_a_page_may_have_such_a_parameter_of_its_own() -> None:
    assert judged("GET", "/runs", MUTATION) is None
