"""``relay ui``: Dagster's own webserver application, served behind the guard.

Dagster's command for it, ``dagster-webserver``, has no place for middleware; what that command puts
together is put together here.
"""

import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import dagster as dg
import uvicorn
from dagster_webserver import __version__ as dagster_version
from dagster_webserver.cli import (
    WorkspaceOpts,
    WorkspaceProcessContext,
    workspace_opts_to_load_target,
)

from relay_core.domain.destination import is_loopback
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.s3.object_store import ObjectStore
from relay_dagster.logs import event_log, log_libraries
from relay_dagster.orchestration.ui.guard import Guard
from relay_dagster.orchestration.ui.pages import DagsterPages
from relay_dagster.orchestration.ui.reports import Reports
from relay_dagster.settings import SettingsError, UiSettings

_GRACEFUL_SECONDS = 10


def serve(host: str, port: int, workspace: Sequence[Path], *, read_only: bool = False) -> None:
    """Serve Dagster's pages until told to stop; read-only ones let nothing be pressed.

    Raises:
        SettingsError: a variable is missing or bad, or does not allow to listen on that address.
    """
    settings = UiSettings.from_env()
    if not settings.dagster_home:
        raise SettingsError("DAGSTER_HOME", "is not set; it is the folder with dagster.yaml")
    if not (settings.ui_behind_proxy or is_loopback(host)):
        raise SettingsError(
            "RELAY_UI_BEHIND_PROXY",
            f"must be true to listen on {host}, which is off loopback: relay ui asks nobody to "
            "log in, so a proxy that does must stand before it",
        )
    log_libraries()
    # Ends as Ctrl-C does: code servers of a workspace on this machine are ended, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    target = workspace_opts_to_load_target(WorkspaceOpts(workspace=[str(p) for p in workspace]))
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, target, dagster_version, read_only) as context,
    ):
        pages = Reports(DagsterPages(context).create_asgi_app(), _signer(settings))
        guarded = Guard(pages, settings.hosts_of_ui)
        event_log().info("ui_started", host=host, port=port, read_only=read_only)
        uvicorn.run(
            guarded,
            host=host,
            port=port,
            http="h11",  # httptools takes heads without an end; this one 64 KiB
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        )


def _signer(settings: UiSettings) -> Callable[[str], str] | None:
    """Return what signs links to pages in the bucket, None where it is not known."""
    if settings.artifact_bucket is None:
        return None
    clients = Clients(settings.region, public_s3_endpoint_url=settings.public_s3_endpoint_url)
    return partial(ObjectStore(clients, settings.artifact_bucket).presign, is_page=True)
