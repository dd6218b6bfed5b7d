"""The three tables of one installation, transactions over them, and the audit.

What makes something of a tenant is written on condition that the tenant is active. One item says
that it is not, ``DELETION#<tenant_id>``, and nobody else keeps a copy of it: what one writer has
read is no reason for another. What changes something adds its entry to the audit in its own
transaction; no entry is changed or deleted, and no role of the template may.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from relay_dagster.aws.clients import (
    TRANSACTION_COLLIDED,
    Clients,
    error_code,
    maps_aws_errors,
    retrying,
)
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import (
    epoch_seconds,
    instant_text,
    marshal,
    unmarshal,
)
from relay_dagster.aws.dynamodb.table import IS_THERE, Condition, Table, Write
from relay_dagster.external_errors import RequestRejectedError, ThrottledError
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.runs.ports import Page, utc_now
from relay_dagster.settings import Settings
from relay_dagster.tenants.audit import KEPT_FOR, Action, AuditEntry, Origin
from relay_dagster.tenants.deletion import TenantState

BETWEEN_NOTES = timedelta(hours=1)
"""The last use of a key or a link is noted at most so often."""
_T = TypeVar("_T")
_ACTIVE = "active"
_OPERATION = "dynamodb.TransactWriteItems"
# Why DynamoDB cancelled a transaction for one of its items
_ITEM_COLLIDED = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)


class ConditionsFailedError(Exception):
    """Conditions of a transaction did not hold; nothing was written.

    ``items`` maps the role of each write whose condition failed to the item found, if there is one.
    """

    def __init__(self, items: Mapping[str, Mapping[str, Any] | None]) -> None:
        self.items = dict(items)
        super().__init__(f"conditions failed: {', '.join(self.items)}")


@dataclass(frozen=True, slots=True)
class Database:
    """The tables."""

    clients: Clients  # AWS
    runs: Table  # runs and what belongs to them
    tenants: Table  # what tenants have stored
    audit: Table  # who changed what
    clock: Callable[[], datetime] = utc_now  # tells the time, aware

    @classmethod
    def of(
        cls,
        clients: Clients,
        names: Settings,
        count_unreadable: Callable[[], None] = lambda: None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "Database":
        """Return the tables of these names; nothing is sent."""
        runs, tenants, audit = (
            Table(clients, name, count_unreadable=count_unreadable, sleep=sleep)
            for name in (names.runs_table, names.tenants_table, names.audit_table)
        )
        return cls(clients, runs, tenants, audit)

    @maps_aws_errors
    def transact(self, *writes: Write) -> None:
        """Carry out all or none, but optional ones that fail alone; else `ConditionsFailedError`.

        A token makes a request that is sent again after a lost answer harmless. Transactions that
        touch one item at once collide, which says nothing of the conditions: they are tried again.
        """
        request: Any = [write.request() for write in writes]

        def try_once() -> None:
            token = str(uuid.uuid4())
            try:
                self.clients.dynamodb.transact_write_items(
                    TransactItems=request, ClientRequestToken=token
                )
            except ClientError as error:
                meaning = _meaning(error, writes)
                if meaning is None:
                    raise
                raise meaning from error

        again = retrying(
            lambda error: isinstance(error, ThrottledError), sleep=self.runs.sleep
        )
        try:
            again(try_once)
        except ConditionsFailedError as error:
            left = [write for write in writes if write.role not in error.items]
            if not all(write.optional or write in left for write in writes):
                raise
            if left:
                self.transact(*left)

    def carry_out(self, *writes: Write) -> bool:
        """Carry out all writes or none; return False where somebody else has just done it."""
        try:
            self.transact(*writes)
        except ConditionsFailedError:
            return False
        return True

    def owned_keys(self, tenant_id: str, prefix: str) -> list[str]:
        """Return the keys of a tenant's items that begin with a prefix, by an index, which lags."""
        rows = self.tenants.partition(schema.BY_OWNER, (schema.OWNER, tenant_id))
        keys = (str(row[schema.KEY]) for row in rows)
        return [key for key in keys if key.startswith(prefix)]

    def owned_page(
        self,
        tenant_id: str,
        prefix: str,
        limit: int,
        start: Mapping[str, Any] | None = None,
        *,
        forward: bool = True,
    ) -> tuple[list[str], Mapping[str, Any] | None]:
        """Return up to ``limit`` such keys in order, or backwards, and the row to go on after."""
        owner = (schema.OWNER, tenant_id)
        rows, last = self.tenants.rows(
            schema.BY_OWNER, owner, None, limit, start, prefix=prefix, forward=forward
        )
        return [str(row[schema.KEY]) for row in rows], last

    def transact_while_active(self, tenant_id: str | None, *writes: Write) -> None:
        """Carry out all or none; `TenantClosingError` where the tenant is being deleted."""
        if tenant_id is None:
            self.transact(*writes)
            return
        try:
            self.transact(*writes, self.tenant_active(tenant_id))
        except ConditionsFailedError as error:
            if _ACTIVE in error.items:
                raise closing_error(tenant_id, error.items[_ACTIVE]) from error
            raise

    def tenant_active(self, tenant_id: str, sent_at: datetime | None = None) -> Write:
        """Return the condition that a tenant is not deleted, or was before ``sent_at``."""
        over = "#state = :deleted AND attribute_not_exists(is_swept)"
        values = {"deleted": TenantState.DELETED.value}
        if sent_at is not None:
            over += " AND deleted_at < :sent"
            values["sent"] = instant_text(sent_at)
        write = self.tenants.write(
            _ACTIVE,
            "ConditionCheck",
            schema.Kind.DELETION.key(tenant_id),
            condition=f"attribute_not_exists({schema.KEY}) OR ({over})",
            names={"#state": "state"},
            **values,
        )
        refusal = partial(closing_error, tenant_id)
        return replace(write, condition=Condition.TENANT_ACTIVE, refusal=refusal)

    def note_use(self, role: str, key: str, last_used_at: datetime | None) -> None:
        """Note that a key or a link is used, at most once an hour; one that is gone stays gone."""
        now = self.clock()
        if last_used_at is None or now - last_used_at >= BETWEEN_NOTES:
            noted, expression = instant_text(now), "SET last_used_at = :now"
            write = self.tenants.write(
                role, "Update", key, expression, IS_THERE, now=noted
            )
            self.tenants.carry_out(write)

    def until_it_holds(
        self,
        step: Callable[[], _T],
        operation: str,
        whose: str,
        tries: int = 12,
        on: type[Exception] = ConditionsFailedError,
    ) -> _T:
        """Return a step's outcome; take the step again if others came between.

        Raises:
            ThrottledError: Others came between every time: the step raised ``on``.
        """
        again = retrying(lambda error: isinstance(error, on), tries=tries)
        try:
            return again(step)
        except on as error:
            raise ThrottledError(
                operation, f"{whose}: too many writers at once"
            ) from error

    def audited(
        self,
        origin: Origin,
        action: Action,
        tenant_id: str | None,
        target: str | None,
        **more: Any,
    ) -> Write:
        """Return the write of the audit's entry of an act of now."""
        return self.audit_write(
            origin.entry(action, tenant_id, target, self.clock(), **more)
        )

    def audit_write(self, entry: AuditEntry) -> Write:
        """Return the write of an entry; one that is there is this very one, and no fault."""
        item = {
            schema.KEY: entry.audit_id,
            schema.LISTED: schema.ALL_ENTRIES,
            schema.OWNER: entry.tenant_id,
            schema.ACTION: entry.action.value,
            "entry": json.dumps(entry.to_document(), ensure_ascii=False),
            schema.EXPIRY: epoch_seconds(entry.occurred_at + KEPT_FOR),
        }
        write = self.audit.new(f"audit {entry.audit_id}", marshal(item))
        return replace(write, optional=True, condition=Condition.NOT_AUDITED)


