"""Why a feed is held back, and the decision that releases it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a feed is held back: its hash, what it was compared with, and the guards that trip."""

    sha256: str
    baseline_run_id: str
    guards: tuple[Mapping[str, Any], ...]

    @property
    def guard_names(self) -> frozenset[str]:
        """The names of the guards that trip."""
        return frozenset(str(result["guard"]) for result in self.guards)


@dataclass(frozen=True, slots=True)
class Release:
    """A person's decision to publish what is held: what was reviewed, and why."""

    sha256: str  # the hash of the feed that was reviewed
    guards: frozenset[str]  # the names of the guards that were
    reason: str  # why it is good all the same
    by: str  # who decides
