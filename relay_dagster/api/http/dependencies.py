"""What routes are given: the platform of the app, keys and rates, the looks at feeds and services.

All are made once, by ``app.create_app``; a test makes an app with parts of its own.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from relay_dagster.api.explainer import Explainer
from relay_dagster.api.feed_checker import FeedChecker
from relay_dagster.api.readiness import ReadinessProbe
from relay_dagster.api.security.api_keys import CallerRates, Keyring
from relay_dagster.wiring import Platform


def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


def _keyring(request: Request) -> Keyring:
    keyring: Keyring = request.app.state.keyring
    return keyring


def _readiness(request: Request) -> ReadinessProbe:
    readiness: ReadinessProbe = request.app.state.readiness
    return readiness


def _rates(request: Request) -> CallerRates:
    rates: CallerRates = request.app.state.rates
    return rates


def _feed_checker(request: Request) -> FeedChecker:
    checker: FeedChecker = request.app.state.feed_checker
    return checker


def _explainer(request: Request) -> Explainer:
    explainer: Explainer = request.app.state.explainer
    return explainer


PlatformDep = Annotated[Platform, Depends(_platform)]
KeyringDep = Annotated[Keyring, Depends(_keyring)]
ReadinessDep = Annotated[ReadinessProbe, Depends(_readiness)]
RatesDep = Annotated[CallerRates, Depends(_rates)]
FeedCheckerDep = Annotated[FeedChecker, Depends(_feed_checker)]
ExplainerDep = Annotated[Explainer, Depends(_explainer)]
