"""Stores tenants' configs, in the tenants table.

Every version of a config is kept as it was written, and two simultaneous writers never
get the same version number. The store does not check that a text is a valid config.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from boto3.dynamodb.conditions import Attr, Key

from relay_core.config import TenantConfig, load_stored_config
from relay_core.config.reading.json_patch import changed_paths
from relay_core.domain.errors import ConfigTooLargeError, RelayError
from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import ConditionsFailedError, Database
from relay_dagster.aws.dynamodb.expressions import Update
from relay_dagster.aws.dynamodb.schema import Kind, Partition, config_key
from relay_dagster.aws.dynamodb.transfer_store import PULLS
from relay_dagster.aws.dynamodb.trigger_store import triggers_due_now
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.tenants import errors
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin

# An item of DynamoDB has at most 400 KiB, with its other attributes.
MAX_CONFIG_BYTES = 390_000
# Every lost attempt means that another writer of the same tenant has succeeded.
_MAX_WRITE_ATTEMPTS = 30
_MAX_AUDITED_PATHS = 100
# Characters of JSON text; a parsed config takes about 15 times as much memory.
_MAX_PARSED_CHARACTERS = 2 << 20


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """One version of a tenant's config, as the JSON text that was stored.

    A tenant can be deleted and created again with the same id. The instant tells the two
    tenants' versions apart.
    """

    tenant_id: str
    version: int
    text: str
    stored_at: datetime


_CONFIGS = codec.Codec(kind=StoredConfig)


@dataclass(frozen=True, slots=True)
class _ParseResult:
    """The config of a stored text, or the error for which it no longer takes effect."""

    outcome: TenantConfig | RelayError
    text_length: int


class ParsedConfigs:
    """Parses stored configs and caches those that were used last, for many threads."""

    def __init__(self, max_characters: int = _MAX_PARSED_CHARACTERS) -> None:
        """Limit the cached configs by the length of all their texts."""
        self._max_characters = max_characters
        self._lock = threading.Lock()
        self._results: OrderedDict[object, _ParseResult] = OrderedDict()
        self._characters = 0

    def of(self, stored: StoredConfig) -> TenantConfig:
        """Return a stored config as it takes effect.

        Raises:
            RelayError: The config no longer takes effect.
        """
        key = (stored.tenant_id, stored.version, stored.stored_at)
        with self._lock:
            result = self._results.get(key)
            if result is not None:
                self._results.move_to_end(key)
        if result is None:
            outcome: TenantConfig | RelayError
            try:
                outcome = load_stored_config(stored.text)
            except RelayError as error:
                outcome = error.with_traceback(None)
            result = _ParseResult(outcome, len(stored.text))
            with self._lock:
                replaced_result = self._results.get(key)
                if replaced_result is not None:
                    self._characters -= replaced_result.text_length
                self._results[key] = result
                self._characters += result.text_length
                while self._characters > self._max_characters:
                    _, dropped_result = self._results.popitem(last=False)
                    self._characters -= dropped_result.text_length
        if isinstance(result.outcome, RelayError):
            raise result.outcome.with_traceback(None)
        return result.outcome


@dataclass(frozen=True, slots=True)
class DayCount:
    """The number of versions stored on the UTC day of a tenant's latest version.

    The day is an ISO date, or empty before the first version.
    """

    day: str = ""
    versions: int = 0


@dataclass(frozen=True, slots=True)
class _TenantItem:
    """A tenant's latest version, None for an unknown tenant, and its day's versions."""

    version: int | None
    day_count: DayCount


_TENANTS = codec.Codec(kind=_TenantItem)
_UNKNOWN_TENANT = _TenantItem(version=None, day_count=DayCount())


def accept_any(_previous: StoredConfig) -> None:
    """Accept that a version follows the previous one, whatever both say."""


@dataclass(frozen=True, slots=True)
class TenantStore:
    """The configs of tenants. A text is stored as it was given, valid or not."""

    # The tables
    database: Database
    # The number of versions that a tenant may store in a UTC day; None for no limit
    versions_per_day: int | None = None
    # The configs that were used last
    parsed_configs: ParsedConfigs = field(default_factory=ParsedConfigs)

    # --- reads ------------------------------------------------------------------------

    def latest_version(self, tenant_id: str) -> int | None:
        """Return the number of the latest version, or None for an unknown tenant."""
        return self._tenant_item(tenant_id).version

    def latest(self, tenant_id: str) -> StoredConfig | None:
        """Return the latest version, or None for an unknown tenant."""
        version = self.latest_version(tenant_id)
        return None if version is None else self.version(tenant_id, version)

    def version(self, tenant_id: str, version: int) -> StoredConfig | None:
        """Return one version, or None where there is no such version."""
        return self.database.tenants.read(
            config_key(tenant_id, version), _CONFIGS.read
        )

    def parsed(self, stored: StoredConfig) -> TenantConfig:
        """Return a version as it takes effect; each version is parsed once.

        Raises:
            RelayError: The config no longer takes effect.
        """
        return self.parsed_configs.of(stored)

    def versions(
        self,
        tenant_id: str,
        *,
        limit: int,
        before: int | None = None,
    ) -> tuple[StoredConfig, ...]:
        """Return up to ``limit`` versions, the latest first; none for an unknown tenant.

        ``limit`` is at most 100. Versions are numbered without gaps until old ones are
        deleted. Only then is the index asked for older versions, because it lags.
        """
        newest = self.latest_version(tenant_id) or 0
        if before is not None:
            newest = min(newest, before - 1)
        numbers = range(newest, max(newest - limit, 0), -1)
        keys = [config_key(tenant_id, number) for number in numbers]
        configs = self.database.tenants.read_all(keys, _CONFIGS.read)
        if len(configs) < len(keys):
            configs += self._versions_before(keys[-1], tenant_id, limit)
        return tuple(configs[:limit])

    def _versions_before(
        self,
        key: str,
        tenant_id: str,
        limit: int,
    ) -> list[StoredConfig]:
        """Return up to ``limit`` versions before the one with the key, by the index."""
        start = codec.marshal({schema.KEY: key, schema.OWNER: tenant_id})
        prefix = Kind.CONFIG.key(tenant_id, "")
        older_keys, _ = self.database.owned_page(
            tenant_id,
            prefix,
            limit,
            start,
            forward=False,
        )
        return self.database.tenants.read_all(older_keys, _CONFIGS.read)

    # --- writes -----------------------------------------------------------------------

    def create(
        self,
        tenant_id: str,
        text: str,
        *,
        origin: Origin = SYSTEM,
    ) -> StoredConfig:
        """Store the first config of a new tenant.

        Raises:
            TenantExistsError: The tenant already exists.
        """
        try:
            return self._write(tenant_id, text, _UNKNOWN_TENANT, origin)
        except ConditionsFailedError as error:
            raise errors.TenantExistsError(tenant_id) from error

    def put(
        self,
        tenant_id: str,
        text: str,
        *,
        if_match: int | None = None,
        may_create: bool = True,
        origin: Origin = SYSTEM,
        judge: Callable[[StoredConfig], None] = accept_any,
    ) -> StoredConfig:
        """Store the next version. Of two simultaneous writers, one gets the version after.

        ``judge`` is given the previous version, and raises where the text must not
        follow it.

        Raises:
            VersionMismatchError: ``if_match`` is not the latest version.
            UnknownTenantError: The tenant is unknown, and ``may_create`` is False.
            TenantExistsError: Another tenant's id differs in upper and lower case only.
            QuotaExceededError: The tenant has stored as many versions today as it may.
        """

        def try_once() -> StoredConfig:
            current = self._tenant_item(tenant_id)
            if if_match is not None and current.version != if_match:
                raise errors.VersionMismatchError(
                    tenant_id,
                    if_match,
                    current.version,
                )
            if current.version is None and not may_create:
                raise errors.UnknownTenantError(tenant_id)
            return self._write(tenant_id, text, current, origin, judge)

        return self.database.until_it_holds(
            try_once,
            "put config",
            f"tenant {tenant_id}",
            tries=_MAX_WRITE_ATTEMPTS,
        )

    def _tenant_item(self, tenant_id: str) -> _TenantItem:
        key = Kind.TENANT.key(tenant_id)
        return self.database.tenants.read(key, _TENANTS.read) or _UNKNOWN_TENANT

    def _write(
        self,
        tenant_id: str,
        text: str,
        current: _TenantItem,
        origin: Origin,
        judge: Callable[[StoredConfig], None] = accept_any,
    ) -> StoredConfig:
        """Store the version after the current one, if it still is the current one."""
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_CONFIG_BYTES:
            raise ConfigTooLargeError(size, MAX_CONFIG_BYTES)
        now = self.database.clock()
        day_count = self._counted(tenant_id, current.day_count, now)
        previous = None
        if current.version is not None:
            previous = self.version(tenant_id, current.version)
        if previous is not None:
            judge(previous)
        version = (current.version or 0) + 1
        config = StoredConfig(tenant_id, version, text, now)
        item = _CONFIGS.item(config_key(tenant_id, version), config)
        try:
            self.database.transact_while_active(
                tenant_id,
                self.database.tenants.new("text", item),
                *self._tenant_writes(config, day_count),
                self.database.audit_write(
                    _audit_entry(config, previous, origin),
                ),
                triggers_due_now(self.database.runs, tenant_id, now),
                PULLS.planned_now(self.database.runs, tenant_id, now),
            )
        except ConditionsFailedError as error:
            if "name" in error.items:
                raise errors.TenantExistsError(tenant_id) from error
            raise
        return config

    def _counted(
        self,
        tenant_id: str,
        latest: DayCount,
        now: datetime,
    ) -> DayCount:
        """Return the count of today with one more version.

        A tenant's versions are written one after another, so no version is missed.
        """
        today = now.astimezone(UTC).date().isoformat()
        versions = latest.versions + 1 if latest.day == today else 1
        limit = self.versions_per_day
        if limit is not None and versions > limit:
            wait_seconds = codec.seconds_left_of_day(now)
            raise errors.QuotaExceededError(
                "CONFIG_QUOTA_EXCEEDED",
                tenant_id,
                limit,
                wait_seconds,
            )
        return DayCount(today, versions)

    def _tenant_writes(
        self,
        config: StoredConfig,
        day_count: DayCount,
    ) -> list[Write]:
        """Return the writes that make a version the latest; the first reserves the name."""
        tenant_id = config.tenant_id
        stored_at = codec.instant_text(config.stored_at)
        tenant = {
            schema.KEY: Kind.TENANT.key(tenant_id),
            "version": config.version,
            "day_count": asdict(day_count),
        }
        if config.version > 1:
            item = codec.marshal({**tenant, "updated_at": stored_at})
            is_latest = Attr("version").eq(config.version - 1)
            return [
                self.database.tenants.overwrite(
                    "tenant", item, item.keys(), is_latest
                ),
            ]
        new_item = codec.marshal(
            {
                **tenant,
                "tenant_id": tenant_id,
                "created_at": stored_at,
                schema.LISTED: schema.ALL_TENANTS,
                schema.CREATED_KEY: f"{stored_at}#{tenant_id}",
            },
        )
        owner = Attr("tenant_id")
        name = self.database.tenants.update(
            "name",
            Kind.NAME.key(tenant_id.lower()),
            Update(sets={"tenant_id": tenant_id}),
            owner.not_exists() | owner.eq(tenant_id),
        )
        return [self.database.tenants.new("tenant", new_item), name]

    # --- lists, by an index that lags -------------------------------------------------

    def created_since(self, instant: datetime | None) -> list[str]:
        """Return the tenants created since an instant, or all, the oldest first."""
        # The value of a condition is never empty; a space sorts before every instant.
        earliest = codec.instant_text(instant) if instant else " "
        tenants = Partition(
            schema.TENANTS_BY_CREATION,
            schema.LISTED,
            schema.ALL_TENANTS,
        )
        rows = self.database.tenants.rows(
            tenants, Key(schema.CREATED_KEY).gte(earliest)
        )
        return [str(row[schema.CREATED_KEY]).partition("#")[2] for row in rows]

    def all_tenant_ids(self) -> list[str]:
        """Return all tenants in the order in which they were created."""
        return self.created_since(None)


def _audit_entry(
    config: StoredConfig,
    previous: StoredConfig | None,
    origin: Origin,
) -> AuditEntry:
    """Return the audit's entry of a version; ``previous`` is None before the first."""
    tenant_id = config.tenant_id
    if config.version == 1:
        return origin.entry(
            Action.TENANT_CREATED,
            tenant_id,
            tenant_id,
            config.stored_at,
            config_version=1,
        )
    previous_text = "" if previous is None else previous.text
    paths = changed_paths(previous_text, config.text)
    return origin.entry(
        Action.CONFIG_PUT,
        tenant_id,
        tenant_id,
        config.stored_at,
        config_version_before=config.version - 1,
        config_version_after=config.version,
        changed_count=len(paths),
        changed_paths=paths[:_MAX_AUDITED_PATHS],
    )
