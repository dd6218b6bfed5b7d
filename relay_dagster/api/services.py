"""What routes work with: the platform that the app was made for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from relay_dagster.aws.platform import Platform


def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


Services = Annotated[Platform, Depends(_platform)]
