"""What routes are given: the platform that the app was made with, and the keys to it.

Both are made once, by ``app.create_app``; a test makes an app with parts of its own.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from relay_dagster.api.security.api_keys import Keyring
from relay_dagster.wiring import Platform


def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


def _keyring(request: Request) -> Keyring:
    keyring: Keyring = request.app.state.keyring
    return keyring


PlatformDep = Annotated[Platform, Depends(_platform)]
KeyringDep = Annotated[Keyring, Depends(_keyring)]
