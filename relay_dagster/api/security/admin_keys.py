"""The admins' keys as ``API_KEYS`` has them, and what is too unsafe to be served at an address.

Whose a key is that somebody shows, `api_keys` tells.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay_core.domain.destination import is_loopback
from relay_dagster.logs import event_log
from relay_dagster.settings import Settings, SettingsError

SHORTEST_SECRET = 16
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(.*)", re.DOTALL)
_log = event_log()


@dataclass(frozen=True, slots=True)
class AdminKey:
    """An admin's key: whose it is, and what is to be shown in ``X-API-Key``."""

    name: str
    secret: str = field(repr=False)


def read_admin_keys(words: Iterable[str]) -> tuple[AdminKey, ...]:
    """Return the keys of ``API_KEYS``: each ``name:secret``, or a secret that its place names.

    Raises:
        SettingsError: a secret is empty, or two keys have one name; no secret is repeated.
    """
    keys = tuple(_read(place, word) for place, word in enumerate(words, 1))
    names = [key.name for key in keys]
    for place, key in enumerate(keys, 1):
        if not key.secret:
            raise SettingsError("API_KEYS", f"must have a secret after {key.name}:")
        if key.name in names[: place - 1]:
            raise SettingsError("API_KEYS", f"must name each key once; {key.name} stands twice")
    return keys


def _read(place: int, word: str) -> AdminKey:
    named = _NAMED.fullmatch(word)
    return AdminKey(*named.groups()) if named else AdminKey(f"admin-{place}", word)


def refuse_unsafe(settings: Settings, host: str) -> None:
    """Refuse to let everybody in, or to trust a short secret, at an address that others reach.

    Raises:
        SettingsError: the variable that is too unsafe, and what to do.
    """
    is_own = is_loopback(host)
    if settings.allow_anonymous and not is_own:
        raise SettingsError(
            "RELAY_ALLOW_ANONYMOUS", f"lets everybody in, which is refused at {host}; set API_KEYS"
        )
    short = [
        key.name for key in read_admin_keys(settings.api_keys) if len(key.secret) < SHORTEST_SECRET
    ]
    if not short:
        return
    if not is_own:
        raise SettingsError(
            "API_KEYS",
            f"must have secrets of {SHORTEST_SECRET} characters or more to be served at {host}; "
            f"shorter: {', '.join(short)}",
        )
    _log.warning("admin_secret_too_short", names=short, at_least=SHORTEST_SECRET)
