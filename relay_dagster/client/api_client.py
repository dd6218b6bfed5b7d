"""The client of the HTTP API; what several commands ask for has a method.

The key goes to the API and nowhere else: no redirect is followed with it; what its links lead to is
for `links`, which does not have it.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, Self, TypeVar

import httpx
from pydantic import ValidationError

from relay_dagster.client import errors
from relay_dagster.client.links import TIMEOUT, certificates, is_here, reason_of
from relay_dagster.wire.base import Page, ResponseBody
from relay_dagster.wire.runs import Run, RunDetails, RunList
from relay_dagster.wire.tenants import ListedTenant, Tenant, TenantList

JSON = {"Content-Type": "application/json"}
_Body = TypeVar("_Body", bound=ResponseBody)
_Page = TypeVar("_Page", bound=Page)


class Polled(NamedTuple):
    """A run, and how many seconds the API asks to wait before the next look."""

    run: RunDetails
    retry_after: float | None


class ApiClient:
    """Speaks to one API with one key; close it, or use it as a context.

    ``address`` are the URL and the key, for a client in another process; ``shows_key`` tells
    whether the key can be read on its way. `BadUsageError`: the URL or the key cannot be one.
    """

    def __init__(self, url: str, api_key: str | None, *, page_size: int = 100) -> None:
        wrong = errors.BadUsageError(
            f"{url!r} is no address of an API; RELAY_API_URL or --api-url must be like "
            "http://127.0.0.1:8000"
        )
        try:
            parsed = httpx.URL(url.strip())
        except httpx.InvalidURL:
            raise wrong from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise wrong
        self.url = str(parsed).rstrip("/")
        self.address = (url, api_key)
        self._page_size = page_size
        # To this machine's own addresses it goes no way on which somebody could look.
        self.shows_key = (
            api_key is not None
            and self.url.startswith("http://")
            and not is_here(self.url)
        )
        key = (api_key or "").strip()
        named = "the key of RELAY_API_KEY or --api-key"
        self._http = httpx.Client(
            base_url=self.url,
            headers={"X-API-Key": _header_text(named, key)} if key else {},
            verify=certificates(),
            timeout=TIMEOUT,
            trust_env=not is_here(self.url),
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close the connections."""
        self._http.close()

    def start_run(
        self, tenant_id: str, vendors: list[str], idempotency_key: str | None
    ) -> Polled:
        """Ask for a run of all vendors, or of those named."""
        order: dict[str, Any] = {"tenant_id": tenant_id, "run_type": "inventory_sync"}
        if vendors:
            order["vendors"] = vendors
        headers = {}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = _header_text(
                "--idempotency-key", idempotency_key
            )
        return self._polled(self.send("POST", "/v1/runs", json=order, headers=headers))

    def run(self, run_id: str) -> Polled:
        """Return a run as it stands."""
        return self._polled(self.send("GET", f"/v1/runs/{segment(run_id)}"))

    def runs(
        self, tenant_id: str | None, status: str | None, limit: int
    ) -> Iterator[Run]:
        """Yield at most ``limit`` runs, newest first, over as many pages as it takes."""
        asked = {"tenant_id": tenant_id, "status": status}
        pages = self.pages(RunList, "/v1/runs", asked, limit)
        return islice((run for page in pages for run in page.runs), limit)

    def tenants(self, limit: int | None = None) -> Iterator[ListedTenant]:
        """Yield tenants by their ids, at most ``limit``."""
        pages = self.pages(TenantList, "/v1/tenants", most=limit)
        return islice((each for page in pages for each in page.tenants), limit)

    def feed_link(self, tenant_id: str) -> str:
        """Return a link to the feed in force."""
        response = self._request("GET", tenant_path(tenant_id, "feed"))
        if response.is_redirect and "Location" in response.headers:
            return response.headers["Location"]
        raise _refusal(response, self.url)

    def artifacts(self, run_id: str) -> dict[str, str]:
        """Return a link for each artifact that there is, over as many pages as it takes."""
        page: str | None = f"/v1/runs/{segment(run_id)}/artifacts"
        links: dict[str, str] = {}
        while page is not None:
            answer = self.send("GET", page)
            links |= {str(name): str(link) for name, link in _json(answer).items()}
            page = answer.links.get("next", {}).get("url")
            if page is not None and not page.startswith(
                "/v1/"
            ):  # the key goes nowhere else
                raise _foreign(answer)
        return links

    def config(self, tenant_id: str, version: int | None) -> Tenant:
        """Return a tenant's latest config, or one version of it."""
        query = {} if version is None else {"config_version": version}
        return self.ask(Tenant, "GET", tenant_path(tenant_id), params=query)

    # --- for calls that stand elsewhere ---------------------------------------------------------

    def ask(self, model: type[_Body], method: str, path: str, **sent: Any) -> _Body:
        """Return the answer to a request as its model; `UnexpectedAnswerError`: it is none."""
        return read_answer(model, self.send(method, path, **sent))

    def pages(
        self,
        model: type[_Page],
        path: str,
        asked: Mapping[str, str | None] | None = None,
        most: int | None = None,
    ) -> Iterator[_Page]:
        """Yield a listing page by page, of no more entries than are wanted in all."""
        size = self._page_size if most is None else min(most, self._page_size)
        query = {"limit": size, **(asked or {})}
        while True:
            given = {name: value for name, value in query.items() if value is not None}
            page = self.ask(model, "GET", path, params=given)
            yield page
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    def send(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """Return the answer to a request, where it is a good one."""
        response = self._request(method, path, **sent)
        if response.is_success:
            return response
        raise _refusal(response, self.url)

    def _request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **sent)
        except httpx.TransportError as error:
            never = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
            was_sent = not isinstance(error, never)
            what = (
                "broke off before it had answered" if was_sent else "is not reachable"
            )
            raise errors.NoAnswerError(
                f"the API at {self.url} {what} ({reason_of(error)}); see that it runs, and that "
                "RELAY_API_URL or --api-url names it",
                was_sent=was_sent,
            ) from error

    def _polled(self, response: httpx.Response) -> Polled:
        return Polled(read_answer(RunDetails, response), _retry_after(response))


