"""Combines the three tables of an installation, their transactions, and the audit.

Whatever creates something for a tenant is written on the condition that the tenant is
active. A single item, ``DELETION#<tenant_id>``, says that a tenant is not active. Nobody
keeps a copy of it, because what one writer has read says nothing to another. Every
change adds its entry to the audit in its own transaction. No entry is changed or
deleted, and no role of the template may do so.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from relay_dagster.aws import errors
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import codec, expressions, schema
from relay_dagster.aws.dynamodb.codec import Item
from relay_dagster.aws.dynamodb.expressions import Update
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.writes import Precondition, Write
from relay_dagster.external_errors import RequestRejectedError, ThrottledError
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.runs.ports import utc_now
from relay_dagster.settings import Settings
from relay_dagster.tenants.audit import KEPT_FOR, Action, AuditEntry, Origin
from relay_dagster.tenants.deletion import TenantState

USE_NOTED_EVERY = timedelta(hours=1)
"""How often the last use of a key or a link is stored, at most."""

_T = TypeVar("_T")
_ACTIVE = "active"
_OPERATION = "dynamodb.TransactWriteItems"
# Reasons for which DynamoDB cancels a transaction although its conditions may hold
_ITEM_COLLIDED = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"},
)


class ConditionsFailedError(Exception):
    """Conditions of a transaction did not hold, and nothing was written.

    ``items`` maps the role of each write whose condition failed to the stored item, or to
    None where there is none.
    """

    def __init__(self, items: Mapping[str, Item | None]) -> None:
        self.items = dict(items)
        super().__init__(f"conditions failed: {', '.join(self.items)}")


def _ignore() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Database:
    """The tables of an installation."""

    # The clients of AWS
    clients: Clients
    # The table of runs and what belongs to them
    runs: Table
    # The table of what tenants have stored
    tenants: Table
    # The table of who changed what
    audit: Table
    # Returns the present instant, with its zone
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def of(
        cls,
        clients: Clients,
        names: Settings,
        count_unreadable: Callable[[], None] = _ignore,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "Database":
        """Return the tables with the names that the settings have. Nothing is sent."""

        def table(name: str) -> Table:
            return Table(
                clients,
                name,
                count_unreadable=count_unreadable,
                sleep=sleep,
            )

        return cls(
            clients,
            table(names.runs_table),
            table(names.tenants_table),
            table(names.audit_table),
        )

    # --- transactions -----------------------------------------------------------------

    @errors.maps_aws_errors
    def transact(self, *writes: Write) -> None:
        """Carry out all writes or none, except for optional ones, which may fail individually.

        A request that is repeated because its response was lost has the same token, so it
        does no harm. Transactions that change the same item simultaneously collide, which
        says nothing of their conditions, so they are repeated.

        Raises:
            ConditionsFailedError: The condition of a write that is not optional failed.
            ExternalServiceError: DynamoDB did not carry out the transaction.
        """
        requests: Any = [write.request() for write in writes]
        tries = errors.retrying(
            lambda error: isinstance(error, ThrottledError),
            sleep=self.runs.sleep,
        )
        try:
            for attempt in tries:
                with attempt:
                    try:
                        self.clients.dynamodb.transact_write_items(
                            TransactItems=requests,
                            ClientRequestToken=str(uuid.uuid4()),
                        )
                    except ClientError as error:
                        meaning = _meaning(error, writes)
                        if meaning is None:
                            raise
                        raise meaning from error
        except ConditionsFailedError as error:
            failed_writes = [
                write for write in writes if write.role in error.items
            ]
            if not all(write.optional for write in failed_writes):
                raise
            other_writes = [
                write for write in writes if write.role not in error.items
            ]
            if other_writes:
                self.transact(*other_writes)

    def carry_out(self, *writes: Write) -> bool:
        """Carry out all writes or none. Return False if a condition failed."""
        try:
            self.transact(*writes)
        except ConditionsFailedError:
            return False
        return True

    def transact_while_active(
        self,
        tenant_id: str | None,
        *writes: Write,
    ) -> None:
        """Carry out all writes or none, if the tenant is active; None is any tenant.

        Raises:
            TenantClosingError: The tenant is being deleted.
            ConditionsFailedError: The condition of another write failed.
        """
        if tenant_id is None:
            self.transact(*writes)
            return
        try:
            self.transact(*writes, self.tenant_active(tenant_id))
        except ConditionsFailedError as error:
            if _ACTIVE in error.items:
                raise _closing_error(tenant_id, error.items[_ACTIVE]) from error
            raise

    def tenant_active(
        self,
        tenant_id: str,
        sent_at: datetime | None = None,
    ) -> Write:
        """Return the condition that a tenant is not being deleted.

        With ``sent_at``, a tenant that was deleted must have been deleted before.
        """
        is_deleted = Attr("state").eq(TenantState.DELETED.value)
        is_over = is_deleted & Attr("is_swept").not_exists()
        if sent_at is not None:
            is_over &= Attr("deleted_at").lt(codec.instant_text(sent_at))
        write = self.tenants.require(
            _ACTIVE,
            schema.Kind.DELETION.key(tenant_id),
            expressions.DOES_NOT_EXIST | is_over,
        )
        return replace(
            write,
            precondition=Precondition.TENANT_ACTIVE,
            refusal=partial(_closing_error, tenant_id),
        )

    def until_it_holds(
        self,
        step: Callable[[], _T],
        operation: str,
        subject: str,
        tries: int = 12,
        on: type[Exception] = ConditionsFailedError,
    ) -> _T:
        """Return the result of a step, which is repeated while it raises ``on``.

        Raises:
            ThrottledError: Other writers came between all tries.
        """
        again = errors.retrying(
            lambda error: isinstance(error, on),
            tries=tries,
        )
        try:
            return again(step)
        except on as error:
            reason = f"{subject}: too many writers at once"
            raise ThrottledError(operation, reason) from error

    # --- items of the tenants table ---------------------------------------------------

    def owned_keys(self, tenant_id: str, prefix: str) -> list[str]:
        """Return the keys of a tenant's items that begin with a prefix.

        The index that finds them lags.
        """
        rows = self.tenants.rows(schema.owned_items(tenant_id))
        keys = [str(row[schema.KEY]) for row in rows]
        return [key for key in keys if key.startswith(prefix)]

    def owned_page(
        self,
        tenant_id: str,
        prefix: str,
        limit: int,
        start: Item | None = None,
        *,
        forward: bool = True,
    ) -> tuple[list[str], Mapping[str, Any] | None]:
        """Return a page of the keys that `owned_keys` returns, in order or backwards.

        The second value is the row after which the next page begins, or None at the end.
        """
        rows, last_row = self.tenants.page(
            schema.owned_items(tenant_id),
            bound=Key(schema.KEY).begins_with(prefix),
            limit=limit,
            start=start,
            forward=forward,
        )
        return [str(row[schema.KEY]) for row in rows], last_row

    def note_use(
        self,
        role: str,
        key: str,
        last_used_at: datetime | None,
        *,
        every: timedelta = USE_NOTED_EVERY,
    ) -> None:
        """Store that something was used, unless its last use is new or it is deleted."""
        now = self.clock()
        if last_used_at is None or now - last_used_at >= every:
            update = Update(sets={"last_used_at": codec.instant_text(now)})
            write = self.tenants.update(role, key, update, expressions.EXISTS)
            self.tenants.carry_out(write)

    # --- the audit --------------------------------------------------------------------

    def audited(
        self,
        origin: Origin,
        action: Action,
        tenant_id: str | None,
        target: str | None,
        **details: Any,
    ) -> Write:
        """Return the write of the audit's entry of an act that happens now."""
        entry = origin.entry(action, tenant_id, target, self.clock(), **details)
        return self.audit_write(entry)

    def audit_write(self, entry: AuditEntry) -> Write:
        """Return the write of an entry of the audit.

        An entry with the same id is the very same entry, so its existence is not an error.
        """
        item = {
            schema.KEY: entry.audit_id,
            schema.LISTED: schema.ALL_ENTRIES,
            schema.OWNER: entry.tenant_id,
            schema.ACTION: entry.action.value,
            "entry": json.dumps(entry.to_document(), ensure_ascii=False),
            schema.EXPIRY: codec.epoch_seconds(entry.occurred_at + KEPT_FOR),
        }
        write = self.audit.new(f"audit {entry.audit_id}", codec.marshal(item))
        return replace(
            write,
            optional=True,
            precondition=Precondition.NOT_AUDITED,
        )


