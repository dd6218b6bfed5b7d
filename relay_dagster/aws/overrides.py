"""Tenants' overrides: one document a tenant, each version of it an object of its own.

Ten thousand of them are too long for an item. So a version is JSON Lines, by SKU, under
``published/<tenant_id>/overrides/``, and ``OVERRIDES#<tenant_id>`` in the tenants table names the
one in force. A new version is stored first and then named, on condition that none came between.
"""

import io
import json
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from relay_core.config import Override
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Codec
from relay_dagster.aws.dynamodb.database import ConditionsFailedError, Database
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.external_errors import ThrottledError
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.tenants.audit import SYSTEM, Action, Origin
from relay_dagster.tenants.errors import QuotaExceededError

MAX_OVERRIDES = 10_000
ACCEPTED_FOR = timedelta(days=30)
_MAX_NAMED = 100
# Each lost one means that another writer of this tenant got through.
_TRIES = 30
_Steps = Callable[[dict[str, Override], datetime], Mapping[str, Override]]


@dataclass(frozen=True, slots=True)
class _Head:
    """The version in force and its object."""

    tenant_id: str
    version: int
    object_key: str


@dataclass(frozen=True, slots=True)
class OverrideDocument:
    """A version of a tenant's overrides, by SKU; version 0 is that there never were any."""

    version: int = 0
    overrides: Mapping[str, Override] = field(default_factory=dict)
    # The lines of those that this release cannot read, as they are stored
    unread: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OverrideChange:
    """A change of a document: its version then, how many overrides it has, how many differ."""

    version: int
    count: int
    changed: int


_HEADS = Codec(kind=_Head)


