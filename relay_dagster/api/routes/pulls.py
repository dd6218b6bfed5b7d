"""Pulls of vendors' files: request one now. The sensors make the pulls."""

from typing import Annotated

from fastapi import Path, Query

from relay_dagster.api.documented_responses import STORED_CONFIG, responds_with
from relay_dagster.api.request_parsing import TenantId, router
from relay_dagster.http.security.auth import MayRun
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import ID_PATTERN
from relay_dagster.services import pulls
from relay_dagster.wire.tenants import PullStanding

routes = router("uploads")
_log = event_log()


@routes.post(
    "/v1/tenants/{tenant_id}/vendors/{vendor_id}/pull", status_code=202
)
@responds_with("TENANT_CLOSING", "NO_PULL", *STORED_CONFIG)
def ask_for_pull(
    tenant_id: TenantId,
    vendor_id: Annotated[
        str, Path(description="The vendor's ID, as in the tenant's config.")
    ],
    call: MayRun,
    part_id: Annotated[
        str | None,
        Query(
            description="The ID of a part of the vendor. The default is the vendor's own "
            "file.",
            pattern=ID_PATTERN,
        ),
    ] = None,
) -> PullStanding:
    """Pull a vendor's file now. You can request this once in 5 minutes per file.

    If a pull of the file is already running, the next one starts when it is finished.
    """
    return pulls.request_pull(tenant_id, vendor_id, call, part_id)
