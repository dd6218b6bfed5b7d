"""The request of a run over files of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay_core.config import Override, TenantConfig
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.records import RunContext
from relay_core.library.inputs import InputFiles
from relay_core.publish.state import Baseline


@dataclass(frozen=True)
class Request:
    """Everything that a run needs, read and checked.

    Attributes:
        document: The config as it was read.
        config: The loaded config, or None if its schema version is not supported.
        context: The run's identity and time.
        files: The run's files.
        unsupported: The message about an unsupported schema version.
        baseline: The state of the feed to compare with, if there is one.
        overrides: The overrides that are in effect.
        limits: The limits of feeds and reports.
    """

    document: Mapping[str, Any]
    config: TenantConfig | None
    context: RunContext
    files: InputFiles
    unsupported: str = ""
    baseline: Baseline | None = None
    overrides: Sequence[Override] = ()
    limits: Limits = DEFAULT_LIMITS
