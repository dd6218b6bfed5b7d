"""Links to runs' reports: each is signed for when it is followed, and no other file is."""

import re
from collections.abc import Callable

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from relay_core.publish.keys import ArtifactKeys
from relay_dagster.orchestration.report_links import REPORTS
from relay_dagster.runs.identifiers import is_id, is_run_id

_PATH = re.compile(rf"{REPORTS}/([^/]+)/([^/]+)")


class Reports:
    """Leads from a report's address to its file; an application has all other addresses.

    Args:
        app: the application.
        sign: returns a link to the page of a key; None where the bucket is not known.
    """

    def __init__(self, app: ASGIApp, sign: Callable[[str], str] | None) -> None:
        self._app = app
        self._sign = sign

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        app = self._app
        if found is not None and is_id(found[1]) and is_run_id(found[2]):
            key = ArtifactKeys(found[2], found[1]).report
            unknown = PlainTextResponse("ARTIFACT_BUCKET is not set here", 503)
            to_file = {"Cache-Control": "no-store"}
            app = RedirectResponse(self._sign(key), headers=to_file) if self._sign else unknown
        await app(scope, receive, send)
