"""The tenants table: each tenant's configs, and the pauses of run creation.

Every version of a config is kept as it was stored; two writers at once never share one. Whether a
text is a valid config is not asked when it is stored. A pause is ``PAUSE#<tenant_id>``, of all
``PAUSE#``; what it stops is decided in ``ledger/submission.py``.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from relay_core.config import TenantConfig, load_stored_config
from relay_core.config.json_patch import changed_paths
from relay_core.domain.errors import ConfigTooLargeError, RelayError
from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.codec import Codec, by_time
from relay_dagster.aws.dynamodb.database import ConditionsFailedError, Database
from relay_dagster.aws.dynamodb.schema import Kind, config_key
from relay_dagster.aws.dynamodb.table import IS_THERE, Write
from relay_dagster.aws.dynamodb.trigger_store import triggers_due_now
from relay_dagster.runs.errors import (
    QuotaExceededError,
    TenantExistsError,
    UnknownTenantError,
    VersionMismatchError,
)
from relay_dagster.runs.ports import Pause
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin

# DynamoDB's limit for an item is 400 KiB, the other attributes included.
MAX_CONFIG_BYTES = 390_000
# Each lost one means that another writer of this tenant got through.
_TRIES = 30
_MAX_PATHS = 100
_PARSED_BYTES = 2 << 20  # of JSON text; what is parsed takes about 15 times as much
_PAUSES = Codec(kind=Pause, in_key="tenant_id")


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """One version of a tenant's config: the JSON text as it was stored, and when.

    The instant tells a deleted tenant's version from that of a new one with its id.
    """

    tenant_id: str
    version: int
    text: str
    stored_at: datetime


class ParsedConfigs:
    """Parses stored configs, and keeps the last, ``max_bytes`` of text, for many threads."""

    def __init__(self, max_bytes: int = _PARSED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, tuple[int, TenantConfig | RelayError]] = (
            OrderedDict()
        )
        self._bytes = 0

    def of(self, stored: StoredConfig) -> TenantConfig:
        """Return a stored config as it takes effect; `RelayError` where it no longer can."""
        key = (stored.tenant_id, stored.version, stored.stored_at)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            _, found = self._kept.get(key, (0, None))
        if found is None:
            try:
                found = load_stored_config(stored.text)
            except RelayError as error:
                found = error.with_traceback(None)
            with self._lock:
                self._bytes += len(stored.text) - self._kept.get(key, (0, None))[0]
                self._kept[key] = (len(stored.text), found)
                while self._bytes > self._max_bytes:
                    self._bytes -= self._kept.popitem(last=False)[1][0]
        if isinstance(found, RelayError):
            raise found.with_traceback(None)
        return found


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many versions were stored on the day of the last one, ``2026-03-01``; "" before any."""

    day: str = ""
    versions: int = 0


_CONFIGS = codec.Codec(kind=StoredConfig)


