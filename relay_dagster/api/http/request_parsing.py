"""What callers send: bodies, ids and headers, read strictly; all faults of one at once.

What a value means is the routes' business; here is only whether it is one, and where it is not.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ValidationError

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.middleware import request_id_of
from relay_dagster.api.http.problems import ProblemError, faults_of, invalid_request
from relay_dagster.api.limits import DEFAULT_API_LIMITS
from relay_dagster.runs.identifiers import ID_PATTERN

# Printable ASCII with no space at its ends.
IDEMPOTENCY_KEY_PATTERN = r"^[!-~]([ -~]*[!-~])?$"
_ENTITY_TAG = re.compile(r'"?([1-9][0-9]{0,14})"?')
_Model = TypeVar("_Model", bound=BaseModel)

TenantId = Annotated[
    str,
    Path(
        description="A tenant's id.",
        examples=["acme_parts"],
        json_schema_extra={"pattern": ID_PATTERN},
    ),
]
CURSOR = "`next_cursor` of the page before."
WebhookId = Annotated[str, Path(description="What `POST` named it.")]
RunId = Annotated[str, Path(description="A run's id.", json_schema_extra={"format": "uuid"})]


async def _json_body(request: Request) -> bytes:
    """Return the bytes of a JSON body.

    Raises:
        ProblemError: 415, another content type.
        BodyTooLargeError: it is too long.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "application/json" and not re.fullmatch(r"application/[\w.-]+\+json", given):
        raise ProblemError(
            "UNSUPPORTED_MEDIA_TYPE",
            "the body must be JSON, sent with Content-Type: application/json",
            headers={"Accept": "application/json"},
        )
    return await request.body()


async def _optional_json_body(request: Request) -> bytes:
    """Return the bytes of a JSON body, empty where none was sent."""
    return await _json_body(request) if await request.body() else b""


JsonBody = Annotated[bytes, Depends(_json_body)]
OptionalJsonBody = Annotated[bytes, Depends(_optional_json_body)]


def _request_id(request: Request) -> str:
    return request_id_of(request.scope)


RequestId = Annotated[str, Depends(_request_id)]


def read_body(model: type[_Model], body: bytes) -> _Model:
    """Return a body as a model.

    Raises:
        ProblemError: 422 with the faults and their paths.
    """
    # A fault of each is made before any is told: no more than can be held.
    if body.count(b",") >= DEFAULT_API_LIMITS.body_values:
        message = f"the body holds more than {DEFAULT_API_LIMITS.body_values:,} values"
        raise invalid_request([ConfigFault("", message)])
    repeated = _repeated_keys(body)
    if repeated:
        message = "stands more than once; keep one of them"
        raise invalid_request(ConfigFault(key, message) for key in repeated)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        listed = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid_request(faults_of(map(dict, listed))) from error


def _repeated_keys(body: bytes) -> list[str]:
    """Return the keys that stand twice in an object; readers differ in which of them counts."""
    repeated: list[str] = []

    def take(pairs: list[tuple[str, Any]]) -> None:
        counts = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counts.items() if count > 1)

    try:
        json.loads(body, object_pairs_hook=take)
    except (ValueError, RecursionError):
        return []  # the model's own reader tells what is wrong with it
    return repeated


def names_version(if_match: str, config_version: int) -> bool:
    """Tell whether an ``If-Match`` header names a config version; a weak tag names none."""
    tags = (_ENTITY_TAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return any(tag is not None and int(tag.group(1)) == config_version for tag in tags)


def entity_tag(config_version: int) -> str:
    """Return the ``ETag`` of a config version."""
    return f'"{config_version}"'


def json_content(schema: dict[str, Any], example: Any, *, required: bool = True) -> dict[str, Any]:
    """Return what the OpenAPI document says of a body that a route reads by itself."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": required, "content": content}}
