"""Stored configs as they take effect: a version never changes, so it is parsed once."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from relay_core.config import TenantConfig, load_stored_config
from relay_core.domain.errors import RelayError

DEFAULT_BYTES = 2 << 20
"""Of JSON text; what is parsed takes about 15 times as much."""


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

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, tuple[int, TenantConfig | RelayError]] = OrderedDict()
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