@dataclass(frozen=True, slots=True)
class TenantStore:
    """Configs of tenants. Texts are stored as given; whether they are valid is not known here."""

    database: Database  # the tables
    # That a tenant may store in a day, UTC; None for any number
    versions_per_day: int | None = None
    # Those that were read last
    parsed_configs: ParsedConfigs = field(default_factory=ParsedConfigs)

    # --- reads ----------------------------------------------------------------------------------

    def latest_version(self, tenant_id: str) -> int | None:
        """Return the number of the latest version, None for an unknown tenant."""
        return self._pointer(tenant_id)[0]

    def latest(self, tenant_id: str) -> StoredConfig | None:
        """Return the latest version, None for an unknown tenant."""
        version = self.latest_version(tenant_id)
        return None if version is None else self.version(tenant_id, version)

    def version(self, tenant_id: str, version: int) -> StoredConfig | None:
        """Return one version, None where there is none."""
        return self.database.tenants.read(config_key(tenant_id, version), _CONFIGS.read)

    def parsed(self, stored: StoredConfig) -> TenantConfig:
        """Return a version as it takes effect, parsed once; `RelayError` where it no longer can."""
        return self.parsed_configs.of(stored)

    def versions(
        self, tenant_id: str, *, limit: int, before: int | None = None
    ) -> tuple[StoredConfig, ...]:
        """Return up to ``limit`` (100) versions, the latest first; empty for an unknown tenant.

        Old ones are deleted; an index, which lags, is asked only where they left gaps.
        """
        latest = self.latest_version(tenant_id) or 0
        newest = latest if before is None else min(latest, before - 1)
        keys = [
            config_key(tenant_id, each)
            for each in range(newest, max(newest - limit, 0), -1)
        ]
        found = [*self.database.tenants.read_all(keys, _CONFIGS.read)]
        if len(found) < len(keys):
            start = codec.marshal({schema.KEY: keys[-1], schema.OWNER: tenant_id})
            prefix = Kind.CONFIG.key(tenant_id, "")
            older, _ = self.database.owned_page(
                tenant_id, prefix, limit, start, forward=False
            )
            found += self.database.tenants.read_all(older, _CONFIGS.read)
        return tuple(found[:limit])

    def create(
        self, tenant_id: str, text: str, *, origin: Origin = SYSTEM
    ) -> StoredConfig:
        """Store a new tenant's first config; `TenantExistsError` where it has one."""
        try:
            return self._write(tenant_id, text, None, DayCount(), origin)
        except ConditionsFailedError as error:
            raise TenantExistsError(tenant_id) from error

    def put(
        self,
        tenant_id: str,
        text: str,
        *,
        if_match: int | None = None,
        may_create: bool = True,
        origin: Origin = SYSTEM,
        judge: Callable[[StoredConfig], None] = lambda before: None,
    ) -> StoredConfig:
        """Store the next version; of two writers at once the second gets the version after.

        With ``if_match`` only after that version, or `VersionMismatchError`; where it may not
        create a tenant, `UnknownTenantError`. ``judge`` raises where the text must not follow the
        version that it would. `TenantExistsError` where another's id differs in case alone;
        `QuotaExceededError` where the tenant has had its versions of today.
        """

        def try_once() -> StoredConfig:
            latest, stored = self._pointer(tenant_id)
            if if_match is not None and latest != if_match:
                raise VersionMismatchError(tenant_id, if_match, latest)
            if latest is None and not may_create:
                raise UnknownTenantError(tenant_id)
            return self._write(tenant_id, text, latest, stored, origin, judge)

        return self.database.until_it_holds(
            try_once, "put config", f"tenant {tenant_id}", tries=_TRIES
        )

    # --- lists, of an index that lags ------------------------------------------------------------

    def created_since(self, instant: datetime | None) -> list[str]:
        """Return tenants created since an instant, or ever, the oldest first."""
        # A key condition takes no empty text; a space sorts before every instant.
        bound = (
            schema.CREATED_KEY,
            ">=",
            codec.instant_text(instant) if instant else " ",
        )
        rows = self.database.tenants.partition(
            schema.TENANTS_BY_CREATION, (schema.LISTED, schema.ALL_TENANTS), bound
        )
        return [str(row[schema.CREATED_KEY]).partition("#")[2] for row in rows]

    def all_tenant_ids(self) -> list[str]:
        """Return every tenant, in the order in which they came to be."""
        return self.created_since(None)

    def _pointer(self, tenant_id: str) -> tuple[int | None, DayCount]:
        """Return the latest version, and how many were stored on its day."""

        def read(item: Mapping[str, Any]) -> tuple[int, DayCount]:
            plain = codec.unmarshal(item)
            return int(plain["version"]), codec.of_plain(DayCount, plain["day_count"])

        return self.database.tenants.read(Kind.TENANT.key(tenant_id), read) or (
            None,
            DayCount(),
        )

    def _write(
        self,
        tenant_id: str,
        text: str,
        latest: int | None,
        stored: DayCount,
        origin: Origin,
        judge: Callable[[StoredConfig], None] = lambda before: None,
    ) -> StoredConfig:
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_CONFIG_BYTES:
            raise ConfigTooLargeError(size, MAX_CONFIG_BYTES)
        instant = self.database.clock()
        # A tenant's versions follow one another, so the count is right.
        day, most = instant.astimezone(UTC).date().isoformat(), self.versions_per_day
        count = DayCount(day, stored.versions + 1 if stored.day == day else 1)
        if most is not None and count.versions > most:
            left = codec.seconds_left_of_day(instant)
            raise QuotaExceededError("CONFIG_QUOTA_EXCEEDED", tenant_id, most, left)
        # The version before, which no writer changes.
        before = None if latest is None else self.version(tenant_id, latest)
        if before is not None:
            judge(before)
        version = (latest or 0) + 1
        config = StoredConfig(tenant_id, version, text, instant)
        item = _CONFIGS.item(config_key(tenant_id, version), config)
        writes = [
            self.database.tenants.new("text", item),
            *self._pointer_writes(
                tenant_id, latest, count, codec.instant_text(instant)
            ),
            self.database.audit_write(_entry(config, before, origin)),
            triggers_due_now(self.database.runs, tenant_id, instant),
        ]
        try:
            self.database.transact_while_active(tenant_id, *writes)
        except ConditionsFailedError as error:
            if "name" in error.items:
                raise TenantExistsError(tenant_id) from error
            raise
        return config

    def _pointer_writes(
        self, tenant_id: str, latest: int | None, count: DayCount, now: str
    ) -> list[Write]:
        """Return the writes by which a version becomes the latest; the first takes the name too."""
        table, day_count = self.database.tenants, asdict(count)
        pointer = {schema.KEY: Kind.TENANT.key(tenant_id), "day_count": day_count}
        if latest is not None:
            item = codec.marshal({**pointer, "version": latest + 1, "updated_at": now})
            return [
                table.update("tenant", item, item, "version = :latest", latest=latest)
            ]
        first = {
            **pointer,
            "tenant_id": tenant_id,
            "version": 1,
            "created_at": now,
            schema.LISTED: schema.ALL_TENANTS,
            schema.CREATED_KEY: f"{now}#{tenant_id}",
        }
        name = table.write(
            "name",
            "Update",
            Kind.NAME.key(tenant_id.lower()),
            "SET tenant_id = :tenant",
            "attribute_not_exists(tenant_id) OR tenant_id = :tenant",
            tenant=tenant_id,
        )
        return [table.new("tenant", codec.marshal(first)), name]


