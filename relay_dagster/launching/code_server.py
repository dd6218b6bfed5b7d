"""Dagster's code server, whose runs are forked from a warm process."""

import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from relay_dagster.launching.warm_process import (
    WarmContext,
    can_fork,
    remove_socket_folder,
    start_warm_process,
)
from relay_dagster.orchestration.dagster_internals import (
    DagsterApiServer,
    DagsterGrpcServer,
    FuturesAwareThreadPoolExecutor,
    LoadableTargetOrigin,
    configure_loggers,
    get_python_environment_entry_point,
    start_runs_by,
)

DEFINITIONS = "relay_dagster.definitions"
LOCATION = "relay"
THREADS = 16
"""More threads than there are sensors, each of which waits for work in one."""


class CodeServer(DagsterApiServer):
    """Dagster's code server, with runs that are forked where the system can fork.

    Dagster starts each run as a new Python process, which imports for more than a second.
    All else about a run's process is Dagster's own: how it is watched, asked to end, and
    reported.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if can_fork():
            start_runs_by(self, WarmContext())
            # Without a folder for its socket, each run starts cold and logs the reason.
            with suppress(OSError):
                start_warm_process()


def serve(host: str, port: int) -> None:
    """Serve the definitions to Dagster until a signal ends the process."""
    # A shell that starts a process in the background makes it ignore Ctrl-C, and Dagster
    # treats SIGTERM as Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    configure_loggers()
    logger = logging.getLogger("dagster.code_server")
    ending = threading.Event()
    threads = FuturesAwareThreadPoolExecutor(max_workers=THREADS)
    servicer = CodeServer(
        server_termination_event=ending,
        logger=logger,
        server_threadpool_executor=threads,
        loadable_target_origin=LoadableTargetOrigin(
            executable_path=sys.executable,
            module_name=DEFINITIONS,
            working_directory=str(Path.cwd()),
        ),
        entry_point=get_python_environment_entry_point(sys.executable),
        container_image=os.environ.get("DAGSTER_CURRENT_IMAGE"),
        location_name=LOCATION,
    )
    server = DagsterGrpcServer(
        server_termination_event=ending,
        dagster_api_servicer=servicer,
        threadpool_executor=threads,
        host=host,
        port=port,
        logger=logger,
    )
    logger.info("Started the code server on port %d", port)
    try:
        server.serve()
    except KeyboardInterrupt:
        logger.info("The code server was interrupted")
    finally:
        # The threads of sensors can wait for work for many more seconds. The exit waits
        # for them, and this process may be killed before they end.
        remove_socket_folder()
