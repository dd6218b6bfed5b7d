"""Links of tenants, in the tenants table as ``LINK#<link_id>``: digests alone, never a token.

A link's id is made of its token's digest, so that one consistent read finds a link by either.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from relay_dagster.aws.dynamodb.codec import Codec, digest_of
from relay_dagster.aws.dynamodb.database import Database, is_closed
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import IS_THERE
from relay_dagster.runs.errors import QuotaExceededError
from relay_dagster.tenants.audit import SYSTEM, Action, Origin

MAX_LINKS = 20
"""To a tenant's feed; and for a vendor's suppliers."""
_ID_LENGTH = 16


class LinkKind(StrEnum):
    """The kinds of links, by where they lead."""

    FEED = "feed"
    SUPPLIER = "supplier"


_ACTIONS = {
    LinkKind.FEED: (Action.FEED_LINK_CREATED, Action.FEED_LINK_DELETED),
    LinkKind.SUPPLIER: (Action.SUPPLIER_LINK_CREATED, Action.SUPPLIER_LINK_DELETED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link: whose it is, what it leads to, and the SHA-256 of its token, in hex.

    ``created_by`` is a caller's id; ``expires_at`` is None of a link that never expires;
    ``last_used_at`` lags by up to an hour.
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
    vendor_id: str | None = None  # whose supplier has it; None of a link to a feed

    def is_over(self, now: datetime) -> bool:
        """Return whether the link has expired."""
        return self.expires_at is not None and self.expires_at <= now


# `schema.EXPIRY` is the name by which items are deleted, where a table has that switched on.
_LINKS = Codec(kind=Link, in_key="link_id", renamed={"expires_at": "link_expires_at"})


def link_id_of(digest: str) -> str:
    """Return the id of the link whose token has a digest."""
    return digest[:_ID_LENGTH]


@dataclass(frozen=True, slots=True)
class LinkStore:
    """Links by their ids."""

    database: Database

    def find(self, token: str, kind: LinkKind) -> Link | None:
        """Return the link of a token while it is good, and its tenant is active; else None."""
        digest = digest_of(token)
        link = self.database.tenants.read(
            Kind.LINK.key(link_id_of(digest)), _LINKS.read
        )
        if (
            link is None
            or link.kind is not kind
            or not hmac.compare_digest(link.digest, digest)
        ):
            return None
        if link.is_over(self.database.clock()):
            return None
        closing = self.database.tenants.item(Kind.DELETION.key(link.tenant_id))
        return None if is_closed(closing) else link

    def of_tenant(self, tenant_id: str, kind: LinkKind) -> tuple[Link, ...]:
        """Return a tenant's links of a kind, the oldest first; of an index, which lags."""
        keys = self.database.owned_keys(tenant_id, Kind.LINK.key(""))
        found = self.database.tenants.read_all(keys, _LINKS.read)
        own = (each for each in found if each.kind is kind)
        return tuple(sorted(own, key=lambda each: each.created_at))

    def add(self, link: Link, origin: Origin = SYSTEM) -> None:
        """Keep a new link; `QuotaExceededError` where the tenant has as many as it may have."""
        others = self.of_tenant(link.tenant_id, link.kind)
        if sum(each.vendor_id == link.vendor_id for each in others) >= MAX_LINKS:
            raise QuotaExceededError("LINK_QUOTA_EXCEEDED", link.tenant_id, MAX_LINKS)
        item = _LINKS.item(Kind.LINK.key(link.link_id), link)
        until = None if link.expires_at is None else link.expires_at.isoformat()
        details = {"name": link.name, "expires_at": until, **_of_vendor(link)}
        made, _ = _ACTIONS[link.kind]
        entry = origin.entry(
            made, link.tenant_id, link.link_id, link.created_at, **details
        )
        self.database.transact_while_active(
            link.tenant_id,
            self.database.tenants.new("link", item),
            self.database.audit_write(entry),
        )

    def remove(
        self, tenant_id: str, link_id: str, kind: LinkKind, origin: Origin = SYSTEM
    ) -> bool:
        """Forget a tenant's link; tell whether the tenant had it."""
        link = self.database.tenants.read(Kind.LINK.key(link_id), _LINKS.read)
        if link is None or (link.tenant_id, link.kind) != (tenant_id, kind):
            return False
        _, removed = _ACTIONS[kind]
        details = {"name": link.name, **_of_vendor(link)}
        audited = self.database.audited(origin, removed, tenant_id, link_id, **details)
        key = Kind.LINK.key(link_id)
        gone = self.database.tenants.write("link", "Delete", key, condition=IS_THERE)
        return self.database.carry_out(gone, audited)

    def note_use(self, link: Link) -> None:
        """Note that a link is used, at most once an hour; a gone one stays gone."""
        self.database.note_use("link", Kind.LINK.key(link.link_id), link.last_used_at)


def _of_vendor(link: Link) -> dict[str, str]:
    return {} if link.vendor_id is None else {"vendor_id": link.vendor_id}
