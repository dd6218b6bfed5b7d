"""Stores each tenant's overrides as one document, and each version of it as an object.

Ten thousand overrides do not fit into an item. A version is therefore an object of JSON
Lines, by SKU, under ``published/<tenant_id>/overrides/``. ``OVERRIDES#<tenant_id>`` in
the tenants table names the version that is in effect. A new version is stored first and
named afterwards, on the condition that no other version has been named in the meantime.
"""

import io
import json
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from boto3.dynamodb.conditions import Attr
from pydantic import ValidationError

from relay_core.config import Override
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Codec
from relay_dagster.aws.dynamodb.database import ConditionsFailedError, Database
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.external_errors import ThrottledError
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.tenants.errors import QuotaExceededError

MAX_OVERRIDES = 10_000
"""The number of overrides that a tenant may have."""

ACCEPTED_FOR = timedelta(days=30)
"""How long an accepted price stays accepted."""

_MAX_AUDITED_SKUS = 100
# Every lost attempt means that another writer of the same tenant has succeeded.
_MAX_WRITE_ATTEMPTS = 30

Overrides = dict[str, Override]
"""Overrides by SKU."""


@dataclass(frozen=True, slots=True)
class _Head:
    """A tenant's version that is in effect, and the key of its object."""

    tenant_id: str
    version: int
    object_key: str


_HEADS = Codec(kind=_Head)


@dataclass(frozen=True, slots=True)
class OverrideDocument:
    """A version of a tenant's overrides, by SKU. Version 0 has none and is not stored."""

    version: int = 0
    overrides: Mapping[str, Override] = field(default_factory=dict)
    # The stored lines of the overrides that this release cannot read, by SKU
    unread: Mapping[str, bytes] = field(default_factory=dict)

    def in_force(self, now: datetime) -> Overrides:
        """Return the overrides without those, and without the parts, that have expired."""
        overrides_in_force = {}
        for sku, override in self.overrides.items():
            override_in_force = override.in_effect_at(now)
            if override_in_force is not None:
                overrides_in_force[sku] = override_in_force
        return overrides_in_force


@dataclass(frozen=True, slots=True)
class OverrideChange:
    """The result of a change.

    It has the document's version, the number of its overrides, and the number of those
    that have changed.
    """

    version: int
    count: int
    changed: int


@dataclass(frozen=True, slots=True)
class _Step:
    """A change of a tenant's overrides, with the facts of its audit entry."""

    # Returns the overrides after the change, given those in effect and the present instant
    rule: Callable[[Overrides, datetime], Overrides]
    # The SKUs of the change
    skus: Collection[str]
    action: Action
    target: str
    origin: Origin
    details: Mapping[str, Any] = field(default_factory=dict)

    def entry(self, tenant_id: str, version: int, now: datetime) -> AuditEntry:
        """Return the audit's entry of the change to a version."""
        return self.origin.entry(
            self.action,
            tenant_id,
            self.target,
            now,
            version=version,
            count=len(self.skus),
            skus=sorted(self.skus)[:_MAX_AUDITED_SKUS],
            **self.details,
        )


