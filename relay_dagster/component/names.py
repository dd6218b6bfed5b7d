"""The names of the component's assets and checks."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

ROWS_ARE_VALID = "rows_are_valid"
CANONICAL = "canonical_schema_holds"
MERGED = "merged_schema_holds"


def guard_check(guard: str) -> str:
    """Return the name of a guard's check."""
    return f"guard_{guard}"


@dataclass(frozen=True)
class Names:
    """The keys of the assets of a component.

    Attributes:
        prefix: The prefix of the keys.
    """

    prefix: Sequence[str]

    def vendor(self, vendor_id: str) -> dg.AssetKey:
        """Return the key of a vendor's asset."""
        return dg.AssetKey([*self.prefix, vendor_id])

    @property
    def candidate(self) -> dg.AssetKey:
        """The key of the candidate's asset."""
        return dg.AssetKey([*self.prefix, "candidate"])

    @property
    def feed(self) -> dg.AssetKey:
        """The key of the feed's asset."""
        return dg.AssetKey([*self.prefix, "feed"])

    @property
    def candidate_op(self) -> str:
        """The name of the step that makes the vendors' assets and the candidate."""
        return self.candidate.to_python_identifier()

    @property
    def feed_op(self) -> str:
        """The name of the step that makes the feed."""
        return self.feed.to_python_identifier()
