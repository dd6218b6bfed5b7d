"""The API's responses: their models, and the errors of responses that are no success."""

from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from relay_dagster.client.errors import ApiError, UnexpectedResponseError
from relay_dagster.wire.base import ResponseBody

_Body = TypeVar("_Body", bound=ResponseBody)


def read_body(model: type[_Body], response: httpx.Response) -> _Body:
    """Return the body of a response as its model.

    Raises:
        UnexpectedResponseError: The body does not fit the model.
    """
    try:
        return model.model_validate(json_object(response))
    except ValidationError as error:
        raise unexpected(response) from error


def json_object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object in the body of a response.

    Raises:
        UnexpectedResponseError: The body is not a JSON object.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    raise unexpected(response)


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the API asks to wait, or None if it does not."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    return None


def error_of(
    response: httpx.Response,
    url: str,
) -> ApiError | UnexpectedResponseError:
    """Return the error of a response that is no success.

    Args:
        response: The response.
        url: The URL of the API.
    """
    if response.is_redirect:
        location = response.headers.get("Location", "nowhere")
        return UnexpectedResponseError(
            f"The API at {url} redirects to {location}. If that is the API, set "
            "RELAY_API_URL or --api-url to it.",
        )
    try:
        problem = json_object(response)
    except UnexpectedResponseError as error:
        return error
    if "detail" not in problem or "error_code" not in problem:
        return unexpected(response)
    return ApiError(response.status_code, problem, retry_after(response))


def unexpected(response: httpx.Response) -> UnexpectedResponseError:
    """Return the error of a response that this API does not give."""
    request = response.request
    return UnexpectedResponseError(
        f"{request.method} {request.url.copy_with(query=None)} returned "
        f"{response.status_code} {response.reason_phrase}, which is not a response of the "
        "Relay API. Check RELAY_API_URL or --api-url.",
    )
