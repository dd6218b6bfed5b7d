"""Dagster's webserver application, whose lists of runs show fewer tags.

Dagster's own tags are out of sight; ours would all be there. Its pages keep in the browser which
are not shown; where nothing is kept yet, a line of script does so. Whoever pins a tag in *View all
tags* sees it from then on.
"""

import json
import re
from typing import Any

from dagster_webserver.webserver import DagsterWebserver
from starlette.requests import Request
from starlette.responses import HTMLResponse

from relay_dagster import tags

OUT_OF_SIGHT = [
    tags.ATTEMPT,
    tags.CONFIG_VERSION,
    tags.REQUEST_ID,
    tags.TENANT_ID,
    tags.TRIGGER,
]
"""The partition shows the tenant; ``relay/run_id`` stays."""
_KEPT = f"'unpinned-tags', '{json.dumps(OUT_OF_SIGHT)}'"
_SCRIPT = f"'unpinned-tags' in localStorage || localStorage.setItem({_KEPT})"
# Each script of a page has the nonce that the page's policy asks for.
_FIRST = re.compile(r'<script nonce="[^"]*">')


class DagsterPages(DagsterWebserver):
    """Dagster's application."""

    def index_html_endpoint(self, request: Request) -> HTMLResponse:
        """Return the page with the line of script before its own."""
        page: Any = super().index_html_endpoint(request)
        html = _FIRST.sub(lambda tag: f"{tag[0]}{_SCRIPT}</script>{tag[0]}", page.body.decode(), 1)
        headers = {name: text for name, text in page.headers.items() if name != "content-length"}
        return HTMLResponse(html, headers=headers)
