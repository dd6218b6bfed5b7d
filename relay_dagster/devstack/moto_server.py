"""AWS on this machine, for the demo, for development, and for tests: moto's server as a process.

moto undoes a canceled DynamoDB transaction by restoring the whole table, which also undoes
the concurrent writes of other requests. Requests to DynamoDB are therefore served one at a time.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from relay_dagster.devstack.moto_transactions import copy_named_items_only

HOST = "127.0.0.1"

_Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class OneAtATime:
    """A WSGI application that serves one DynamoDB request at a time."""

    def __init__(self, application: _Application) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(
        self,
        environ: dict[str, Any],
        start_response: Any,
    ) -> Iterable[bytes]:
        """Serve one request."""
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB"):
            return self._application(environ, start_response)
        with self._lock:
            return [b"".join(self._application(environ, start_response))]


@contextmanager
def serving(port: int = 0, host: str = HOST) -> Iterator[str]:
    """Serve from a thread of this process, and yield the endpoint's URL."""
    server = _server(host, port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main(argv: list[str]) -> None:
    """Serve on the address ``HOST PORT`` until the process ends."""
    host, port = argv
    _server(host, int(port)).serve_forever()


def _server(host: str, port: int) -> Any:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    copy_named_items_only()
    dispatcher: Any = DomainDispatcherApplication(create_backend_app)
    # It lists moto's folder, which has some 150 folders, for each request.
    dispatcher.get_backend_for_host = cache(dispatcher.get_backend_for_host)
    application = OneAtATime(dispatcher)
    return make_server(
        host,
        port,
        application,
        threaded=True,
        request_handler=MotoRequestHandler,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