# --- answers ------------------------------------------------------------------------------------


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    raise _foreign(response)


def read_answer(model: type[_Body], response: httpx.Response) -> _Body:
    """Return what an answer says; `UnexpectedAnswerError` where it does not say that."""
    try:
        return model.model_validate(_json(response))
    except ValidationError as error:
        raise _foreign(response) from error


def _foreign(response: httpx.Response) -> errors.UnexpectedAnswerError:
    request = response.request
    return errors.UnexpectedAnswerError(
        f"{request.method} {request.url.copy_with(query=None)} was answered {response.status_code} "
        f"{response.reason_phrase}, and not as this API answers; see that RELAY_API_URL or "
        "--api-url names the Relay API"
    )


def _refusal(
    response: httpx.Response, url: str
) -> errors.RefusedError | errors.UnexpectedAnswerError:
    if response.is_redirect:
        place = response.headers.get("Location", "nowhere")
        return errors.UnexpectedAnswerError(
            f"the API at {url} sends on to {place}; where that is the API, name it with "
            "RELAY_API_URL or --api-url"
        )
    try:
        problem = _json(response)
    except errors.UnexpectedAnswerError as error:
        return error
    if not {"detail", "error_code"} <= problem.keys():
        return _foreign(response)
    return errors.RefusedError(response.status_code, problem, _retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdecimal() else None


# --- where, and with what key --------------------------------------------------------------------


def _header_text(what: str, text: str) -> str:
    """Return a text that can stand in a header; the message does not repeat it."""
    if text.isascii() and text.isprintable():
        return text
    raise errors.BadUsageError(f"{what} may hold printable ASCII characters only")


def tenant_path(tenant_id: str, *below: str) -> str:
    """Return the path of a tenant, or of what lies below it."""
    return "/".join(("/v1/tenants", *map(segment, (tenant_id, *below))))


def segment(given: str) -> str:
    """Return an id that stays one part of a path."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", given):
        return given
    raise errors.BadUsageError(
        f"{given!r} cannot be an id; ids have ASCII letters, digits, - and _, no - or _ in front"
    )
