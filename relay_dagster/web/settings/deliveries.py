"""The page of the published files: the first rows of each, and the servers that get them."""

from dataclasses import dataclass

from fastapi import Response

from relay_dagster.feeds.pointer import PublishedFile, files_of
from relay_dagster.services import deliveries, tenants
from relay_dagster.web import frame, visits
from relay_dagster.web.first_rows import FirstRows, first_rows
from relay_dagster.web.settings import plain_forms
from relay_dagster.web.settings.pages import SETTINGS, settings_path

routes = frame.page_router()


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A published file with its first rows."""

    file: PublishedFile
    head: FirstRows | None  # None for a file that cannot be shown


@routes.get(SETTINGS + "/deliveries")
def show_deliveries(visit: visits.Reading) -> Response:
    """Show the published files, and the deliveries with their state."""
    platform = visit.platform
    stored = tenants.find_config(platform, visit.tenant_id)
    feed = platform.runs.feed(visit.tenant_id)
    files = () if feed is None else files_of(feed.in_force)
    return plain_forms.shown_page(
        "settings_deliveries.html.jinja",
        visit,
        stored,
        path=settings_path(visit, "deliveries"),
        files=[
            ShownFile(file, first_rows(platform.objects, file.key, file.suffix))
            for file in files
        ],
        deliveries=deliveries.deliveries_of(
            platform, visit.tenant_id
        ).deliveries,
    )


@routes.post(SETTINGS + "/deliveries/{delivery_id}/send")
def send_delivery(
    delivery_id: str, visit: visits.Releasing, form: visits.OwnForm
) -> Response:
    """Send the live feed to a server now."""
    deliveries.send_now(visit, visit.tenant_id, delivery_id)
    return frame.go_to(settings_path(visit, "deliveries"))
