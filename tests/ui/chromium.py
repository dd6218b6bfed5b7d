"""A headless Chromium that reaches this machine alone, and says what else its pages asked for."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Route, sync_playwright

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
REMOTE_SCHEMES = ("http", "https", "ws", "wss")
LOCAL_HOSTS = ("127.0.0.1", "localhost")
REBOUND = "rebound.test"
"""A foreign name that leads to this machine, as one whose owner has changed its address."""
# What no route sees, a socket say, finds no way out either.
RESOLVER_RULES = (
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1, MAP * ~NOTFOUND, "
    "EXCLUDE 127.0.0.1, EXCLUDE localhost"
)
WIDTH = 1400
HEIGHT = 900


class NoChromiumError(Exception):
    """There is no Chromium here; the message says how to name one."""


def find_chromium() -> str:
    """Return the browser that ``CHROMIUM`` names, or else the first of the usual names.

    Raises:
        NoChromiumError: there is none.
    """
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else NAMES:
        path = shutil.which(name)
        if path:
            return path
    programs = repr(named) if named else f"any of {', '.join(NAMES)}"
    raise NoChromiumError(
        f"no Chromium: cannot find {programs}; set CHROMIUM to its path"
    )


class Browser:
    """A browser window, and the addresses beyond this machine that its pages asked for."""

    def __init__(self, context: BrowserContext) -> None:
        self.refused: list[str] = []
        context.route("**/*", self._let_through)
        self.page = context.new_page()
        self.page.on("websocket", lambda socket: self._is_local(socket.url))

    def _let_through(self, route: Route) -> None:
        if self._is_local(route.request.url):
            route.continue_()
        else:
            route.abort()

    def _is_local(self, address: str) -> bool:
        url = urlsplit(address)
        is_local = url.scheme not in REMOTE_SCHEMES or url.hostname in (
            *LOCAL_HOSTS,
            REBOUND,
        )
        if not is_local:
            self.refused.append(address)
        return is_local


@contextmanager
def open_browser(**options: Any) -> Iterator[Browser]:
    """Start Chromium with an empty profile, and end it; options are of its window.

    Raises:
        NoChromiumError: there is none.
    """
    path = find_chromium()
    # Only its own sandbox keeps root from starting it.
    flags = [
        *FLAGS,
        RESOLVER_RULES,
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, headless=True, args=flags
        )
        try:
            yield Browser(
                browser.new_context(
                    **{
                        "viewport": {"width": WIDTH, "height": HEIGHT},
                        "timezone_id": "UTC",
                        "locale": "en-US",
                        "reduced_motion": "reduce",
                        "color_scheme": "light",
                        "service_workers": "block",
                        "permissions": ["clipboard-read", "clipboard-write"],
                        **options,
                    }
                )
            )
        finally:
            browser.close()


@contextmanager
def serving_a_page() -> Iterator[int]:
    """Serve an empty page, with no policy of its own; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>prizes</title>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()
