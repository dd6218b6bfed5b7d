"""The page at /docs: Swagger UI from the package's own files, not from a CDN."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi_swagger import patch_fastapi
from starlette.routing import Route

PATH = "/docs"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_POLICY = (
    "default-src 'self'; script-src 'self' {scripts}; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def add_docs(app: FastAPI) -> None:
    """Add the page to an app, with a policy that allows only the page's own scripts."""
    patch_fastapi(app, docs_url=PATH, redirect_from_root_to_docs=False)
    page = next(
        route
        for route in app.router.routes
        if isinstance(route, Route) and route.path == PATH
    )
    app.router.routes.remove(page)
    make_page = cast("Callable[[Request], Awaitable[Response]]", page.endpoint)

    async def show_docs(request: Request) -> Response:
        response = await make_page(request)
        policy = policy_of(bytes(response.body).decode())
        response.headers["Content-Security-Policy"] = policy
        return response

    app.add_api_route(PATH, show_docs, include_in_schema=False)


def policy_of(page: str) -> str:
    """Return the Content-Security-Policy of a page, which names its inline scripts."""
    hashes = []
    for script in _INLINE_SCRIPT.findall(page):
        digest = hashlib.sha256(script.encode()).digest()
        hashes.append(f"'sha256-{base64.b64encode(digest).decode()}'")
    return _POLICY.format(scripts=" ".join(hashes))
