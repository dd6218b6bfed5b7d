"""Stores the links of tenants, in the tenants table as ``LINK#<link_id>``.

The store has the digest of a link's token and never the token. The id of a link is the
beginning of that digest, so one consistent read finds a link by its id or its token.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from boto3.dynamodb.conditions import Attr

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import (
    DAY,
    Codec,
    digest_of,
    epoch_seconds,
    hour_of,
    unmarshal,
)
from relay_dagster.aws.dynamodb.database import Database, is_closed
from relay_dagster.aws.dynamodb.expressions import EXISTS, Update
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.tenants.audit import SYSTEM, Action, Origin
from relay_dagster.tenants.errors import QuotaExceededError
from relay_dagster.triggers.link_uploads import UPLOADS_PER_HOUR

MAX_LINKS = 20
"""The number of links that a tenant may have to its feed, and for each vendor."""
MAX_LINKS_IN_ALL = 200
"""The number of links of both kinds that a tenant may have, expired ones included."""
_ID_LENGTH = 16


class LinkKind(StrEnum):
    """The kinds of links, by where they lead."""

    FEED = "feed"
    SUPPLIER = "supplier"


_CREATED = {
    LinkKind.FEED: Action.FEED_LINK_CREATED,
    LinkKind.SUPPLIER: Action.SUPPLIER_LINK_CREATED,
}
_DELETED = {
    LinkKind.FEED: Action.FEED_LINK_DELETED,
    LinkKind.SUPPLIER: Action.SUPPLIER_LINK_DELETED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link, with its tenant and the SHA-256 of its token in hex.

    ``created_by`` is the id of a caller. ``expires_at`` is None for a link that never
    expires. ``last_used_at`` lags by up to an hour. ``vendor_id`` names the vendor whose
    supplier has the link, and is None for a link to a feed. ``channel_id`` names the
    channel whose file a link to a feed leads to, and is None for the feed itself.
    """

    link_id: str
    tenant_id: str
    kind: LinkKind
    digest: str
    name: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    vendor_id: str | None = None
    channel_id: str | None = None

    def is_over(self, now: datetime) -> bool:
        """Return True if the link has expired."""
        return self.expires_at is not None and self.expires_at <= now


# DynamoDB deletes items by an attribute with the name `schema.EXPIRY`, so a link, which
# people see after it has expired, has its expiry under another name.
_LINKS = Codec(
    kind=Link,
    in_key="link_id",
    renamed={"expires_at": "link_expires_at"},
)


def link_id_of(digest: str) -> str:
    """Return the id of the link whose token has the digest."""
    return digest[:_ID_LENGTH]