def is_closed(deletion_item: Item | None) -> bool:
    """Return True if the item of a tenant's deletion says that it is being deleted."""
    deletion = codec.unmarshal(deletion_item or {})
    if not deletion:
        return False
    return deletion["state"] != TenantState.DELETED or "is_swept" in deletion


def _closing_error(
    tenant_id: str,
    deletion_item: Item | None,
) -> TenantClosingError:
    """Return the error of the failed condition `Database.tenant_active`."""
    return TenantClosingError(
        tenant_id,
        is_deleted=not is_closed(deletion_item),
    )


def _meaning(error: ClientError, writes: Sequence[Write]) -> Exception | None:
    """Return what the error of a transaction means, or None for an error of any call.

    A collision with another writer is a `ThrottledError`.
    """
    code = errors.error_code(error)
    if code in errors.TRANSACTION_COLLIDED:
        return ThrottledError(_OPERATION, code)
    if code != "TransactionCanceledException":
        return None
    response: Mapping[str, Any] = error.response
    # DynamoDB gives one reason a write, in the order of the writes.
    failed_items: dict[str, Item | None] = {}
    collisions = []
    for write, reason in zip(
        writes,
        response.get("CancellationReasons", []),
        strict=False,
    ):
        reason_code = str(reason.get("Code", "None"))
        if reason_code == "ConditionalCheckFailed":
            failed_items[write.role] = reason.get("Item") or None
        elif reason_code in _ITEM_COLLIDED:
            collisions.append(reason_code)
    if failed_items:
        return ConditionsFailedError(failed_items)
    if collisions:
        return ThrottledError(_OPERATION, collisions[0])
    return RequestRejectedError(_OPERATION, str(error))
