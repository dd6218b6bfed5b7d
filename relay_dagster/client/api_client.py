"""The client of the HTTP API, with a method for each request that several commands send.

The API key goes to the API and nowhere else: no redirect is followed with it. `links`
follows links without the key.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, Self, TypeVar

import httpx

from relay_dagster.client import responses
from relay_dagster.client.errors import BadUsageError, NoResponseError
from relay_dagster.client.links import (
    TIMEOUT,
    certificates,
    is_local,
    reason_of,
)
from relay_dagster.wire.base import Page, ResponseBody
from relay_dagster.wire.runs import Run, RunDetails, RunList
from relay_dagster.wire.tenants import ListedTenant, Tenant, TenantList

JSON = {"Content-Type": "application/json"}
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""The errors of requests that never reached the API."""
_Body = TypeVar("_Body", bound=ResponseBody)
_Page = TypeVar("_Page", bound=Page)


class Polled(NamedTuple):
    """A run, and the seconds after which the API asks to look at it again.

    Attributes:
        run: The run.
        retry_after: The seconds to wait, or None if the API does not say.
    """

    run: RunDetails
    retry_after: float | None


class ApiClient:
    """Speaks to one API with one key; it is a context manager, or has to be closed.

    Attributes:
        url: The URL of the API.
        address: The URL and the key, for a client in another process.
        shows_key: Whether others can read the key on its way to the API.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        page_size: int = 100,
    ) -> None:
        """Create a client.

        Raises:
            BadUsageError: The URL or the key is not valid.
        """
        self.url = _checked_url(url)
        self.address = (url, api_key)
        is_own_machine = is_local(self.url)
        is_encrypted = not self.url.startswith("http://")
        self.shows_key = (
            api_key is not None and not is_encrypted and not is_own_machine
        )
        self._page_size = page_size
        headers = {}
        key = (api_key or "").strip()
        if key:
            headers["X-API-Key"] = _header_text(
                "The key of RELAY_API_KEY or --api-key",
                key,
            )
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            verify=certificates(),
            timeout=TIMEOUT,
            # This machine needs no proxy to reach itself.
            trust_env=not is_own_machine,
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connections."""
        self._http.close()

    def start_run(
        self,
        tenant_id: str,
        vendors: list[str],
        idempotency_key: str | None,
    ) -> Polled:
        """Start a run of all vendors, or of those named."""
        body: dict[str, Any] = {
            "tenant_id": tenant_id,
            "run_type": "inventory_sync",
        }
        if vendors:
            body["vendors"] = vendors
        headers = {}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = _header_text(
                "--idempotency-key",
                idempotency_key,
            )
        return _polled(
            self.send("POST", "/v1/runs", json=body, headers=headers),
        )

    def run(self, run_id: str) -> Polled:
        """Return a run."""
        return _polled(self.send("GET", f"/v1/runs/{segment(run_id)}"))

    def runs(
        self,
        tenant_id: str | None,
        status: str | None,
        limit: int,
    ) -> Iterator[Run]:
        """Yield up to `limit` runs, the newest first."""
        query = {"tenant_id": tenant_id, "status": status}
        pages = self.pages(RunList, "/v1/runs", query, limit)
        runs = (run for page in pages for run in page.runs)
        return islice(runs, limit)

    def tenants(self, limit: int | None = None) -> Iterator[ListedTenant]:
        """Yield up to `limit` tenants, sorted by their ids."""
        pages = self.pages(TenantList, "/v1/tenants", max_items=limit)
        tenants = (tenant for page in pages for tenant in page.tenants)
        return islice(tenants, limit)

    def feed_link(self, tenant_id: str, channel_id: str | None = None) -> str:
        """Return a link to the tenant's live feed, or to the file of a channel."""
        params = {} if channel_id is None else {"channel_id": channel_id}
        path = tenant_path(tenant_id, "feed")
        response = self._transmit("GET", path, params=params)
        if response.is_redirect and "Location" in response.headers:
            return response.headers["Location"]
        raise responses.error_of(response, self.url)

    def artifacts(self, run_id: str) -> dict[str, str]:
        """Return a link to each artifact of a run, by the artifact's name."""
        page: str | None = f"/v1/runs/{segment(run_id)}/artifacts"
        links: dict[str, str] = {}
        while page is not None:
            response = self.send("GET", page)
            for name, link in responses.json_object(response).items():
                links[str(name)] = str(link)
            page = response.links.get("next", {}).get("url")
            # The key goes to this API only.
            if page is not None and not page.startswith("/v1/"):
                raise responses.unexpected(response)
        return links

    def config(self, tenant_id: str, version: int | None) -> Tenant:
        """Return a tenant's latest config, or one version of it."""
        query = {} if version is None else {"config_version": version}
        return self.request(Tenant, "GET", tenant_path(tenant_id), params=query)

    # --- requests of single commands ----------------------------------------------------

    def request(
        self,
        model: type[_Body],
        method: str,
        path: str,
        **options: Any,
    ) -> _Body:
        """Return the response to a request as its model.

        Raises:
            ClientError: No response, an error, or a response that does not fit the model.
        """
        return responses.read_body(model, self.send(method, path, **options))

    def pages(
        self,
        model: type[_Page],
        path: str,
        query: Mapping[str, str | None] | None = None,
        max_items: int | None = None,
    ) -> Iterator[_Page]:
        """Yield the pages of a list; no page is longer than `max_items`."""
        page_size = self._page_size
        if max_items is not None:
            page_size = min(max_items, page_size)
        parameters: dict[str, Any] = {"limit": page_size, **(query or {})}
        while True:
            present = {
                name: value
                for name, value in parameters.items()
                if value is not None
            }
            page = self.request(model, "GET", path, params=present)
            yield page
            if page.next_cursor is None:
                return
            parameters["cursor"] = page.next_cursor

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the response to a request.

        Raises:
            ClientError: No response, or a response that is no success.
        """
        response = self._transmit(method, path, **options)
        if response.is_success:
            return response
        raise responses.error_of(response, self.url)

    def _transmit(
        self,
        method: str,
        path: str,
        **options: Any,
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.TransportError as error:
            was_sent = not isinstance(error, _NOT_SENT)
            failure = "cannot be reached"
            if was_sent:
                failure = "closed the connection before it responded"
            raise NoResponseError(
                f"The API at {self.url} {failure} ({reason_of(error)}). Check that it is "
                "running, and that RELAY_API_URL or --api-url is correct.",
                was_sent=was_sent,
            ) from error


def tenant_path(tenant_id: str, *segments: str) -> str:
    """Return the path of a tenant, or of a resource below it."""
    return "/".join(("/v1/tenants", *map(segment, (tenant_id, *segments))))


def segment(text: str) -> str:
    """Return an id that is one segment of a path.

    Raises:
        BadUsageError: The text cannot be an id.
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", text):
        return text
    raise BadUsageError(
        f"{text!r} is not a valid ID. IDs have ASCII letters, digits, hyphens and "
        "underscores, and start with a letter or a digit.",
    )


def _polled(response: httpx.Response) -> Polled:
    run = responses.read_body(RunDetails, response)
    return Polled(run, responses.retry_after(response))


def _checked_url(url: str) -> str:
    error = BadUsageError(
        f"{url!r} is not the URL of an API. Set RELAY_API_URL or --api-url to a URL such "
        "as http://127.0.0.1:8000.",
    )
    try:
        parsed_url = httpx.URL(url.strip())
    except httpx.InvalidURL:
        raise error from None
    if parsed_url.scheme not in ("http", "https") or not parsed_url.host:
        raise error
    return str(parsed_url).rstrip("/")


def _header_text(name: str, text: str) -> str:
    """Return a text that can be a header; the message does not repeat a secret."""
    if text.isascii() and text.isprintable():
        return text
    raise BadUsageError(f"{name} may contain printable ASCII characters only.")