@dataclass(frozen=True, slots=True)
class LinkStore:
    """The links, by id."""

    database: Database

    @property
    def _table(self) -> Table:
        return self.database.tenants

    def find(self, token: str, kind: LinkKind) -> Link | None:
        """Return the valid link of a kind that has the token, or None where there is none.

        A link is valid until it expires, as long as its tenant is active.
        """
        digest = digest_of(token)
        key = Kind.LINK.key(link_id_of(digest))
        link = self._table.read(key, _LINKS.read)
        if link is None or link.kind is not kind:
            return None
        if not hmac.compare_digest(link.digest, digest):
            return None
        if link.is_over(self.database.clock()):
            return None
        deletion_item = self._table.item(Kind.DELETION.key(link.tenant_id))
        return None if is_closed(deletion_item) else link

    def of_tenant(self, tenant_id: str, kind: LinkKind) -> tuple[Link, ...]:
        """Return a tenant's links of a kind, the oldest first, by an index that lags."""
        links = self._all_of_tenant(tenant_id)
        links_of_kind = [link for link in links if link.kind is kind]
        return tuple(sorted(links_of_kind, key=lambda link: link.created_at))

    def _all_of_tenant(self, tenant_id: str) -> list[Link]:
        keys = self.database.owned_keys(tenant_id, Kind.LINK.key(""))
        return self._table.read_all(keys, _LINKS.read)

    def add(self, link: Link, origin: Origin = SYSTEM) -> None:
        """Store a new link.

        Raises:
            QuotaExceededError: The tenant has as many links as it may have, to its feed,
                for the vendor, or in all.
            TenantClosingError: The tenant is being deleted.
        """
        self._require_room(link)
        item = _LINKS.item(Kind.LINK.key(link.link_id), link)
        expiry = (
            None if link.expires_at is None else link.expires_at.isoformat()
        )
        details = {
            "name": link.name,
            "expires_at": expiry,
            **_vendor_detail(link),
        }
        entry = origin.entry(
            _CREATED[link.kind],
            link.tenant_id,
            link.link_id,
            link.created_at,
            **details,
        )
        self.database.transact_while_active(
            link.tenant_id,
            self._table.new("link", item),
            self.database.audit_write(entry),
        )

    def _require_room(self, link: Link) -> None:
        links = self._all_of_tenant(link.tenant_id)
        similar_links = [
            existing
            for existing in links
            if existing.kind is link.kind
            and existing.vendor_id == link.vendor_id
        ]
        for count, maximum in (
            (len(similar_links), MAX_LINKS),
            (len(links), MAX_LINKS_IN_ALL),
        ):
            if count >= maximum:
                raise QuotaExceededError(
                    "LINK_QUOTA_EXCEEDED", link.tenant_id, maximum
                )

    def remove(
        self,
        tenant_id: str,
        link_id: str,
        kind: LinkKind,
        origin: Origin = SYSTEM,
    ) -> bool:
        """Delete a tenant's link of a kind. Return False if the tenant has no such link."""
        key = Kind.LINK.key(link_id)
        link = self._table.read(key, _LINKS.read)
        if link is None or link.tenant_id != tenant_id or link.kind is not kind:
            return False
        details = {"name": link.name, **_vendor_detail(link)}
        return self.database.carry_out(
            self._table.delete("link", key, EXISTS),
            self.database.audited(
                origin,
                _DELETED[kind],
                tenant_id,
                link_id,
                **details,
            ),
        )

    def note_use(self, link: Link) -> None:
        """Store that a link was used, at most once an hour, unless it has been deleted."""
        self.database.note_use(
            "link",
            Kind.LINK.key(link.link_id),
            link.last_used_at,
        )

    # --- files that arrive ------------------------------------------------------------

    def count_upload(
        self, tenant_id: str, link_id: str, event_id: str, at: datetime
    ) -> bool:
        """Count a file that arrived by a link in the hour of an instant.

        The same event counts once. Return False if the link has uploaded as many files
        in that hour as it may; then the file is not counted.
        """
        hour = hour_of(at)
        attribute = _uploads_attribute(link_id)
        uploads = Attr(attribute)
        expiry = epoch_seconds(hour + DAY)
        update = Update(
            adds={attribute: {event_id}}, sets={schema.EXPIRY: expiry}
        )
        has_room = (
            uploads.not_exists()
            | uploads.size().lt(UPLOADS_PER_HOUR)
            | uploads.contains(event_id)
        )
        key = schema.link_uploads_key(tenant_id, hour)
        write = self.database.runs.update("uploads", key, update, has_room)
        return self.database.carry_out(write)

    def upload_count(self, tenant_id: str, link_id: str, at: datetime) -> int:
        """Return how many files arrived by a link in the hour of an instant."""
        key = schema.link_uploads_key(tenant_id, hour_of(at))
        item = self.database.runs.item(key)
        events = unmarshal(item or {}).get(_uploads_attribute(link_id), ())
        return len(events)


def _uploads_attribute(link_id: str) -> str:
    """Return the attribute with the events of a link's uploads."""
    return f"link_{link_id}"


def _vendor_detail(link: Link) -> dict[str, str]:
    """Return the vendor of a link as a detail of the audit, if the link has a vendor."""
    return {} if link.vendor_id is None else {"vendor_id": link.vendor_id}