def _entry(
    config: StoredConfig, before: StoredConfig | None, origin: Origin
) -> AuditEntry:
    """Return the audit's entry of a version; ``before`` is the one before, None for none."""
    whose, now = (config.tenant_id, config.tenant_id), config.stored_at
    if config.version == 1:
        return origin.entry(Action.TENANT_CREATED, *whose, now, config_version=1)
    paths: Sequence[str] = changed_paths(
        "" if before is None else before.text, config.text
    )
    return origin.entry(
        Action.CONFIG_PUT,
        *whose,
        now,
        config_version_before=config.version - 1,
        config_version_after=config.version,
        changed_count=len(paths),
        changed_paths=paths[:_MAX_PATHS],
    )


@dataclass(frozen=True, slots=True)
class PauseStore:
    """Pauses that are in force."""

    database: Database

    def of(self, tenant_id: str) -> Pause | None:
        """Return the pause that stops a tenant's runs, that of all first; else None."""
        keys = [Kind.PAUSE.key(scope) for scope in ("", tenant_id)]
        found = self.database.tenants.in_order(keys)
        return self.database.tenants.parse(found[0], _PAUSES.read) if found else None

    def in_force(self) -> list[Pause]:
        """Return all pauses, that of all tenants first, then by tenant; of an index, which lags."""
        table = self.database.tenants
        rows = table.partition(
            schema.TENANTS_BY_CREATION, (schema.LISTED, schema.ALL_PAUSES)
        )
        keys = sorted({Kind.PAUSE.key(""), *(str(row[schema.KEY]) for row in rows)})
        return [*table.read_all(keys, _PAUSES.read)]

    def begin(
        self,
        tenant_id: str | None,
        reason: str,
        public_reason: str | None = None,
        *,
        origin: Origin = SYSTEM,
    ) -> Pause:
        """Stop new runs, or change the reason; `TenantClosingError` where nothing starts anyway."""
        pause = Pause(tenant_id, reason, self.database.clock(), public_reason)
        listed = {
            schema.LISTED: schema.ALL_PAUSES,
            schema.CREATED_KEY: by_time(pause.paused_at, tenant_id or ""),
        }
        item = _PAUSES.item(Kind.PAUSE.key(tenant_id or ""), pause, **listed)
        details = {"reason": reason, "public_reason": public_reason}
        paused = Action.RUNS_PAUSED
        self.database.transact_while_active(
            tenant_id,
            self.database.tenants.update("pause", item, _PAUSES.names | item.keys()),
            self.database.audited(origin, paused, tenant_id, tenant_id, **details),
        )
        return pause

    def end(
        self,
        tenant_id: str | None,
        reason: str | None = None,
        *,
        origin: Origin = SYSTEM,
    ) -> None:
        """Let new runs in again; a pause of the other scope stays in force."""
        key, resumed = Kind.PAUSE.key(tenant_id or ""), Action.RUNS_RESUMED
        # Where there was none, nothing is done
        self.database.carry_out(
            self.database.tenants.write("pause", "Delete", key, condition=IS_THERE),
            self.database.audited(origin, resumed, tenant_id, tenant_id, reason=reason),
        )
