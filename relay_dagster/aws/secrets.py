"""Stores tenants' secrets in Secrets Manager, each for a single host.

The value and the host are one secret text, so neither can change without the other. The
tenants table lists names, hosts, and dates as ``SECRET#<tenant_id>#<name>``, and never a
value.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from botocore.exceptions import ClientError

from relay_dagster.aws import errors
from relay_dagster.aws.dynamodb.codec import Codec
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.expressions import EXISTS
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.external_errors import (
    ExternalServiceError,
    MissingResourceError,
)
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.tenants.audit import SYSTEM, Action, Origin
from relay_dagster.tenants.errors import QuotaExceededError

MAX_SECRETS = 50
"""The number of secrets that a tenant may have."""

_T = TypeVar("_T")
_already_exists = errors.has_answered("ResourceExistsException")
_is_being_deleted = errors.has_answered("InvalidRequestException")
_log = event_log()


class SecretsUnavailableError(Exception):
    """Secrets Manager did not answer, or refused access to this installation."""

    error_code = "SECRETS_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A secret, and the only host to which it may be sent: ``host`` or ``host:port``."""

    value: str = field(repr=False)
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEntry:
    """The facts of a secret that may be shown."""

    tenant_id: str
    name: str
    host: str
    created_at: datetime
    updated_at: datetime


_ENTRIES = Codec(kind=SecretEntry)


@dataclass(frozen=True, slots=True)
class SecretStore:
    """The secrets of all tenants."""

    # The tables; the tenants table lists the secrets
    database: Database
    # The beginning of all names in Secrets Manager
    prefix: str

    @property
    def _table(self) -> Table:
        return self.database.tenants

    def of_tenant(self, tenant_id: str) -> tuple[SecretEntry, ...]:
        """Return the entries of a tenant's secrets by name, by an index that lags."""
        keys = self._keys(tenant_id)
        return tuple(self._table.read_all(keys, _ENTRIES.read))

    def put(
        self,
        tenant_id: str,
        name: str,
        secret: SecretValue,
        origin: Origin = SYSTEM,
    ) -> bool:
        """Store a secret, instead of the one with its name. Return True if it is new.

        Raises:
            QuotaExceededError: The tenant has as many secrets as it may have.
            TenantClosingError: The tenant is being deleted.
            SecretsUnavailableError: Secrets Manager did not store the secret.
        """
        key = Kind.SECRET.key(tenant_id, name)
        now = self.database.clock()
        stored_entry = self._table.read(key, _ENTRIES.read)
        if stored_entry is None and len(self._keys(tenant_id)) >= MAX_SECRETS:
            raise QuotaExceededError(
                "SECRET_QUOTA_EXCEEDED",
                tenant_id,
                MAX_SECRETS,
            )
        self.database.transact_while_active(tenant_id)
        secret_id = self._secret_id(tenant_id, name)
        text = _secret_text(secret)
        _available(lambda: self._store(secret_id, text))
        created_at = now if stored_entry is None else stored_entry.created_at
        entry = SecretEntry(
            tenant_id=tenant_id,
            name=name,
            host=secret.host,
            created_at=created_at,
            updated_at=now,
        )
        self._list(key, entry, secret_id, origin)
        return stored_entry is None

    def _list(
        self,
        key: str,
        entry: SecretEntry,
        secret_id: str,
        origin: Origin,
    ) -> None:
        """List a stored secret; delete it again if its tenant is being deleted by now."""
        item = _ENTRIES.item(key, entry)
        audit_entry = origin.entry(
            Action.SECRET_PUT,
            entry.tenant_id,
            entry.name,
            entry.updated_at,
            host=entry.host,
        )
        try:
            self.database.transact_while_active(
                entry.tenant_id,
                self._table.overwrite("secret", item, item.keys()),
                self.database.audit_write(audit_entry),
            )
        except TenantClosingError:
            _available(lambda: self._delete(secret_id))
            raise

    def remove(
        self,
        tenant_id: str,
        name: str,
        origin: Origin = SYSTEM,
    ) -> bool:
        """Delete a secret for good. Return False if the tenant has no such secret.

        Raises:
            SecretsUnavailableError: Secrets Manager did not delete the secret.
        """
        key = Kind.SECRET.key(tenant_id, name)
        if self._table.item(key) is None:
            return False
        _available(lambda: self._delete(self._secret_id(tenant_id, name)))
        return self.database.carry_out(
            self._table.delete("secret", key, EXISTS),
            self.database.audited(
                origin,
                Action.SECRET_DELETED,
                tenant_id,
                name,
            ),
        )

    def get(self, tenant_id: str, name: str) -> SecretValue | None:
        """Return a secret for the transfer that needs it, or None where there is none.

        Raises:
            SecretsUnavailableError: Secrets Manager did not return the secret.
        """
        secret_id = self._secret_id(tenant_id, name)
        try:
            text = _available(lambda: self._read(secret_id))
        except MissingResourceError:
            return None
        document = json.loads(text)
        return SecretValue(document["value"], document["host"])

    def remove_all(self, tenant_id: str) -> int:
        """Delete all secrets of a tenant that is deleted, and return how many there were.

        Raises:
            SecretsUnavailableError: Secrets Manager did not delete a secret.
        """
        prefix = Kind.SECRET.key(tenant_id, "")
        keys = self._keys(tenant_id)
        for key in keys:
            secret_id = self._secret_id(tenant_id, key.removeprefix(prefix))
            _available(partial(self._delete, secret_id))
            self._table.carry_out(self._table.delete("secret", key))
        return len(keys)

    def _secret_id(self, tenant_id: str, name: str) -> str:
        """Return the name of a secret in Secrets Manager."""
        return f"{self.prefix}/{tenant_id}/{name}"

    def _keys(self, tenant_id: str) -> list[str]:
        return self.database.owned_keys(tenant_id, Kind.SECRET.key(""))

    @errors.maps_aws_errors
    def _store(self, secret_id: str, text: str) -> None:
        client = self.database.clients.secrets
        # A secret of the same name that was just deleted may take a moment to disappear.
        again = errors.retrying(_is_being_deleted, tries=5)
        try:
            again(
                client.create_secret,
                Name=secret_id,
                SecretString=text,
            )
        except ClientError as error:
            if not _already_exists(error):
                raise
            client.put_secret_value(SecretId=secret_id, SecretString=text)

    @errors.maps_aws_errors
    def _read(self, secret_id: str) -> str:
        response = self.database.clients.secrets.get_secret_value(
            SecretId=secret_id,
        )
        return response["SecretString"]

    @errors.maps_aws_errors
    def _delete(self, secret_id: str) -> None:
        errors.unless(
            {"ResourceNotFoundException"},
            self.database.clients.secrets.delete_secret,
            SecretId=secret_id,
            ForceDeleteWithoutRecovery=True,
        )


def _secret_text(secret: SecretValue) -> str:
    """Return the text that Secrets Manager stores."""
    document = {"host": secret.host, "value": secret.value}
    return json.dumps(document, ensure_ascii=False)


def _available(call: Callable[[], _T]) -> _T:
    """Return the result of a call of Secrets Manager.

    Raises:
        MissingResourceError: There is no such secret.
        SecretsUnavailableError: The call failed for any other reason.
    """
    try:
        return call()
    except MissingResourceError:
        raise
    except ExternalServiceError as error:
        _log.warning("secrets_unavailable", error=str(error))
        message = "Secrets Manager does not answer, or does not let this installation in"
        raise SecretsUnavailableError(message) from error