@dataclass(frozen=True, slots=True)
class OverrideStore:
    """The documents of all tenants. An expired override leaves with the next change."""

    database: Database
    objects: ObjectStore

    def document(self, tenant_id: str) -> OverrideDocument:
        """Return the version of a tenant's overrides that is in effect."""
        return self._read(self._head(tenant_id))

    def put(
        self,
        tenant_id: str,
        overrides: Iterable[Override],
        origin: Origin = SYSTEM,
    ) -> OverrideChange:
        """Store overrides instead of those of the same SKUs; accepted prices stay.

        Raises:
            QuotaExceededError: The tenant would have more overrides than it may have.
            TenantClosingError: The tenant is being deleted.
        """
        new_overrides = {override.sku: override for override in overrides}

        def put(current: Overrides, _now: datetime) -> Overrides:
            merged = dict(current)
            for sku, override in new_overrides.items():
                accepted = current[sku].acceptance if sku in current else {}
                merged[sku] = override.model_copy(update=accepted)
            return merged

        step = _Step(
            put,
            new_overrides,
            Action.OVERRIDES_PUT,
            tenant_id,
            origin,
        )
        return self._change(tenant_id, step)

    def remove(
        self,
        tenant_id: str,
        skus: Collection[str],
        origin: Origin = SYSTEM,
    ) -> OverrideChange:
        """Remove the overrides of SKUs, accepted prices included, where there are any.

        Raises:
            TenantClosingError: The tenant is being deleted.
        """

        def remove(current: Overrides, _now: datetime) -> Overrides:
            return {sku: current[sku] for sku in current if sku not in skus}

        step = _Step(remove, skus, Action.OVERRIDES_REMOVED, tenant_id, origin)
        return self._change(tenant_id, step)

    def accept(
        self,
        tenant_id: str,
        prices: Mapping[str, Decimal],
        run_id: str,
        reason: str,
        origin: Origin = SYSTEM,
    ) -> OverrideChange:
        """Accept prices that a run has computed, by SKU, for 30 days.

        A price that is accepted already stays accepted until its own instant.

        Raises:
            QuotaExceededError: The tenant would have more overrides than it may have.
            TenantClosingError: The tenant is being deleted.
        """

        def accept(current: Overrides, now: datetime) -> Overrides:
            until = (now + ACCEPTED_FOR).replace(microsecond=0)
            merged = dict(current)
            for sku, price in prices.items():
                override = current.get(sku) or Override.model_construct(sku=sku)
                if override.accept_price != price:
                    accepted = {"accept_price": price, "accept_until": until}
                    merged[sku] = override.model_copy(update=accepted)
            return merged

        step = _Step(
            accept,
            prices,
            Action.SKUS_ACCEPTED,
            run_id,
            origin,
            {"reason": reason},
        )
        return self._change(tenant_id, step)

    def _head(self, tenant_id: str) -> _Head | None:
        return self.database.tenants.read(
            Kind.OVERRIDES.key(tenant_id),
            _HEADS.read,
        )

    def _read(self, head: _Head | None) -> OverrideDocument:
        """Return the document of a head.

        Its object is deleted as soon as another version is in force. That version is
        then read in its place.
        """
        if head is None:
            return OverrideDocument()
        data = self.objects.read_or_none(head.object_key)
        if data is None:
            current_head = self._head(head.tenant_id)
            if current_head == head:
                raise ThrottledError(
                    "s3.GetObject",
                    f"{head.object_key} is gone",
                )
            return self._read(current_head)
        overrides = {}
        unread = {}
        # The lines are read one by one, because one text takes up to four times the bytes.
        for line in io.BytesIO(data):
            stored = json.loads(line)
            try:
                overrides[stored["sku"]] = Override.model_validate(stored)
            except ValidationError as error:
                unread[stored["sku"]] = line
                item = {schema.KEY: {"S": Kind.OVERRIDES.key(head.tenant_id)}}
                self.database.tenants.report_unreadable(item, error)
        return OverrideDocument(head.version, overrides, unread)

    def _change(self, tenant_id: str, step: _Step) -> OverrideChange:
        """Change a tenant's document. Of two simultaneous changes, one follows the other."""
        return self.database.until_it_holds(
            lambda: self._try_to_change(tenant_id, step),
            "change overrides",
            f"tenant {tenant_id}",
            tries=_MAX_WRITE_ATTEMPTS,
        )

    def _try_to_change(self, tenant_id: str, step: _Step) -> OverrideChange:
        """Change a tenant's document, unless somebody else changes it in the meantime.

        Raises:
            ConditionsFailedError: Somebody else has changed the document.
        """
        head = self._head(tenant_id)
        now = self.database.clock()
        document = self._read(head)
        current = document.in_force(now)
        changed = step.rule(current, now)
        unread = {
            sku: line
            for sku, line in document.unread.items()
            if sku not in step.skus
        }
        differing_skus = [
            sku
            for sku in {*current, *changed}
            if current.get(sku) != changed.get(sku)
        ]
        change_count = len(differing_skus) + len(document.unread) - len(unread)
        if not change_count:
            return OverrideChange(document.version, len(changed), 0)
        if len(changed) > max(MAX_OVERRIDES, len(current)):
            raise QuotaExceededError(
                "OVERRIDE_QUOTA_EXCEEDED",
                tenant_id,
                MAX_OVERRIDES,
            )
        version = document.version + 1
        object_key = f"{_prefix_of(tenant_id)}{version:010}-{secrets.token_hex(16)}.jsonl"
        self.objects.put_stream(object_key, _lines(changed, unread))
        new_head = _Head(tenant_id, version, object_key)
        try:
            self.database.transact_while_active(
                tenant_id,
                self._head_write(head, new_head),
                self.database.audit_write(step.entry(tenant_id, version, now)),
            )
        except (ConditionsFailedError, TenantClosingError):
            self.objects.delete(object_key)
            raise
        self._delete_earlier_versions(new_head)
        return OverrideChange(version, len(changed), change_count)

    def _head_write(self, head: _Head | None, new_head: _Head) -> Write:
        """Return the write that puts a version in force, if none came between."""
        table = self.database.tenants
        item = _HEADS.item(Kind.OVERRIDES.key(new_head.tenant_id), new_head)
        if head is None:
            return table.new("overrides", item)
        is_current = Attr("version").eq(head.version)
        return table.overwrite("overrides", item, item.keys(), is_current)

    def _delete_earlier_versions(self, head: _Head) -> None:
        """Delete the objects of earlier versions, and of those that were never named."""
        first_later_name = f"{head.version + 1:010}"
        for stored in self.objects.list_objects(_prefix_of(head.tenant_id)):
            is_earlier = stored.file_name < first_later_name
            if is_earlier and stored.key != head.object_key:
                self.objects.delete(stored.key)


def _lines(
    overrides: Overrides,
    unread: Mapping[str, bytes],
) -> Iterable[bytes]:
    """Yield the lines of a document by SKU, unread ones as they were stored."""
    for sku in sorted({*overrides, *unread}):
        if sku in unread:
            yield unread[sku]
        else:
            text = json.dumps(overrides[sku].as_dict(), ensure_ascii=False)
            yield f"{text}\n".encode()


def _prefix_of(tenant_id: str) -> str:
    """Return the beginning of the keys of a tenant's documents."""
    return f"published/{tenant_id}/overrides/"