@dataclass(frozen=True, slots=True)
class OverrideStore:
    """The document of each tenant; one whose time has passed leaves it with the next change."""

    database: Database
    objects: ObjectStore

    def document(self, tenant_id: str) -> OverrideDocument:
        """Return a tenant's overrides as they stand."""
        return self._read(self._head(tenant_id))

    def put(
        self, tenant_id: str, overrides: Iterable[Override], origin: Origin = SYSTEM
    ) -> OverrideChange:
        """Put overrides in place of those of their SKUs; what was accepted stays."""
        wanted = {one.sku: one for one in overrides}

        def put(before: dict[str, Override], now: datetime) -> dict[str, Override]:
            kept = {sku: one.accepted for sku, one in before.items() if sku in wanted}
            changed = {
                s: one.model_copy(update=kept.get(s, {})) for s, one in wanted.items()
            }
            return before | changed

        return self._change(
            tenant_id, put, Action.OVERRIDES_PUT, tenant_id, wanted, origin
        )

    def remove(
        self, tenant_id: str, skus: Collection[str], origin: Origin = SYSTEM
    ) -> OverrideChange:
        """Remove the overrides of SKUs, with what was accepted of them, as far as there are any."""

        def remove(before: dict[str, Override], now: datetime) -> dict[str, Override]:
            return {sku: one for sku, one in before.items() if sku not in skus}

        return self._change(
            tenant_id, remove, Action.OVERRIDES_REMOVED, tenant_id, skus, origin
        )

    def accept(
        self,
        tenant_id: str,
        prices: Mapping[str, Decimal],
        run_id: str,
        reason: str,
        origin: Origin = SYSTEM,
    ) -> OverrideChange:
        """Accept prices that a run has computed, for 30 days; what is accepted already stays so."""

        def accept(before: dict[str, Override], now: datetime) -> dict[str, Override]:
            until = (now + ACCEPTED_FOR).replace(microsecond=0)
            changed = {}
            for sku, price in prices.items():
                one = before.get(sku) or Override.model_construct(sku=sku)
                if one.accept_price != price:
                    accepted = {"accept_price": price, "accept_until": until}
                    changed[sku] = one.model_copy(update=accepted)
            return before | changed

        return self._change(
            tenant_id,
            accept,
            Action.SKUS_ACCEPTED,
            run_id,
            prices,
            origin,
            reason=reason,
        )

    def _head(self, tenant_id: str) -> _Head | None:
        return self.database.tenants.read(Kind.OVERRIDES.key(tenant_id), _HEADS.read)

    def _read(self, head: _Head | None) -> OverrideDocument:
        """Return the document that a head names; its object goes as soon as another is named."""
        if head is None:
            return OverrideDocument()
        data = self.objects.read_or_none(head.object_key)
        if data is None:
            now = self._head(head.tenant_id)
            if now == head:
                raise ThrottledError("s3.GetObject", f"{head.object_key} is gone")
            return self._read(now)
        overrides, unread = {}, {}
        # A line at a time: as one text it may take four times its bytes.
        for line in io.BytesIO(data):
            stored = json.loads(line)
            try:
                overrides[stored["sku"]] = Override.model_validate(stored)
            except ValidationError as error:
                unread[stored["sku"]] = line
                item = {schema.KEY: {"S": Kind.OVERRIDES.key(head.tenant_id)}}
                self.database.tenants.report_unreadable(item, error)
        return OverrideDocument(head.version, overrides, unread)

    def _change(
        self,
        tenant_id: str,
        steps: _Steps,
        action: Action,
        target: str,
        skus: Collection[str],
        origin: Origin,
        **details: Any,
    ) -> OverrideChange:
        """Make of a document what the steps make of it; of two at once the second goes on."""

        def try_once() -> OverrideChange:
            head, now = self._head(tenant_id), self.database.clock()
            document = self._read(head)
            before = {
                s: left
                for s, one in document.overrides.items()
                if (left := one.at(now))
            }
            after = steps(dict(before), now)
            kept = {
                sku: line for sku, line in document.unread.items() if sku not in skus
            }
            changed = sum(
                before.get(sku) != after.get(sku) for sku in {*before, *after}
            )
            changed += len(document.unread) - len(kept)
            if not changed:
                return OverrideChange(document.version, len(after), 0)
            if len(after) > max(MAX_OVERRIDES, len(before)):
                raise QuotaExceededError(
                    "OVERRIDE_QUOTA_EXCEEDED", tenant_id, MAX_OVERRIDES
                )
            version = document.version + 1
            facts = {
                "version": version,
                "count": len(skus),
                "skus": sorted(skus)[:_MAX_NAMED],
            }
            entry = origin.entry(action, tenant_id, target, now, **facts, **details)
            key = f"{_place_of(tenant_id)}{version:010}-{secrets.token_hex(16)}.jsonl"
            in_order = sorted({*after, *kept})
            lines = (
                kept[sku] if sku in kept else _line(after[sku]) for sku in in_order
            )
            self.objects.put_stream(key, lines)
            table, place = self.database.tenants, Kind.OVERRIDES.key(tenant_id)
            item = _HEADS.item(place, _Head(tenant_id, version, key))
            named = table.new("overrides", item)
            if head is not None:
                was = head.version
                named = table.update("overrides", item, item, "version = :was", was=was)
            try:
                audited = self.database.audit_write(entry)
                self.database.transact_while_active(tenant_id, named, audited)
            except (ConditionsFailedError, TenantClosingError):
                self.objects.delete(key)
                raise
            # Those of earlier versions go, those too that were stored and never named.
            for each in self.objects.list_objects(_place_of(tenant_id)):
                if each.file_name < f"{version + 1:010}" and each.key != key:
                    self.objects.delete(each.key)
            return OverrideChange(version, len(after), changed)

        return self.database.until_it_holds(
            try_once, "change overrides", f"tenant {tenant_id}", tries=_TRIES
        )


def _line(override: Override) -> bytes:
    return f"{json.dumps(override.as_dict(), ensure_ascii=False)}\n".encode()


def _place_of(tenant_id: str) -> str:
    return f"published/{tenant_id}/overrides/"
