"""A client that a generator makes of the OpenAPI document has every operation, and each works."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType

from support.api_world import ADMIN, NOBODY_S_RUN, ApiWorld

NAMES = {
    "tenant_id": "acme_parts",
    "run_id": NOBODY_S_RUN,
    "sku": "A-1",
    "confirm": "acme_parts",
}
"""Of tenants and runs; other ids are any text."""
LAST = ("delete_tenant", "get_deletion", "restore_tenant")
"""What would be in the way of the others."""


@pytest.fixture(scope="module")
def generated(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Where the client lies that is made of the document, without a warning."""
    folder = tmp_path_factory.mktemp("generated")
    source = folder / "openapi.json"
    client = folder / "relay_generated"
    source.write_text(json.dumps(document))
    config = Config.from_sources(
        ConfigFile(post_hooks=[]), MetaType.NONE, source, "utf-8", False, client
    )
    assert [error.detail for error in generate(config=config)] == []
    sys.path.insert(0, str(folder))
    yield client
    sys.path.remove(str(folder))


def module_of(operation: dict[str, Any]) -> ModuleType:
    tag = operation["tags"][0].replace(" ", "_")
    return importlib.import_module(
        f"relay_generated.api.{tag}.{operation['operationId']}"
    )


def body_for(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    """Return the example of a body, as the client's own model."""
    content = operation["requestBody"]["content"]["application/json"]
    # A document that the operation describes by itself.
    if "examples" in content:
        name = "CheckConfigBody"
        example = content["examples"]["config"]["value"]
    else:
        (name,) = re.findall(
            r"#/components/schemas/(\w+)", str(content["schema"])
        )
        example = document["components"]["schemas"][name]["examples"][0]
    return getattr(
        importlib.import_module("relay_generated.models"), name
    ).from_dict(example)


def test_every_operation_can_be_called_and_answers_as_documented(
    document: dict[str, Any], generated: Path, world: ApiWorld
) -> None:
    generated_client = importlib.import_module("relay_generated").Client(
        base_url="http://testserver", raise_on_unexpected_status=True
    )
    generated_client.set_httpx_client(world.with_key(ADMIN))
    paths = document["paths"].values()
    listed = {
        operation["operationId"]: operation
        for path in paths
        for operation in path.values()
    }
    first = [name for name in ("create_tenant", "start_run") if name in listed]
    remaining = [name for name in listed if name not in (*first, *LAST)]
    statuses = {}
    for name in (*first, *remaining, *LAST):
        call: Any = module_of(listed[name]).sync_detailed
        parameters = inspect.signature(call).parameters
        arguments: dict[str, Any] = {
            parameter_name: NAMES.get(parameter_name, "abc")
            for parameter_name, parameter in parameters.items()
            if parameter.default is inspect.Parameter.empty
            and parameter_name not in ("client", "body")
        }
        if "body" in parameters:
            arguments["body"] = body_for(document, listed[name])
        answer = call(**arguments, client=generated_client)
        statuses[name] = int(answer.status_code)
        # An answer that has a body is read as one of the client's models.
        assert (answer.parsed is not None) == bool(answer.content), (
            name,
            answer.status_code,
        )
    assert {
        name for name, status in statuses.items() if status in (401, 422, 500)
    } == set()
    assert len(statuses) == len(listed) > 40
