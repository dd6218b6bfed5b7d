"""Tenants' secrets in Secrets Manager, each bound to the one host that it may be sent to.

Value and host are one secret text, so that neither is ever changed without the other. The tenants
table lists names, hosts and dates as ``SECRET#<tenant_id>#<name>``, and never a value.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from relay_dagster.aws.clients import has_answered, maps_aws_errors, retrying, unless
from relay_dagster.aws.dynamodb.codec import Codec
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import IS_THERE
from relay_dagster.external_errors import ExternalServiceError, MissingResourceError
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.tenants.audit import SYSTEM, Action, Origin
from relay_dagster.tenants.errors import QuotaExceededError

MAX_SECRETS = 50
"""Of a tenant."""

_EXISTS = has_answered("ResourceExistsException")
_BEING_DELETED = has_answered("InvalidRequestException")


class SecretsUnavailableError(Exception):
    """Secrets Manager does not answer, or does not let this installation in."""

    error_code = "SECRETS_UNAVAILABLE"


log = event_log()


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A secret, and the only host that it is for: ``host`` or ``host:port``."""

    value: str = field(repr=False)
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEntry:
    """The facts of a secret that are shown."""

    tenant_id: str
    name: str
    host: str
    created_at: datetime
    updated_at: datetime


_ENTRIES = Codec(kind=SecretEntry)


@dataclass(frozen=True, slots=True)
class SecretStore:
    """Secrets of all tenants."""

    database: Database  # where their names are listed
    prefix: str  # what their names in Secrets Manager begin with

    def of_tenant(self, tenant_id: str) -> tuple[SecretEntry, ...]:
        """Return the shown facts of a tenant's secrets, by name; of an index, which lags."""
        return tuple(
            self.database.tenants.read_all(self._keys(tenant_id), _ENTRIES.read)
        )

    def put(
        self, tenant_id: str, name: str, secret: SecretValue, origin: Origin = SYSTEM
    ) -> bool:
        """Keep a secret, in place of one that there is; return whether it is new."""
        table, key = self.database.tenants, Kind.SECRET.key(tenant_id, name)
        now, known = self.database.clock(), table.read(key, _ENTRIES.read)
        if known is None and len(self._keys(tenant_id)) >= MAX_SECRETS:
            raise QuotaExceededError("SECRET_QUOTA_EXCEEDED", tenant_id, MAX_SECRETS)
        self.database.transact_while_active(tenant_id)
        text = json.dumps(
            {"host": secret.host, "value": secret.value}, ensure_ascii=False
        )
        self._call(lambda: self._store(tenant_id, name, text))
        entry = SecretEntry(
            tenant_id=tenant_id,
            name=name,
            host=secret.host,
            created_at=now,
            updated_at=now,
        )
        if known is not None:
            entry = replace(entry, created_at=known.created_at)
        item = _ENTRIES.item(key, entry)
        audited = origin.entry(
            Action.SECRET_PUT, tenant_id, name, now, host=secret.host
        )
        try:
            self.database.transact_while_active(
                tenant_id,
                table.update("secret", item, item),
                self.database.audit_write(audited),
            )
        except TenantClosingError:
            self._call(lambda: self._delete(self._name(tenant_id, name)))
            raise
        return known is None

    def remove(self, tenant_id: str, name: str, origin: Origin = SYSTEM) -> bool:
        """Delete a secret, for good; tell whether the tenant had it; `SecretsUnavailableError`."""
        table, key = self.database.tenants, Kind.SECRET.key(tenant_id, name)
        if table.item(key) is None:
            return False
        self._call(lambda: self._delete(self._name(tenant_id, name)))
        gone = table.write("secret", "Delete", key, condition=IS_THERE)
        audited = self.database.audited(origin, Action.SECRET_DELETED, tenant_id, name)
        return self.database.carry_out(gone, audited)

    def get(self, tenant_id: str, name: str) -> SecretValue | None:
        """Return a secret for the one transfer that needs it; None where there is none."""
        try:
            stored = self._call(lambda: self._read(self._name(tenant_id, name)))
        except MissingResourceError:
            return None
        known = json.loads(stored)
        return SecretValue(known["value"], known["host"])

    def remove_all(self, tenant_id: str) -> int:
        """Delete all of a tenant that is deleted, return how many; `SecretsUnavailableError`."""
        begin = Kind.SECRET.key(tenant_id, "")
        names = [key.removeprefix(begin) for key in self._keys(tenant_id)]
        for name in names:
            self._call(partial(self._delete, self._name(tenant_id, name)))
            self.database.tenants.carry_out(
                self.database.tenants.write(
                    "secret", "Delete", Kind.SECRET.key(tenant_id, name)
                )
            )
        return len(names)

    def _name(self, tenant_id: str, name: str) -> str:
        return f"{self.prefix}/{tenant_id}/{name}"

    def _keys(self, tenant_id: str) -> list[str]:
        return self.database.owned_keys(tenant_id, Kind.SECRET.key(""))

    def _call(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except MissingResourceError:
            raise
        except ExternalServiceError as error:
            log.warning("secrets_unavailable", error=str(error))
            message = (
                "Secrets Manager does not answer, or does not let this installation in"
            )
            raise SecretsUnavailableError(message) from error

    @maps_aws_errors
    def _store(self, tenant_id: str, name: str, text: str) -> None:
        client, full = self.database.clients.secrets, self._name(tenant_id, name)
        try:
            # One of the name that was just deleted may take a moment to go.
            again = retrying(_BEING_DELETED, tries=5)
            again(lambda: client.create_secret(Name=full, SecretString=text))
        except ClientError as error:
            if not _EXISTS(error):
                raise
            client.put_secret_value(SecretId=full, SecretString=text)

    @maps_aws_errors
    def _read(self, full: str) -> str:
        return self.database.clients.secrets.get_secret_value(SecretId=full)[
            "SecretString"
        ]

    @maps_aws_errors
    def _delete(self, full: str) -> None:
        client = self.database.clients.secrets
        call = partial(
            client.delete_secret, SecretId=full, ForceDeleteWithoutRecovery=True
        )
        unless({"ResourceNotFoundException"}, call)
