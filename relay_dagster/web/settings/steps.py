"""The steps that are left until a shop reads a tenant's first feed."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from relay_dagster.aws.dynamodb.link_store import LinkKind
from relay_dagster.services.deliveries import deliveries_of
from relay_dagster.tenants.scopes import Scope
from relay_dagster.web import frame, visits

_MAX_VENDORS = 20


class Step(NamedTuple):
    """A step on the way to the first feed."""

    text: str
    path: str
    is_done: bool


def steps_left(
    visit: visits.Visit, config: Mapping[str, Any], *, feed_count: int
) -> list[Step]:
    """Return the steps to the first feed; none once a shop has read a feed.

    A tenant with several feeds and without links has another way to read them.

    Args:
        visit: The visit.
        config: The config with all defaults.
        feed_count: The number of feeds that are kept.
    """
    if not visit.may(Scope.CONFIG):
        return []
    links = visit.platform.links.of_tenant(visit.tenant_id, LinkKind.FEED)
    has_link = bool(links) or bool(config.get("deliveries"))
    if feed_count > 1 and not has_link:
        return []
    is_read = any(link.last_used_at for link in links)
    if config.get("deliveries") and not is_read:
        deliveries = deliveries_of(visit.platform, visit.tenant_id).deliveries
        is_read = any(delivery.last_delivered_at for delivery in deliveries)
    if is_read:
        return []
    steps = list(_steps_to_feed(visit, config, has_feed=feed_count > 0))
    settings = f"{_root(visit)}/settings"
    steps.append(
        Step("Create a link to your feed", f"{settings}/links", has_link)
    )
    steps.append(
        Step(
            "Enter the link in your shop, so that it reads the feed",
            f"{settings}/links",
            is_done=False,
        )
    )
    return steps


def _root(visit: visits.Visit) -> str:
    return f"{frame.HOME}/tenants/{visit.tenant_id}"


def _steps_to_feed(
    visit: visits.Visit, config: Mapping[str, Any], *, has_feed: bool
) -> Iterator[Step]:
    """Yield the steps until the first feed is made."""
    root = _root(visit)
    vendors = config["vendors"]
    yield Step("Add a vendor", f"{root}/settings/new-vendor", bool(vendors))
    without_file = "" if has_feed else _vendor_without_file(visit, vendors)
    path = f"{root}/vendors/{without_file}" if without_file else root
    yield Step(
        "Upload a file of each vendor, and apply the settings that Relay proposes",
        path,
        bool(vendors) and not without_file,
    )
    yield Step("Check your margin", f"{root}/settings/prices", has_feed)
    yield Step("Start the first run", root, has_feed)


def _vendor_without_file(
    visit: visits.Visit, vendors: list[Mapping[str, Any]]
) -> str:
    """Return the first vendor that has no file yet; "" if each has one."""
    for vendor in vendors[:_MAX_VENDORS]:
        prefix = vendor["inbound"].get("s3_prefix")
        if prefix and visit.platform.objects.latest_object(prefix) is None:
            return str(vendor["vendor_id"])
    return ""
