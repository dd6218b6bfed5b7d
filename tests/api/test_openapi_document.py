"""The OpenAPI document says all there is to say, and what it shows as an example is one."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from relay_core.config import load_config
from relay_dagster.http.config_schema import config_schemas
from relay_dagster.http.error_codes import CODES
from relay_dagster.wire.base import examples
from support.api_world import ApiWorld

OPEN = {"/v1/health", "/v1/ready"}
CONFIG_EXAMPLE = examples()["TenantConfig"]


def operations(
    document: dict[str, Any],
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def faults(
    document: dict[str, Any], schema: dict[str, Any], example: Any
) -> list[str]:
    whole = {**schema, "components": document["components"]}
    return [
        error.message
        for error in Draft202012Validator(whole).iter_errors(example)
    ]


def examples_of(document: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    """Return the examples of a body: its own, or its model's."""
    examples = [
        example["value"] for example in content.get("examples", {}).values()
    ]
    examples += [content["example"]] if "example" in content else []
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    return examples or document["components"]["schemas"].get(name, {}).get(
        "examples", []
    )


def test_every_body_in_and_out_has_an_example_that_its_schema_allows(
    document: dict[str, Any],
) -> None:
    for path, method, operation in operations(document):
        bodies = [
            operation.get("requestBody", {}),
            *operation["responses"].values(),
        ]
        contents = [body.get("content", {}) for body in bodies]
        for content in chain.from_iterable(
            content.values() for content in contents
        ):
            examples = examples_of(document, content)
            assert examples, (method, path)
            for example in examples:
                assert faults(document, content["schema"], example) == [], (
                    method,
                    path,
                )


def test_each_example_is_of_a_body_of_the_document(
    document: dict[str, Any],
) -> None:
    assert examples().keys() - document["components"]["schemas"].keys() == set()


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), (
                method,
                path,
                parameter["name"],
            )


def test_every_call_but_the_open_ones_names_the_key_it_needs(
    document: dict[str, Any],
) -> None:
    for path, method, operation in operations(document):
        schemes = [] if path in OPEN else [{"APIKeyHeader"}]
        assert [
            requirement.keys() for requirement in operation.get("security", [])
        ] == schemes, (
            method,
            path,
        )
        assert ("401" in operation["responses"]) == (path not in OPEN), (
            method,
            path,
        )
    scheme = document["components"]["securitySchemes"]["APIKeyHeader"]
    assert (scheme["in"], scheme["name"]) == ("header", "X-API-Key")


def test_every_code_stands_with_some_call_and_every_answer_names_its_codes(
    document: dict[str, Any],
) -> None:
    named: set[str] = set()
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if not status.startswith(("2", "3")):
                examples = answer["content"]["application/problem+json"][
                    "examples"
                ]
                assert {CODES[code].status for code in examples} == {
                    int(status)
                }, (
                    method,
                    path,
                )
                named |= examples.keys()
    # What no call of ours answers: a path or a method that does not exist, a connection's end.
    assert (
        set(CODES) - named
        == {
            *(
                "NOT_FOUND",
                "METHOD_NOT_ALLOWED",
                "HEAD_TOO_LARGE",
                "TOO_MANY_CONNECTIONS",
            ),
            "FEED_LINKS_BUSY",  # of a link to a feed, which is no call of the document
        }
    )


@pytest.mark.parametrize(
    ("path", "method", "status", "header"),
    [
        ("/v1/runs", "post", "202", "Location"),
        ("/v1/runs", "post", "503", "Retry-After"),
        ("/v1/runs/{run_id}", "get", "200", "Retry-After"),
        ("/v1/tenants", "post", "201", "Location"),
        ("/v1/tenants/{tenant_id}", "get", "200", "ETag"),
        ("/v1/tenants/{tenant_id}/feed", "get", "302", "X-Run-Id"),
        ("/v1/tenants/{tenant_id}/feed", "get", "401", "WWW-Authenticate"),
    ],
)
def test_headers_are_described(
    document: dict[str, Any], path: str, method: str, status: str, header: str
) -> None:
    headers = document["paths"][path][method]["responses"][status]["headers"]
    assert {header, "X-Request-Id"} <= headers.keys()


def test_the_schema_of_a_config_allows_what_the_engine_takes(
    document: dict[str, Any],
) -> None:
    load_config(CONFIG_EXAMPLE)
    whole = config_schemas()["TenantConfig"]
    by_number = {**CONFIG_EXAMPLE["pricing"], "min_price": 1.5}
    assert (
        faults(document, whole, {**CONFIG_EXAMPLE, "pricing": by_number}) == []
    )
    assert (
        faults(document, whole, {**CONFIG_EXAMPLE, "error_policy": None}) == []
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tenant_id", "a b"),
        ("vendors", {}),
        ("surprise", 1),
        ("pricing", {**CONFIG_EXAMPLE["pricing"], "min_price": -1}),
        ("output", {"columns": ["sku", "sku"]}),
        ("output", {"columns": ["Colour"]}),
        ("error_policy", {"max_invalid_row_pct": "much"}),
    ],
)
def test_the_schema_of_a_config_refuses_what_the_engine_refuses(
    document: dict[str, Any], key: str, value: Any
) -> None:
    whole = config_schemas()["TenantConfig"]
    assert faults(document, whole, {**CONFIG_EXAMPLE, key: value}) != []


def test_the_pages_of_the_document_are_served_with_all_they_need(
    unplugged: ApiWorld,
) -> None:
    page = unplugged.with_key(None).get("/docs")
    sources = [
        part.split('"')[0]
        for part in page.text.replace("href=", "src=").split('src="')[1:]
    ]
    assert len(sources) == 3
    assert all(
        source.startswith(str(unplugged.client.base_url)) for source in sources
    )
    for source in sources:
        assert len(unplugged.with_key(None).get(source).content) > 500