def is_closed(item: Mapping[str, Any] | None) -> bool:
    """Return whether the item of a tenant's deletion says that the tenant is being deleted."""
    found = unmarshal(item or {})
    return bool(found) and (
        found["state"] != TenantState.DELETED or "is_swept" in found
    )


def closing_error(tenant_id: str, item: Mapping[str, Any] | None) -> TenantClosingError:
    """Return the error of the failed condition `tenant_active`; ``item`` is of the deletion."""
    return TenantClosingError(tenant_id, is_deleted=not is_closed(item))


def _meaning(error: ClientError, writes: Sequence[Write]) -> Exception | None:
    """Return what an error response says of a transaction; a collision is a `ThrottledError`."""
    code = error_code(error)
    if code in TRANSACTION_COLLIDED:
        return ThrottledError(_OPERATION, code)
    if code != "TransactionCanceledException":
        return None
    response: Mapping[str, Any] = error.response
    reasons = [dict(reason) for reason in response.get("CancellationReasons", [])]
    codes = [str(reason.get("Code", "None")) for reason in reasons]
    failed = {
        write.role: reason.get("Item") or None
        for write, reason, each in zip(writes, reasons, codes, strict=False)
        if each == "ConditionalCheckFailed"
    }
    if failed:
        return ConditionsFailedError(failed)
    collided = [each for each in codes if each in _ITEM_COLLIDED]
    if collided:
        return ThrottledError(_OPERATION, collided[0])
    return RequestRejectedError(_OPERATION, str(error))


@dataclass(frozen=True, slots=True)
class AuditStore:
    """The audit of one installation."""

    database: Database

    def add(self, entry: AuditEntry) -> None:
        """Add the entry of an act that is no transaction."""
        self.database.transact(self.database.audit_write(entry))

    def list_entries(
        self,
        tenant_id: str | None = None,
        action: Action | None = None,
        *,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[AuditEntry]:
        """Return entries, newest first, of indexes, which lag; a page may hold few, or none."""
        filtered = None
        if tenant_id is not None:
            index, key = schema.AUDIT_BY_TENANT, (schema.OWNER, tenant_id)
            filtered = None if action is None else (schema.ACTION, action.value)
        elif action is not None:
            index, key = schema.AUDIT_BY_ACTION, (schema.ACTION, action.value)
        else:
            index, key = schema.AUDIT_BY_TIME, (schema.LISTED, schema.ALL_ENTRIES)
        start = None if after is None else marshal({schema.KEY: after, key[0]: key[1]})
        table = self.database.audit
        rows, last = table.rows(index, key, filtered, limit, start)
        keys = (str(row[schema.KEY]) for row in rows)
        entries = table.read_all(
            keys, lambda item: AuditEntry.of_document(json.loads(item["entry"]["S"]))
        )
        return Page(tuple(entries), str(last[schema.KEY]) if last else None)
